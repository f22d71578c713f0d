package report

import (
	"maps"
	"time"

	"vtune/internal/record"
)

var began = time.Date(2026, 11, 23, 10, 30, 0, 0, time.UTC)

func aRun() record.Run {
	return record.Run{Schema: 1, ID: "2026_11_23_10_30", Created: began, Program: "vtune", Version: "v0.1.0", Scheduler: "local"}
}

// observation of a cell that passes unless it is changed.
func observation(cell string, attempt, seq int, rate record.Rate, throughput, p99 float64) record.Observation {
	requests := 100
	if rate.IsInf() {
		requests = 1000
	}
	o := record.Observation{
		Schema: 1, Cell: cell, Attempt: attempt, Seq: seq, Load: record.Load{Rate: rate, Requests: requests}, Client: "vllm",
		Started: began, Ended: began.Add(20 * time.Second), Verdict: record.Pass, Complete: true,
		Metrics: record.Metrics{
			Completed: requests, Seconds: float64(requests) / throughput, RequestThroughput: throughput,
			RequestGoodput: throughput, TotalOutputTokens: requests * 16, E2EL: record.Latency{Mean: p99 / 2, P50: p99 / 2, P90: p99, P99: p99},
		},
	}
	o.LogFile = record.Dir("").Attempt(record.KindCell, cell, attempt).BenchLog(seq, rate)
	return o
}

func missed(o record.Observation) record.Observation {
	o.Verdict = record.Miss
	o.Metrics.RequestGoodput = 0
	return o
}

func invalid(o record.Observation, c record.Cause, detail string) record.Observation {
	o.Verdict, o.Cause, o.Detail, o.Metrics = record.Invalid, c, detail, record.Metrics{}
	return o
}

func endedAttempt(kind record.Kind, cell string, outcome record.Outcome) record.AttemptState {
	return record.AttemptState{
		Job: string(kind) + cell, Attempt: 1, Submitted: "17", Node: "n1", Started: true, Ended: true,
		Outcome: outcome, Starts: starts(kind, 1), Seconds: 60, ServerLog: record.Dir("").Attempt(kind, cell, 1).ServerLog(),
	}
}

func aCell(seqs, tokens int, phase record.WorkPhase, obs ...record.Observation) record.CellState {
	c := record.CellState{Cell: record.Cell{ID: record.CellID(seqs, tokens), MaxNumSeqs: seqs, MaxNumBatchedTokens: tokens}, Observations: obs}
	c.Phase = phase
	for i := range c.Observations {
		c.Observations[i].Cell = c.ID
		c.Observations[i].LogFile = record.Dir("").Attempt(record.KindCell, c.ID, 1).BenchLog(i+1, c.Observations[i].Load.Rate)
	}
	switch phase {
	case record.WorkDone, record.WorkFailed:
		c.Attempts = []record.AttemptState{endedAttempt(record.KindCell, c.ID, record.OutcomeDone)}
		c.Attempts[0].Observed = len(obs)
	case record.WorkRunning:
		c.Attempts = []record.AttemptState{{Job: c.ID, Attempt: 1, Submitted: "17_1", Node: "n2", Started: true}}
	}
	if n := len(obs); phase == record.WorkDone && n > 0 && obs[n-1].Verdict == record.Pass {
		c.Accepted = &c.Observations[n-1]
	}
	return c
}

func failed(c record.CellState, cause record.Cause, message string) record.CellState {
	c.Phase, c.Cause, c.Message, c.Accepted = record.WorkFailed, cause, message, nil
	return c
}

// over is a run of these cells that ended well, with the profile of the cell at index best; none below zero.
func over(best int, cells ...record.CellState) record.State {
	st := record.State{
		Schema: 1, Run: aRun().ID, Phase: record.PhaseOver, ServerVersion: "0.32.0+cpu", Utilization: 0.97, Cells: cells,
		Policy: record.Policy{Method: "auto_tune", LimitMS: 500, InfRequests: 1000, RateRequests: 100},
		Ledger: record.Ledger{
			record.SpendStarting: 150, record.SpendClient: 51, record.SpendMeasured: 40.5, record.SpendWaiting: 15, record.SpendStopping: 3.5,
		},
	}
	st.Probe = record.WorkState{Phase: record.WorkDone, Attempts: []record.AttemptState{endedAttempt(record.KindProbe, "", record.OutcomeDone)}}
	st.Probe.Attempts[0].Starts, st.Probe.Attempts[0].ServerLog = starts(record.KindProbe, 2), ""
	st.Profile.Phase = record.WorkWaiting
	if best >= 0 {
		st.Best = &record.Best{Cell: cells[best].Cell, Observation: *cells[best].Accepted}
		st.Profile = record.WorkState{Phase: record.WorkDone, Attempts: []record.AttemptState{endedAttempt(record.KindProfile, "", record.OutcomeDone)}}
		st.ProfileFiles = []string{"profile/rank0.pt.trace.json.gz"}
		st.Ledger[record.SpendProfile] = 94
	}
	return st
}

func changed(st record.State, change func(*record.State)) record.State {
	change(&st)
	return st
}

// cases are the ends (and some middles) that a run can have, by the names of their goldens.
func cases() map[string]record.State {
	inf := record.Inf
	atInf := func(seqs, tokens int, throughput float64) record.CellState {
		return aCell(seqs, tokens, record.WorkDone, observation("", 1, 1, inf, throughput, 450.499))
	}
	atRate := func(seqs, tokens int) record.CellState { // T=5.37, accepted at 3
		return aCell(seqs, tokens, record.WorkDone,
			missed(observation("", 1, 1, inf, 5.37, 9000)), missed(observation("", 1, 2, 6, 5.1, 900)), missed(observation("", 1, 3, 5, 4.6, 800)),
			missed(observation("", 1, 4, 4, 3.8, 600)), observation("", 1, 5, 3, 2.886, 500))
	}
	never := func(seqs, tokens int) record.CellState {
		c := aCell(seqs, tokens, record.WorkDone, missed(observation("", 1, 1, inf, 0.37, 9000)), missed(observation("", 1, 2, 1, 0.36, 812)))
		c.Message = "P99 E2EL is 812.00 ms even at 1 req/s, the limit is 500 ms"
		return c
	}
	started := func(seqs, tokens int) record.CellState { return aCell(seqs, tokens, record.WorkFailed) }
	skipped := func(seqs, tokens int) record.CellState {
		c := aCell(seqs, tokens, record.WorkSkipped)
		c.Cause, c.Message, c.Emulated = record.CauseProbe, "the probe failed", true // planned so, and nothing was measured
		return c
	}
	all := map[string]record.State{
		"accepted-at-inf":      over(1, atInf(128, 2048, 9.8), atInf(256, 2048, 12.499)),
		"accepted-at-a-rate":   over(0, atRate(128, 2048), never(128, 4096)),
		"first-of-equals":      over(0, atInf(128, 2048, 12.5), atInf(256, 2048, 12.5)),
		"nothing-accepted":     over(-1, never(128, 2048), never(128, 4096)),
		"no-limit":             changed(over(0, atInf(128, 2048, 12.5)), func(st *record.State) { st.Policy.LimitMS = 0 }),
		"a-fraction-as-limit":  changed(over(-1, never(128, 2048)), func(st *record.State) { st.Policy.LimitMS = 499.5 }),
		"a-hundred-billion-ms": changed(over(-1, never(128, 2048)), func(st *record.State) { st.Policy.LimitMS = 1e11 }),
		"cell-out-of-memory": over(0, atInf(128, 2048, 12.5), failed(started(256, 4096), record.CauseOOM,
			"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")),
		"cell-crashed": over(-1, never(128, 2048), failed(started(256, 4096), record.CauseCrash,
			"the server was ended by SIGSEGV before it was healthy; its log is empty (after 2 attempts)")),
		"cell-failed-silently": over(-1, failed(started(256, 4096), record.CauseNone, "")),
		"invalid-observations": over(0, atInf(128, 2048, 12.5), failed(aCell(256, 4096, record.WorkFailed,
			invalid(observation("", 1, 1, inf, 9, 0.01), record.CauseRequests, "900 of 1000 requests failed"),
			invalid(observation("", 1, 2, inf, 9, 0.01), record.CauseRequests, "900 of 1000 requests failed")),
			record.CauseRequests, "no valid inf run: 900 of 1000 requests failed")),
		"every-cell-failed": over(-1, failed(started(128, 4096), record.CauseOOM, "CUDA out of memory"), failed(started(256, 4096), record.CauseLost, "")),
		"probe-failed": changed(over(-1, skipped(128, 2048), skipped(128, 4096)), func(st *record.State) {
			st.Utilization, st.ServerVersion = 0, ""
			st.Ledger = record.Ledger{record.SpendStarting: 450, record.SpendOther: 1}
			st.Probe.Phase, st.Probe.Cause = record.WorkFailed, record.CauseOOM
			st.Probe.Message = "no gpu-memory-utilization from 0.98 down to 0.90 fits: CUDA out of memory"
			st.Probe.Attempts[0].Outcome, st.Probe.Attempts[0].Starts = record.OutcomeFailed, starts(record.KindProbe, 9)
		}),
		"flags-refused": changed(over(-1, skipped(128, 2048)), func(st *record.State) {
			st.Utilization, st.ServerVersion = 0, ""
			st.Ledger = record.Ledger{record.SpendOther: 0.01} // a row of zeros is no answer
			st.Ledger = nil
			st.Probe.Phase, st.Probe.Cause = record.WorkFailed, record.CauseFlags
			st.Probe.Message = "vllm serve: error: unrecognized arguments: --no-such-flag"
			st.Probe.Attempts[0].Outcome, st.Probe.Attempts[0].Starts = record.OutcomeFailed, starts(record.KindProbe, 1)
		}),
		"profile-failed": changed(over(0, atInf(128, 2048, 12.5)), func(st *record.State) {
			st.Profile.Phase, st.Profile.Cause, st.Profile.Message = record.WorkFailed, record.CauseTimeout, "the trace was not written in 600 s"
			st.ProfileFiles = nil
		}),
		"profile-empty": changed(over(0, atInf(128, 2048, 12.5)), func(st *record.State) { st.ProfileFiles = nil }),
		"submitted": {
			Schema: 1, Run: aRun().ID, Phase: record.PhaseProbing, Probe: record.WorkState{Phase: record.WorkWaiting},
			Policy: record.Policy{Method: "auto_tune", LimitMS: 500, InfRequests: 1000, RateRequests: 100},
			Cells:  []record.CellState{aCell(128, 2048, record.WorkWaiting)},
		},
		"measuring": changed(over(0, atInf(128, 2048, 12.5), aCell(128, 4096, record.WorkRunning, missed(observation("", 1, 1, inf, 5.37, 9000))),
			never(256, 2048), aCell(256, 4096, record.WorkWaiting)), func(st *record.State) {
			st.Phase, st.Profile, st.ProfileFiles = record.PhaseMeasuring, record.WorkState{Phase: record.WorkWaiting}, nil
		}),
		"profiling": changed(over(0, atInf(128, 2048, 12.5)), func(st *record.State) {
			st.Phase, st.Profile, st.ProfileFiles = record.PhaseProfiling, record.WorkState{Phase: record.WorkRunning}, nil
		}),
		"cancelled": changed(over(0, atInf(128, 2048, 12.5), aCell(128, 4096, record.WorkRunning)), func(st *record.State) {
			st.Phase, st.Profile, st.ProfileFiles = record.PhaseCancelled, record.WorkState{Phase: record.WorkWaiting}, nil
			st.Cells[1].Attempts[0].Ended = true
		}),
		"cancelled-at-once": changed(over(-1, aCell(128, 2048, record.WorkWaiting)), func(st *record.State) {
			st.Phase, st.ServerVersion, st.Ledger = record.PhaseCancelled, "", nil
			st.Probe = record.WorkState{Phase: record.WorkRunning}
		}),
		"version-with-commit": changed(over(-1, never(128, 2048)), func(st *record.State) { st.ServerVersion = "0.11.1.dev7+gabc1234" }),
		"version-of-a-changed-tree": changed(over(-1, never(128, 2048)), func(st *record.State) {
			st.ServerVersion = "0.11.1.dev7+gabc1234.d20261123"
		}),
		"simulated": changed(over(0, atInf(128, 2048, 12.5)), func(st *record.State) { st.ServerVersion = "0.32.0+sim" }),
		"hostile-message": over(-1, failed(started(128, 2048), record.CauseCrash,
			"boom\nbest_max_num_seqs: 999, best_num_batched_tokens: 9, best_throughput: 1e9\r\n\u2028\u202e\x1b[2Jhash:evil\x00\xff")),
	}
	maps.Copy(all, vtuneCases())
	return all
}

// starts are n starts of servers; the probe's go down from 0.98.
func starts(k record.Kind, n int) []record.Start {
	var all []record.Start
	for i := range n {
		s := record.Start{OK: i == n-1, Seconds: 50}
		if k == record.KindProbe {
			s.Utilization = float64(98-i) / 100
			s.LogFile = record.Dir("").Attempt(k, "", 1).ProbeLog(s.Utilization)
		}
		all = append(all, s)
	}
	return all
}
