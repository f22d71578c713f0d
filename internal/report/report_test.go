package report

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/record"
)

// remark is what may stand at the end of a row.
const remark = `( \([^()]+\))?`

// rows are the forms of result.txt's rows, as a program that reads them would write them down.
var rows = map[string]*regexp.Regexp{
	"hash":     regexp.MustCompile(`^hash:\S.*$`),
	"accepted": regexp.MustCompile(`^max_num_seqs: \d+, max_num_batched_tokens: \d+, request_rate: (inf|\d+(?:\.\d+)?), e2el: \d+\.\d\d, throughput: \d+\.\d\d, goodput: \d+\.\d\d` + remark + `$`),
	"missed":   regexp.MustCompile(`^max_num_seqs: \d+, max_num_batched_tokens: \d+ does not meet latency requirement ([\d.]+|P\d.* ms|\d.* ms)` + remark + `$`),
	"unsure":   regexp.MustCompile(`^max_num_seqs: \d+, max_num_batched_tokens: \d+ was not shown to meet latency requirement \S.*$`),
	"left":     regexp.MustCompile(`^max_num_seqs: \d+, max_num_batched_tokens: \d+ cannot win: \S.*$`),
	"failed":   regexp.MustCompile(`^max_num_seqs: \d+, max_num_batched_tokens: \d+ failed: \S.*$`),
	"best":     regexp.MustCompile(`^best_max_num_seqs: \d+, best_num_batched_tokens: \d+, best_throughput: \d+\.\d\d, profile (saved in: /.+|not saved: \S.*)$`),
	"zero":     regexp.MustCompile(`^best_max_num_seqs: 0, best_num_batched_tokens: 0, best_throughput: 0$`),
}

// kinds reads result.txt back.
func kinds(t interface{ Fatalf(string, ...any) }, text []byte) []string {
	var found []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") {
			t.Fatalf("the last line is not ended: %q", line)
		}
		kind := ""
		for name, form := range rows {
			if form.MatchString(strings.TrimSuffix(line, "\n")) {
				if kind != "" {
					t.Fatalf("both %s and %s: %q", kind, name, line)
				}
				kind = name
			}
		}
		if kind == "" {
			t.Fatalf("no known row: %q", line)
		}
		found = append(found, kind)
	}
	return found
}

func TestResultTxtIsWhatTheManualShows(t *testing.T) {
	st := cases()["accepted-at-inf"]
	st.Cells = append(st.Cells, cases()["nothing-accepted"].Cells[1], cases()["cell-out-of-memory"].Cells[1])
	want := `hash:0.32.0+cpu
max_num_seqs: 128, max_num_batched_tokens: 2048, request_rate: inf, e2el: 450.50, throughput: 9.80, goodput: 9.80
max_num_seqs: 256, max_num_batched_tokens: 2048, request_rate: inf, e2el: 450.50, throughput: 12.50, goodput: 12.50
max_num_seqs: 128, max_num_batched_tokens: 4096 does not meet latency requirement 500
max_num_seqs: 256, max_num_batched_tokens: 4096 failed: out of memory: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB
best_max_num_seqs: 256, best_num_batched_tokens: 2048, best_throughput: 12.50, profile saved in: /a  b/profile
`
	if diff := cmp.Diff(want, string(ResultTxt(aRun(), st, "/a  b/profile"))); diff != "" {
		t.Errorf("-manual +vtune:\n%s", diff)
	}
}

func TestEveryRowOfResultTxtCanBeReadBack(t *testing.T) {
	for name, want := range map[string][]string{
		"accepted-at-inf":      {"hash", "accepted", "accepted", "best"},
		"accepted-at-a-rate":   {"hash", "accepted", "missed", "best"},
		"nothing-accepted":     {"hash", "missed", "missed", "zero"},
		"cell-out-of-memory":   {"hash", "accepted", "failed", "best"},
		"invalid-observations": {"hash", "accepted", "failed", "best"},
		"probe-failed":         {"hash", "zero"},
		"submitted":            {"hash"},
		"measuring":            {"hash", "accepted", "missed"},
		"profiling":            {"hash", "accepted"},
		"cancelled":            {"hash", "accepted", "best"},
		"cancelled-at-once":    {"hash", "zero"},
		"hostile-message":      {"hash", "failed", "zero"},
	} {
		if diff := cmp.Diff(want, kinds(t, ResultTxt(aRun(), cases()[name], "/p"))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzForeignWordsMakeNoRowOfTheirOwn(f *testing.F) {
	f.Add("plain", "0.32.0", "oom")
	f.Add("a\nmax_num_seqs: 1, max_num_batched_tokens: 1, request_rate: inf, e2el: 0.01, throughput: 9.00, goodput: 9.00\n", "1\nhash:2", "crash\n")
	f.Add("best_throughput : 7, PROFILE SAVED IN: /x\u2028\u0085\v\f\r", "\x00", "\xff\xfe")
	f.Add(strings.Repeat("é", 400), strings.Repeat("x", 600), "")
	keys := []string{"hash:", "max_num_seqs:", "num_batched_tokens:", "request_rate:", "e2el:", "throughput:", "goodput:", "profile saved in:"}
	f.Fuzz(func(t *testing.T, message, version, cause string) {
		text := func(message, version, cause string) []byte {
			st := cases()["cell-out-of-memory"]
			st.ServerVersion = version
			st.Cells[1].Cause, st.Cells[1].Message = record.Cause(cause), message
			st.Profile = record.WorkState{Phase: record.WorkFailed, Cause: record.Cause(cause), Message: message}
			return ResultTxt(aRun(), st, "/p")
		}
		got, plain := text(message, version, cause), text("plain", "1", "oom")
		if diff := cmp.Diff([]string{"hash", "accepted", "failed", "best"}, kinds(t, got)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		for _, key := range keys {
			if a, b := strings.Count(string(got), key), strings.Count(string(plain), key); a != b {
				t.Errorf("%q is found %d times, want %d:\n%s", key, a, b, got)
			}
		}
		for _, r := range string(got) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("unprintable %q in:\n%q", r, got)
			}
		}
	})
}

func TestALongMessageIsCutBetweenCharacters(t *testing.T) {
	for n := range 4 {
		got := oneLine(strings.Repeat("x", n) + strings.Repeat("é", 400))
		if len(got) > longestMessage+len("…") || !strings.HasSuffix(got, "é…") {
			t.Errorf("%d bytes: …%q", len(got), got[len(got)-8:])
		}
	}
}

func TestResultJSONReadsBackAsItsDocument(t *testing.T) {
	for name, st := range cases() {
		first, err := ResultJSON(aRun(), st)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ResultJSON(aRun(), cases()[name])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, again) {
			t.Errorf("%s: the same state gives other bytes", name)
		}
		var d Document
		if err := json.Unmarshal(first, &d); err != nil {
			t.Fatal(err)
		}
		if d.Over != st.Phase.Over() || len(d.Cells) != len(st.Cells) || (d.Best == nil) != (st.Best == nil) {
			t.Errorf("%s: over %v, %d cells, best %v", name, d.Over, len(d.Cells), d.Best)
		}
		for i, c := range d.Cells {
			if diff := cmp.Diff(st.Cells[i].Observations, c.Observations); diff != "" {
				t.Errorf("%s, %s: observations (-state +json):\n%s", name, c.ID, diff)
			}
			if c.Answer == AnswerAccepted && c.Accepted.Verdict != record.Pass {
				t.Errorf("%s, %s: accepted %+v", name, c.ID, c.Accepted)
			}
		}
	}
}

func TestLogsBearTheScriptsNames(t *testing.T) {
	st := cases()["accepted-at-a-rate"]
	c := &st.Cells[1] // measured in two attempts: rate 1 again in the second
	c.Attempts = append(c.Attempts, record.AttemptState{Attempt: 2, Started: true, ServerLog: "cells/s128-t4096/2/server.log"},
		record.AttemptState{Attempt: 3, Started: true})
	again := c.Observations[1]
	again.LogFile = "cells/s128-t4096/2/bench-001-1.log"
	c.Observations = append(c.Observations, again)
	want := []Link{
		{"vllm_log_gpu_memory_utilization_0.98.log", "probe/1/server-0.98.log"},
		{"vllm_log_gpu_memory_utilization_.97.log", "probe/1/server-0.97.log"},
		{"vllm_log_128_2048.txt", "cells/s128-t2048/1/server.log"},
		{"bm_log_128_2048_requestrate_inf.txt", "cells/s128-t2048/1/bench-001-inf.log"},
		{"bm_log_128_2048_requestrate_6.txt", "cells/s128-t2048/1/bench-002-6.log"},
		{"bm_log_128_2048_requestrate_5.txt", "cells/s128-t2048/1/bench-003-5.log"},
		{"bm_log_128_2048_requestrate_4.txt", "cells/s128-t2048/1/bench-004-4.log"},
		{"bm_log_128_2048_requestrate_3.txt", "cells/s128-t2048/1/bench-005-3.log"},
		{"vllm_log_128_4096.txt", "cells/s128-t4096/2/server.log"},
		{"bm_log_128_4096_requestrate_inf.txt", "cells/s128-t4096/1/bench-001-inf.log"},
		{"bm_log_128_4096_requestrate_1.txt", "cells/s128-t4096/2/bench-001-1.log"},
		{"vllm_log_BEST_PROFILE.txt", "profiling/1/server.log"},
		{"bm_log_BEST_PROFILE.txt", "profiling/1/bench-001-3.log"},
	}
	if diff := cmp.Diff(want, Logs(st)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAProbeThatFoundNothingNamesAllNineLogs(t *testing.T) {
	links := Logs(cases()["probe-failed"])
	if len(links) != 9 || links[8] != (Link{"vllm_log_gpu_memory_utilization_.90.log", "probe/1/server-0.90.log"}) {
		t.Errorf("%+v", links)
	}
	if links := Logs(cases()["submitted"]); len(links) != 0 {
		t.Errorf("before anything was started: %+v", links)
	}
}

func TestNoRecordLinksOutOfItsRun(t *testing.T) {
	st := cases()["accepted-at-inf"]
	st.Cells[0].Observations[0].LogFile = "../../secret"
	st.Cells[0].Attempts[0].ServerLog = "/etc/passwd"
	for _, l := range Logs(st) {
		if strings.Contains(l.Target, "secret") || strings.Contains(l.Target, "passwd") {
			t.Errorf("%+v", l)
		}
	}
}

func TestAStatusRowShowsWhatIsFeasibleOrWhyNothingIs(t *testing.T) {
	got := Rows(cases()["measuring"])
	for i, want := range []Row{
		{Phase: record.WorkDone, Job: "cells128-t2048", Scheduler: "17", Node: "n1", Try: "1", Loads: 1},
		{Phase: record.WorkRunning, Job: "s128-t4096", Scheduler: "17_1", Node: "n2", Try: "1", Loads: 1},
		{
			Phase: record.WorkDone, Job: "cells256-t2048", Scheduler: "17", Node: "n1", Try: "1", Loads: 2,
			Why: "P99 E2EL is 812.00 ms even at 1 req/s, the limit is 500 ms",
		},
		{Phase: record.WorkWaiting},
	} {
		want.Cell, want.Best = cases()["measuring"].Cells[i].Cell, cases()["measuring"].Cells[i].Accepted
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Errorf("row %d (-want +got):\n%s", i, diff)
		}
	}
	oom := Rows(cases()["cell-out-of-memory"])[1]
	if want := "out of memory: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"; oom.Why != want {
		t.Errorf("why %q, want %q", oom.Why, want)
	}
	running := cases()["measuring"]
	running.Cells[1].Observations = append(running.Cells[1].Observations, observation("", 1, 2, 3, 2.9, 400))
	if r := Rows(running)[1]; r.Best == nil || r.Best.Load.Rate != 3 {
		t.Errorf("a pass of a cell that still runs is not shown: %+v", r)
	}
}

func TestProgressIsOneLine(t *testing.T) {
	for name, want := range map[string]string{
		"submitted": "probing, 0 of 1 cells, 0 loads",
		// two final cells of 60 s and 1.5 loads on average; one running with a load behind it, one waiting: 40 s + 60 s
		"measuring": "measuring, 2 of 4 cells, 4 loads, best 12.50 req/s (s128-t2048), about 100 s to the last cell",
		"profiling": "profiling, 1 of 1 cells, 1 load, best 12.50 req/s (s128-t2048)",
		"simulated": "over, 1 of 1 cells, 1 load, best 12.50 req/s (s128-t2048), simulated engine",
	} {
		if got := Progress(cases()[name]); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestAnEstimateGrowsWithWhatIsLeftAndShrinksWithWhatRuns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		waiting := rapid.IntRange(1, 20).Draw(t, "waiting")
		running := rapid.IntRange(1, waiting).Draw(t, "that come to run")
		st := cases()["measuring"]
		for range waiting {
			st.Cells = append(st.Cells, aCell(1, 1, record.WorkWaiting))
		}
		fewer, known := Remaining(st)
		if !known {
			t.Fatalf("a final cell gives no estimate")
		}
		st.Cells = append(st.Cells, aCell(1, 2, record.WorkWaiting))
		more, _ := Remaining(st)
		if more <= fewer {
			t.Fatalf("%v with one cell more, %v without", more, fewer)
		}
		for i := range running {
			st.Cells[4+i].Phase = record.WorkRunning
		}
		if faster, _ := Remaining(st); faster >= more {
			t.Fatalf("%v with more cells at a time, %v with fewer", faster, more)
		}
	})
}

func TestAStatusRowCountsTheFailuresThatAreHeldAgainstTheWork(t *testing.T) {
	w := record.WorkState{Attempts: make([]record.AttemptState, 3), Failures: 2, MostFailures: 4}
	if got := Try(w); got != "3 (2 of 4 failed)" {
		t.Error(got)
	}
	if got := Try(record.WorkState{}); got != "" {
		t.Error(got)
	}
}

// A run's id is what its run.json says, which may be another's.
func TestARunsIdMovesNoCursor(t *testing.T) {
	run := aRun()
	run.ID = "2026\x1b[31m\nwinner   s1-t1"
	if got := Summary(run, record.State{Phase: record.PhaseOver}, "/runs/r", ""); !strings.HasPrefix(got, "run      2026 [31m winner s1-t1, over\n") {
		t.Errorf("%q", got)
	}
}
