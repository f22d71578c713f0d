package tables

import (
	"bytes"
	"encoding/csv"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report/layout"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// demo is the run in testdata/runs.
func demo(t testing.TB) (record.Run, record.State) {
	t.Helper()
	dir := record.Dir("../../../testdata/runs/demo")
	var run record.Run
	if err := fsx.ReadJSON(dir.Run(), &run); err != nil {
		t.Fatal(err)
	}
	scan := collect.Scanner{Dir: dir}
	snap, err := scan.Scan()
	if err != nil {
		t.Fatal(err)
	}
	return run, collect.Derive(snap)
}

func TestEveryStateHasItsTables(t *testing.T) {
	run, st := demo(t)
	all := states()
	all["demo"] = st
	for name, st := range all {
		run := run
		if name != "demo" {
			run = aRun()
		}
		golden(t, name+".txt", Text(run, st))
		golden(t, name+".md", Markdown(run, st))
		data, err := CSV(run, st)
		if err != nil {
			t.Fatal(err)
		}
		if name == "demo" || name == "every-answer" {
			golden(t, name+".csv", string(data))
		}
	}
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if name := filepath.Base(f); all[strings.TrimSuffix(name, filepath.Ext(name))].Phase == "" {
			t.Errorf("%s belongs to no state", f)
		}
	}
}

// A terminal gets no byte that moves its cursor, and no line of usual values is wider than 100 columns; the grid of one limit has 80.
func TestTextFitsATerminal(t *testing.T) {
	for name, st := range states() {
		for line := range strings.Lines(Text(aRun(), st)) {
			line = strings.TrimSuffix(line, "\n")
			if n := layout.Width(line); n > layout.Screen {
				t.Errorf("%s: %d columns: %s", name, n, line)
			}
			if strings.HasPrefix(line, "* ") && layout.Width(line) > 80 && name != "two-limits" {
				t.Errorf("%s: a row of %d columns: %s", name, layout.Width(line), line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}

func TestForeignWordsAreNoMarkdown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.OneOf(rapid.Just(hostile), rapid.StringOf(rapid.RuneFrom([]rune("ab|`*_<>&[]()@#~!\\$: =-+\n\r\t")))).Draw(t, "words")
		st := states()["no-winner"]
		for i := range st.Cells {
			st.Cells[i].Phase, st.Cells[i].Cause, st.Cells[i].Message = record.WorkFailed, record.CauseCrash, words
		}
		text := Markdown(record.Run{ID: words}, st)
		plain, more, _ := strings.Cut(text, "<details>")
		for line := range strings.Lines(plain) {
			if strings.HasPrefix(line, "|") && strings.Count(line, "|") != 8 {
				t.Fatalf("a row of another number of cells: %s", line)
			}
			if rest := strings.ReplaceAll(line, "<!-- -->", ""); strings.ContainsAny(strings.ReplaceAll(rest, "**winner**", ""), "<>`*@~") {
				t.Fatalf("markup: %s", line)
			}
		}
		if strings.Count(more, "\n~~~") != 2 {
			t.Fatalf("the fence is not what it was: %s", more)
		}
	})
}

func TestALargeGridIsFoldedAndCut(t *testing.T) {
	st := states()["every-answer"]
	winner := st.Cells[0]
	st.Cells = nil
	for i := range 300 {
		st.Cells = append(st.Cells, accepted(1+i, 512, 1, 400))
	}
	st.Cells = append(st.Cells, winner)
	text := Markdown(aRun(), st)
	if n := len(regexp.MustCompile(`(?m)^\|`).FindAllString(text, -1)); n != mostRows+1+2 {
		t.Errorf("%d rows", n)
	}
	if len(text) > 65_536 || !strings.Contains(text, "<summary>all 301 cells</summary>") || !strings.Contains(text, "**s256-t4096**") {
		t.Errorf("%d characters\n%.500s", len(text), text)
	}
}

// rows of a CSV, by column.
func rows(t interface{ Fatal(...any) }, data []byte) []map[string]string {
	lines, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		all = append(all, row)
	}
	return all
}

func TestCSVHasEveryObservationAndEveryCell(t *testing.T) {
	run, st := demo(t)
	data, err := CSV(run, st)
	if err != nil {
		t.Fatal(err)
	}
	all := rows(t, data)
	i := 0
	for _, c := range st.Cells {
		for _, o := range c.Observations {
			r := all[i]
			i++
			rate, err := strconv.ParseFloat(r["request_rate_req_per_s"], 64) // strconv reads inf, as notebooks do
			if err != nil || record.Rate(rate) != o.Load.Rate || r["cell"] != c.ID || r["node"] != "node1" {
				t.Errorf("row %d: %v, of %s at %s", i, r, c.ID, o.Load)
			}
			if p99, err := strconv.ParseFloat(r["e2el_p99_ms"], 64); err != nil || p99 != o.Metrics.E2EL.P99 {
				t.Errorf("row %d: P99 %s, want %v", i, r["e2el_p99_ms"], o.Metrics.E2EL.P99)
			}
			if at, err := time.Parse(time.RFC3339, r["started"]); err != nil || !at.Equal(o.Started) {
				t.Errorf("row %d: started %s, want %s", i, r["started"], o.Started)
			}
		}
	}
	if i != len(all) {
		t.Errorf("%d rows, want %d", len(all), i)
	}
	every := states()["every-answer"]
	data, err = CSV(aRun(), every)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, r := range rows(t, data) {
		seen[r["cell_answer"]]++
	}
	if diff := cmp.Diff(map[string]int{"accepted": 6, "left": 3, "failed": 1, "missed": 1, "unsure": 1}, seen); diff != "" {
		t.Errorf("rows by answer (-want +got):\n%s", diff)
	}
}

func TestNoTextOfTheCSVIsAFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.StringOf(rapid.RuneFrom([]rune("=+-@＝\t\r\n '\"a,1"))).Draw(t, "words")
		st := states()["no-winner"]
		st.ServerVersion, st.Cells[0].Message, st.Cells[0].Observations[0].Detail = words, words, words
		data, err := CSV(record.Run{ID: words}, st)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows(t, data) {
			for name, v := range r {
				if _, err := strconv.ParseFloat(v, 64); err == nil && name != "run" && name != "vllm_version" && name != "detail" && name != "cell_message" {
					continue
				}
				if v = strings.TrimSpace(v); v != "" && strings.ContainsAny(v[:1], "=+-@") || strings.HasPrefix(v, "＝") {
					t.Fatalf("%s is %q", name, v)
				}
			}
		}
	})
}

// The names are a contract with notebooks, and the document is where they are looked up.
func TestTheDocumentHasEveryColumn(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/csv.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, c := range Columns(1) {
		want.WriteString("| `" + c.Name + "` | " + c.What + " |\n")
	}
	if !strings.Contains(string(doc), want.String()) {
		t.Errorf("docs/csv.md must have these rows:\n%s", want.String())
	}
}

// Ten thousand cells are no reason to wait.
func BenchmarkTenThousandCells(b *testing.B) {
	st := states()["every-answer"]
	for i := range 10_000 {
		st.Cells = append(st.Cells, accepted(1+i, 512, 1, 400))
	}
	for b.Loop() {
		Text(aRun(), st)
		Markdown(aRun(), st)
		if _, err := CSV(aRun(), st); err != nil {
			b.Fatal(err)
		}
	}
}
