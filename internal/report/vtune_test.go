package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
)

// run is an observation of method vtune at a rate, with its one limit on P99 E2EL of 500 ms.
func run(p record.Purpose, rate record.Rate, v record.Verdict, p99 float64) record.Observation {
	o := observation("", 1, 1, rate, min(float64(rate), 13), p99)
	o.Load.Purpose, o.Load.Requests, o.Client, o.Verdict = p, 3000, "vtune", v
	o.Steady = &record.Steady{
		From: 12, To: 112, Requests: 1210, Effective: 830, Throughput: around(o.Metrics.RequestThroughput, 0.01),
		Reason: "0.61 % of 1210 requests beyond it,\nwhich come 1.5 at a time",
	}
	if !rate.IsInf() {
		o.Standings = []record.Standing{{
			Limit: record.Limit{Metric: record.E2EL, Percentile: 99, MS: 500}, Verdict: v, Independent: 830,
			Share: record.Interval{Value: 0.0061, Low: 0.004, High: 0.009}, At: around(p99, 0.02), Near: p99 > 490,
		}}
	}
	return o
}

func around(v, share float64) record.Interval {
	return record.Interval{Value: v, Low: v * (1 - share), High: v * (1 + share)}
}

func vtuneCell(seqs, tokens int, obs ...record.Observation) record.CellState {
	return aCell(seqs, tokens, record.WorkDone, obs...)
}

func left(c record.CellState, bound float64, reason string) record.CellState {
	c.Left, c.Bound, c.Message, c.Accepted = true, bound, reason, nil
	return c
}

// ofVtune is a run of that method with these cells, of which the first won; its trace is the confirming server's.
func ofVtune(cells ...record.CellState) record.State {
	st := over(0, cells...)
	st.Policy = record.Policy{
		Method: "vtune", LimitMS: 500, InfRequests: 1000, RateRequests: 100, Tolerance: 0.02, Prune: record.PruneBound, Emulate: record.EmulateAuto,
		Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: 500}},
		Test:   record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxSeconds: 600},
	}
	st.Profile = record.WorkState{Phase: record.WorkWaiting}
	st.Accelerators = 2
	st.Ledger[record.SpendClient], st.Ledger[record.SpendMeasured], st.Ledger[record.SpendDraining], st.Ledger[record.SpendOther] = 0, 640, 31, 2.5
	return st
}

func vtuneCases() map[string]record.State {
	bound := run(record.Bound, record.Inf, record.Pass, 9000)
	winner := vtuneCell(256, 4096, bound, run(record.Explore, 12.9, record.Miss, 600), run(record.Explore, 12.3, record.Pass, 480), run(record.Confirm, 12.24, record.Pass, 493))
	winner.Accepted.Load.Likely = 12.3
	second := vtuneCell(128, 4096, bound, run(record.Confirm, 11, record.Pass, 480))
	second.Utilization = 0.93
	nearly := left(vtuneCell(128, 2048, bound), 12.35, "it does not hold 12.35 req/s, and the best so far may hold 12.24")
	emulated := left(vtuneCell(64, 4096, bound), 7.5, "it reaches 7.5 req/s at most, and the best so far may hold 12.24")
	emulated.Emulated = true
	ruled := left(aCell(64, 512, record.WorkSkipped), 0, "s128-t512 holds less with more")
	never := vtuneCell(1, 512, bound, run(record.Explore, 0.1, record.Miss, 9000))
	never.Message = "the limit is missed even at 0.001 req/s"
	unsure := vtuneCell(256, 2048, bound, run(record.Explore, 12.2, record.Pass, 480), run(record.Confirm, 12.1, record.Unsure, 499), run(record.Confirm, 11.9, record.Unsure, 499))
	unsure.Message = "12.2 req/s may be held, but 8 runs could not show that any rate is"

	goodput := ofVtune(winner, never)
	goodput.Policy.LimitMS, goodput.Policy.GoodputPct = 0, 95
	goodput.Policy.Limits = []record.Limit{{Metric: record.TTFT, Percentile: 99, MS: 200}, {Metric: record.E2EL, Percentile: 99, MS: 500}}
	goodput.Best.Observation.Standings = []record.Standing{{
		Limit: record.Limit{Metric: record.Goodput, Percentile: 95}, Verdict: record.Pass, Share: record.Interval{Value: 0.031, Low: 0.02, High: 0.048},
	}}
	limits := ofVtune(winner, never)
	limits.Policy.LimitMS, limits.Policy.Limits = 0, goodput.Policy.Limits
	none := ofVtune(vtuneCell(256, 4096, bound), left(vtuneCell(128, 4096, bound), 9.75, "it reaches 9.75 req/s at most, the best so far 13"))
	none.Policy.LimitMS, none.Policy.Limits = 0, nil
	cut := ofVtune(winner, ruled)
	cut.Profile = record.WorkState{Phase: record.WorkSkipped, Message: "profile.with is none"}
	cut.ProfileFiles = nil
	nothing := ofVtune(winner, never, unsure)
	nothing.Cells, nothing.Best, nothing.ProfileFiles = nothing.Cells[1:], nil, nil
	return map[string]record.State{
		"vtune-nothing-shown": nothing,
		"vtune": changed(ofVtune(winner, second, nearly, emulated, ruled, never, unsure), func(st *record.State) {
			st.Warnings = []string{"s64-t2048 held 9 req/s on a server of its own\nand 12 behind a queue: emulation was not relied on"}
		}),
		"vtune-goodput": goodput, "vtune-two-limits": limits, "vtune-no-limit": none, "vtune-without-a-profile": cut,
	}
}

func TestRowsOfMethodVtuneCanBeReadBack(t *testing.T) {
	for name, want := range map[string][]string{
		"vtune":            {"hash", "accepted", "accepted", "left", "left", "left", "missed", "unsure", "best"},
		"vtune-goodput":    {"hash", "accepted", "missed", "best"},
		"vtune-two-limits": {"hash", "accepted", "missed", "best"},
		"vtune-no-limit":   {"hash", "accepted", "left", "best"},
	} {
		if diff := cmp.Diff(want, kinds(t, ResultTxt(aRun(), cases()[name], "/p"))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestALogsNameGoesToTheRunThatIsTheAnswer(t *testing.T) {
	st := cases()["vtune"]
	c := &st.Cells[0]
	again := c.Observations[3]
	again.LogFile, again.Verdict = "cells/s256-t4096/2/bench-001-12.24.log", record.Unsure
	c.Observations = append(c.Observations, again)
	named := map[string]string{}
	for _, l := range Logs(st) {
		if _, twice := named[l.Name]; twice {
			t.Errorf("two logs have the name %s", l.Name)
		}
		named[l.Name] = l.Target
	}
	for name, want := range map[string]string{
		"bm_log_256_4096_requestrate_12.24.txt": c.Accepted.LogFile,
		"bm_log_256_4096_requestrate_inf.txt":   c.Observations[0].LogFile,
		"vllm_log_BEST_PROFILE.txt":             "cells/s256-t4096/1/server.log", // no job of its own: the confirming server's
	} {
		if named[name] != want {
			t.Errorf("%s is %q, want %q", name, named[name], want)
		}
	}
}

func TestOnlyAConfirmingPassIsShownAsFeasible(t *testing.T) {
	st := cases()["vtune"]
	for i, want := range []record.Rate{12.24, 11, 0, 0, 0, 0, 0} {
		got := record.Rate(0)
		if b := Rows(st)[i].Best; b != nil {
			got = b.Load.Rate
		}
		if got != want {
			t.Errorf("%s: %v is shown as feasible, want %v", st.Cells[i].ID, got, want)
		}
	}
	bare := cases()["vtune-no-limit"]
	bare.Cells[0].Accepted = nil
	if b := Rows(bare)[0].Best; b == nil || !b.Load.Rate.IsInf() {
		t.Errorf("without a limit a throughput is an answer: %+v", b)
	}
}

func TestTheShareUnderLoadIsOfReadyTime(t *testing.T) {
	l := record.Ledger{
		record.SpendStarting: 500, record.SpendStopping: 9, record.SpendProfile: 60, record.SpendMeasured: 60,
		record.SpendDraining: 10, record.SpendWaiting: 10, record.SpendClient: 10, record.SpendOther: 10,
	}
	if got := underLoad(l); got != 0.6 {
		t.Errorf("%v, want 0.6", got)
	}
	if got := underLoad(record.Ledger{record.SpendStarting: 1}); got != 0 {
		t.Errorf("nothing was ready: %v", got)
	}
}
