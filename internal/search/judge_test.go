package search

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

func TestVerdictsComeFromNumbersThatCanBeTrue(t *testing.T) {
	with := func(change func(*record.Metrics)) record.Metrics {
		m := metrics(100, 9.5, 450)
		change(&m)
		return m
	}
	for _, test := range []struct {
		name    string
		metrics record.Metrics
		verdict record.Verdict
		cause   record.Cause
		detail  string // a part of it
	}{
		{"within the limit", metrics(100, 9.5, 450), record.Pass, "", ""},
		{"at the limit", metrics(100, 9.5, 500), record.Pass, "", ""},
		{"at the limit as it is printed", metrics(100, 9.5, 500.004), record.Pass, "", ""},
		{"over the limit", metrics(100, 9.5, 500.006), record.Miss, "", ""},
		{"a goodput of zero is a fact", with(func(m *record.Metrics) { m.RequestGoodput, m.E2EL.P99 = 0, 900 }), record.Miss, "", ""},
		{"a dead server: nothing completed, P99 0.00", record.Metrics{Failed: 100, Seconds: 1}, record.Invalid, record.CauseRequests, "100 of 100 requests failed"},
		{"the client wrote nothing", record.Metrics{}, record.Invalid, record.CauseClient, "no requests at all"},
		{"one failed", with(func(m *record.Metrics) { m.Completed, m.Failed = 99, 1 }), record.Invalid, record.CauseRequests, "1 of 100 requests failed"},
		{"one failed and all completed", with(func(m *record.Metrics) { m.Failed = 1 }), record.Invalid, record.CauseRequests, "1 of 100"},
		{"one lost", with(func(m *record.Metrics) { m.Completed = 99 }), record.Invalid, record.CauseRequests, "99 of 100 requests were completed"},
		{"more than were sent", with(func(m *record.Metrics) { m.Completed = 101 }), record.Invalid, record.CauseClient, "101 completed"},
		{"a negative count", with(func(m *record.Metrics) { m.Failed = -1 }), record.Invalid, record.CauseClient, "-1 failed"},
		{"answers without tokens", with(func(m *record.Metrics) { m.TotalOutputTokens = 0 }), record.Invalid, record.CauseRequests, "no output tokens"},
		{"no duration", with(func(m *record.Metrics) { m.Seconds = 0 }), record.Invalid, record.CauseClient, "duration of 0"},
		{"no latency", with(func(m *record.Metrics) { m.E2EL.P99 = 0 }), record.Invalid, record.CauseClient, "P99 E2EL of 0"},
		{"a latency that is no number", with(func(m *record.Metrics) { m.E2EL.P99 = math.NaN() }), record.Invalid, record.CauseClient, "P99 E2EL of NaN"},
		{"a negative latency", with(func(m *record.Metrics) { m.E2EL.P99 = -3 }), record.Invalid, record.CauseClient, "P99 E2EL of -3"},
		{"an infinite throughput", with(func(m *record.Metrics) { m.RequestThroughput = math.Inf(1) }), record.Invalid, record.CauseClient, "request throughput of +Inf"},
		{"a goodput that is no number", with(func(m *record.Metrics) { m.RequestGoodput = math.NaN() }), record.Invalid, record.CauseClient, "goodput of NaN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict, cause, detail := Judge(policy, test.metrics, 100)
			if verdict != test.verdict || cause != test.cause || !strings.Contains(detail, test.detail) {
				t.Errorf("%s, %q, %q", verdict, cause, detail)
			}
		})
	}
	p := policy
	p.LimitMS = 0
	if verdict, _, _ := Judge(p, metrics(100, 9.5, 1e12), 100); verdict != record.Pass {
		t.Errorf("without a limit: %s", verdict)
	}
}

func TestWhatPassesIsWholeAndWithinTheLimit(t *testing.T) {
	number := rapid.OneOf(rapid.Float64Range(0, 1000), rapid.SampledFrom([]float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 500}))
	rapid.Check(t, func(t *rapid.T) {
		sent := rapid.IntRange(-1, 3).Draw(t, "sent")
		m := record.Metrics{
			Completed: rapid.IntRange(-1, 4).Draw(t, "completed"), Failed: rapid.IntRange(-1, 2).Draw(t, "failed"),
			Seconds: number.Draw(t, "duration"), RequestThroughput: number.Draw(t, "throughput"), RequestGoodput: number.Draw(t, "goodput"),
			TotalOutputTokens: rapid.IntRange(-1, 2).Draw(t, "tokens"), E2EL: record.Latency{P99: number.Draw(t, "P99")},
		}
		verdict, cause, detail := Judge(policy, m, sent)
		sound := sent > 0 && m.Completed == sent && m.Failed == 0 && m.TotalOutputTokens > 0 &&
			m.Seconds > 0 && m.RequestThroughput > 0 && m.RequestGoodput >= 0 && m.E2EL.P99 > 0 &&
			m.Seconds <= math.MaxFloat64 && m.RequestThroughput <= math.MaxFloat64 && m.RequestGoodput <= math.MaxFloat64 && m.E2EL.P99 <= math.MaxFloat64
		switch {
		case !sound:
			if verdict != record.Invalid || cause == record.CauseNone || detail == "" {
				t.Fatalf("%s, %q, %q", verdict, cause, detail)
			}
		case m.E2EL.P99 <= 500:
			if verdict != record.Pass {
				t.Fatalf("%s", verdict)
			}
		case m.E2EL.P99 > 500.01:
			if verdict != record.Miss {
				t.Fatalf("%s", verdict)
			}
		}
	})
}

func TestBestIsTheStrictlyGreatestAndTheFirstOfEquals(t *testing.T) {
	cell := func(seqs int, throughput float64, v record.Verdict) record.CellState {
		c := record.CellState{Cell: record.Cell{ID: record.CellID(seqs, 512), MaxNumSeqs: seqs, MaxNumBatchedTokens: 512}}
		if v != "" {
			c.Accepted = &record.Observation{Verdict: v, Metrics: metrics(100, throughput, 400)}
		}
		return c
	}
	for _, test := range []struct {
		name  string
		cells []record.CellState
		want  int // max_num_seqs; 0: none
	}{
		{"no cells", nil, 0},
		{"nothing accepted", []record.CellState{cell(1, 9, ""), cell(2, 9, "")}, 0},
		{"the greatest", []record.CellState{cell(1, 9, record.Pass), cell(2, 12, record.Pass), cell(3, 11, record.Pass)}, 2},
		{"the first of equals", []record.CellState{cell(1, 9, record.Pass), cell(2, 12, record.Pass), cell(3, 12, record.Pass)}, 2},
		{"equal as they are printed", []record.CellState{cell(1, 12.001, record.Pass), cell(2, 12.004, record.Pass)}, 1},
		{"different as they are printed", []record.CellState{cell(1, 12.004, record.Pass), cell(2, 12.006, record.Pass)}, 2},
		{"an observation that is no pass is no answer, whoever says so", []record.CellState{cell(1, 99, record.Invalid), cell(2, 99, record.Miss), cell(3, 1, record.Pass)}, 3},
		{"a throughput that is no number is none", []record.CellState{cell(1, math.NaN(), record.Pass), cell(2, math.Inf(1), record.Pass), cell(3, 1, record.Pass)}, 3},
		{"a throughput that is printed as zero is one", []record.CellState{cell(1, 0.004, record.Pass)}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := Best(policy, test.cells)
			switch {
			case test.want == 0 && got != nil:
				t.Errorf("got %+v", got)
			case test.want != 0 && (got == nil || got.Cell.MaxNumSeqs != test.want):
				t.Errorf("got %+v, want %d", got, test.want)
			}
		})
	}
}
