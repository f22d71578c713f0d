package page_test

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/collect"
	"vtune/collect/answers"
	"vtune/internal/record"
	"vtune/internal/report/page"
)

var (
	update     = flag.Bool("update", false, "rewrite the golden in testdata")
	screenshot = flag.Bool("screenshot", false, "write docs/img/report.png")
)

const serveCommand = "vllm serve meta-llama/Llama-3.1-8B-Instruct --max-num-seqs 16 --max-num-batched-tokens 2048 --gpu-memory-utilization 0.98 --max-model-len 4096"

var demoDir = record.Dir("../../../testdata/runs/demo")

// demo is the finished run that tests read from.
func demo(t testing.TB) (record.Run, record.State) {
	t.Helper()
	scan := collect.Scanner{Dir: demoDir}
	snap, err := scan.Scan()
	if err != nil {
		t.Fatal(err)
	}
	return snap.Run, collect.Derive(snap)
}

func demoPage(t testing.TB) []byte {
	t.Helper()
	run, st := demo(t)
	html, err := answers.Page(demoDir, run, st, func(record.State) (string, error) { return serveCommand, nil })
	if err != nil {
		t.Fatal(err)
	}
	return html
}

// The library is the file of its release, and nobody has touched it.
func TestTheChartLibraryIsTheOneThatItsNoteNames(t *testing.T) {
	const version, sum = "6.1.0", "b66b25aeb4df84e33199dc21694014d336d222cbd9deb0e5a7c14bd6aa0d0fd0"
	library, err := os.ReadFile("assets/echarts.min.js")
	if err != nil {
		t.Fatal(err)
	}
	note, err := os.ReadFile("assets/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(library)); got != sum || !strings.Contains(string(note), sum) || !strings.Contains(string(note), "ECharts "+version) {
		t.Errorf("the file's sum is %s, and the note says\n%s", got, note)
	}
	if !strings.Contains(string(library), `"`+version+`"`) {
		t.Errorf("the file is not of version %s", version)
	}
	for _, license := range []string{"LICENSE.echarts", "NOTICE.echarts", "LICENSE.d3"} {
		if text, err := os.ReadFile(filepath.Join("assets", license)); err != nil || len(text) < 100 {
			t.Errorf("%s: %d bytes, %v", license, len(text), err)
		}
	}
}

// body is what somebody sees who has no script: the page without its data, style and programs.
func body(html []byte) string {
	s := string(html)
	s = regexp.MustCompile(`(?s)<script.*?</script>\n`).ReplaceAllString(s, "")
	return s[strings.Index(s, "<body>"):]
}

func TestWithoutAScriptThePageSaysEverythingInTables(t *testing.T) {
	got := body(demoPage(t))
	path := filepath.Join("testdata", "demo.body.html")
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
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
	_, st := demo(t)
	loads := 0
	for _, c := range st.Cells {
		loads += len(c.Observations)
	}
	table := got[strings.Index(got, `id="t-rates"`):]
	if n := strings.Count(table[:strings.Index(table, "</table>")], "<tr>") - 1; n != loads {
		t.Errorf("%d rows of loads, want %d", n, loads)
	}
}

// generated is a run of a square grid, with so many loads a cell and two limits.
func generated(side, loads int) (record.Run, record.State) {
	r := rand.New(rand.NewPCG(1, 2))
	begin := time.Date(2026, 11, 30, 19, 55, 37, 123456789, time.UTC)
	run := record.Run{ID: "2026_11_30_19_55-00000000", Created: begin, Version: "v1", User: "me", Host: "login1", Scheduler: "slurm"}
	st := record.State{
		Run: run.ID, Phase: record.PhaseOver, ServerVersion: "0.32.0", Ledger: record.Ledger{record.SpendMeasured: 1e6, record.SpendStarting: 1e5},
		Policy: record.Policy{Method: "vtune", Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: 7000}, {Metric: record.TTFT, Percentile: 99, MS: 900}}, Tolerance: .02},
	}
	latency := func(about float64) record.Latency {
		v := about * (1 + r.Float64())
		return record.Latency{Mean: v, P50: v, P90: v * 1.5, P99: v * 2.1}
	}
	for s := range side {
		for b := range side {
			c := record.CellState{Cell: record.Cell{ID: record.CellID(4*(s+1), 512*(b+1)), MaxNumSeqs: 4 * (s + 1), MaxNumBatchedTokens: 512 * (b + 1)}}
			for i := range loads {
				x := 10 * r.Float64()
				o := record.Observation{
					Cell: c.ID, Attempt: 1, Seq: i + 1, Load: record.Load{Rate: record.Rate(math.Round(1e4*x) / 1e4), Purpose: record.Explore},
					Verdict: []record.Verdict{record.Pass, record.Miss, record.Unsure}[r.IntN(3)], Started: begin, Ended: begin.Add(time.Minute),
				}
				o.Metrics = record.Metrics{Completed: 100 + r.IntN(3000), RequestThroughput: x * .97, OutputThroughput: x * 64, TTFT: latency(300), TPOT: latency(20), ITL: latency(22), E2EL: latency(3000)}
				for _, l := range st.Policy.Limits {
					v := lat(o.Metrics, l.Metric).P99
					o.Standings = append(o.Standings, record.Standing{Limit: l, Verdict: o.Verdict, At: record.Interval{Value: v, Low: v * .93, High: v * 1.11}})
				}
				c.Observations = append(c.Observations, o)
			}
			c.Phase, c.Left, c.Bound = record.WorkDone, true, 10*r.Float64()
			c.Message = fmt.Sprintf("it does not hold %.4g req/s, and the best so far may hold %.4g", c.Bound, c.Bound+1)
			n := s*side + b
			at := begin.Add(time.Duration(n/64) * time.Minute)
			c.Attempts = []record.AttemptState{{
				Job: c.ID + "-1", Attempt: 1, Submitted: fmt.Sprintf("4711_%d", n), Node: fmt.Sprintf("node%03d", n%64), Started: true, Ended: true,
				Outcome: record.OutcomeDone, Observed: loads, Seconds: 55, SubmittedAt: begin, StartedAt: at, EndedAt: at.Add(55 * time.Second),
			}}
			if n%3 == 0 {
				o := &c.Observations[len(c.Observations)-1]
				o.Load.Purpose, o.Verdict = record.Confirm, record.Pass
				c.Left, c.Message, c.Accepted = false, "", o
				if st.Best == nil || o.Load.Rate > st.Best.Observation.Load.Rate {
					st.Best = &record.Best{Cell: c.Cell, Observation: *o}
				}
			}
			st.Cells = append(st.Cells, c)
		}
	}
	return run, st
}

// largest is the page of 10,000 cells with 15 loads each, and two limits.
var largest = sync.OnceValues(func() ([]byte, error) {
	run, st := generated(100, 15)
	return page.HTML(page.Input{Run: run, State: st})
})

func lat(m record.Metrics, of record.Metric) record.Latency {
	if of == record.TTFT {
		return m.TTFT
	}
	return m.E2EL
}

func TestAPageStaysSmallHoweverLargeTheGrid(t *testing.T) {
	run, st := generated(10, 15)
	html, err := page.HTML(page.Input{Run: run, State: st})
	if err != nil {
		t.Fatal(err)
	}
	most, err := largest()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("100 cells: %d kB, 10,000: %d kB", len(html)/1000, len(most)/1000)
	if len(html) >= 2_000_000 || len(most) >= 10_000_000 {
		t.Errorf("100 cells are %d bytes, 10,000 are %d", len(html), len(most))
	}
}

// Names that mean to be markup, to end a script, or to turn a line around.
var hostile = []string{
	`</script><script>window.evil=1</script>`, `<img src=x onerror="window.evil=1">`, `"'><svg onload=window.evil=1>`, "a\u2028window.evil=1\u2029//", "\u202egpj.exe", `{{.Run}}`,
	"javascript:window.evil=1", strings.Repeat("long", 500), `<!--<script>`, "]]>", "\x00\x1b[31m",
}

// poisoned is the demo with s wherever a spec, a log, a server or a node has its say.
func poisoned(t testing.TB, s string) page.Input {
	run, st := demo(t)
	st.Warnings = []string{s}
	st.Ledger[s] = 3
	st.ServerVersion = s + "+sim"
	st.Nodes = []record.NodeState{{Node: s, GPUs: []string{s}, Driver: s, CPU: s, Kernel: s, Throttled: []string{s}}}
	for i := range st.Cells {
		st.Cells[i].Message, st.Cells[i].Cause = s, record.Cause(s)
		for j := range st.Cells[i].Attempts {
			st.Cells[i].Attempts[j].Node, st.Cells[i].Attempts[j].Job, st.Cells[i].Attempts[j].Message = s, s, s
		}
		for j := range st.Cells[i].Observations {
			o := &st.Cells[i].Observations[j]
			o.Detail = s
			if j%2 == 0 {
				o.Cause, o.Verdict = record.Cause(s), record.Invalid
			}
		}
	}
	st.Cells[0].ID = s
	run.ID, run.User, run.Host, run.Version = s, s, s, s
	return page.Input{
		Run: run, State: st, Effective: []byte("model: " + s), Serve: "vllm serve " + s, Stamp: s,
		Server: record.Server{Model: s, Flags: []string{s}, Command: []string{s}}, Histograms: map[string]string{"e2el": s},
	}
}

func TestHostileStringsAddNoElement(t *testing.T) {
	tags := regexp.MustCompile(`<[a-zA-Z!/]`)
	plain, err := page.HTML(poisoned(t, "harmless"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range hostile {
		html, err := page.HTML(poisoned(t, s))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := len(tags.FindAll(html, -1)), len(tags.FindAll(plain, -1)); got != want {
			t.Errorf("%.40q: %d tags, want %d", s, got, want)
		}
	}
}

func TestWhatIsNotOverSaysSo(t *testing.T) {
	run, st := demo(t)
	st.Phase, st.Best, st.Cells[3].Phase = record.PhaseMeasuring, nil, record.WorkRunning
	html, err := page.HTML(page.Input{Run: run, State: st})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<strong>Still measuring</strong> (measuring): 3 of 4 cells have an answer, after 24 loads", "no cell has been accepted", "not known yet"} {
		if !strings.Contains(string(html), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if html, err = page.HTML(page.Input{}); err != nil || !strings.Contains(string(html), "No job has begun.") {
		t.Errorf("of an empty run: %v", err)
	}
}

func TestAPageIsKnownByItsStamp(t *testing.T) {
	for _, stamp := range []string{"over 12ab", `a "quoted" <stamp>`} {
		html, err := page.HTML(page.Input{Stamp: stamp})
		if err != nil {
			t.Fatal(err)
		}
		if head := html[:page.StampLength]; !page.Stamped(head, stamp) || page.Stamped(head, "over") {
			t.Errorf("%q is not told from others in\n%s", stamp, head)
		}
	}
}
