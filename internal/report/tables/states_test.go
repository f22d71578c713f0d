package tables

import (
	"time"

	"vtune/internal/record"
)

var began = time.Date(2026, 11, 23, 10, 30, 0, 0, time.UTC)

func aRun() record.Run { return record.Run{Schema: 1, ID: "2026_11_23_10_30", Created: began} }

func around(v, share float64) record.Interval {
	return record.Interval{Value: v, Low: v * (1 - share), High: v * (1 + share)}
}

// observation is a run of method vtune at a rate, with intervals.
func observation(cell string, seq int, p record.Purpose, rate record.Rate, v record.Verdict, p99 float64) record.Observation {
	o := record.Observation{
		Cell: cell, Attempt: 1, Seq: seq, Load: record.Load{Rate: rate, Requests: 3000, Purpose: p}, Client: "vtune", Seed: 7,
		Started: began, Ended: began.Add(time.Minute), Verdict: v, Complete: true,
		LogFile: record.Dir("").Attempt(record.KindCell, cell, 1).BenchLog(seq, rate),
		Metrics: record.Metrics{Completed: 1210, Seconds: 60, RequestThroughput: min(float64(rate), 13.37), E2EL: record.Latency{P50: p99 / 2, P99: p99}},
	}
	o.Steady = &record.Steady{From: 5, To: 55, Requests: 1100, Effective: 20, Throughput: around(o.Metrics.RequestThroughput, 0.013), Reason: "few are late"}
	if !rate.IsInf() {
		o.Standings = []record.Standing{{
			Limit: record.Limit{Metric: record.E2EL, Percentile: 99, MS: 500}, Verdict: v, Independent: 830,
			Share: record.Interval{Value: 0.006, Low: 0.004, High: 0.009}, At: record.Interval{Value: p99, Low: 0.9 * p99, High: 1.2 * p99}, Near: p99 > 490,
		}}
	}
	return o
}

func aCell(seqs, tokens int, phase record.WorkPhase, obs ...record.Observation) record.CellState {
	c := record.CellState{Cell: record.Cell{ID: record.CellID(seqs, tokens), MaxNumSeqs: seqs, MaxNumBatchedTokens: tokens}, Observations: obs}
	c.Phase = phase
	c.Attempts = []record.AttemptState{{Job: c.ID + "-1", Attempt: 1, Node: "n1", Started: true, Ended: true, Outcome: record.OutcomeDone}}
	return c
}

func accepted(seqs, tokens int, rate record.Rate, p99 float64) record.CellState {
	id := record.CellID(seqs, tokens)
	c := aCell(seqs, tokens, record.WorkDone, observation(id, 1, record.Bound, record.Inf, record.Pass, 9000),
		observation(id, 2, record.Explore, rate*1.1, record.Miss, 600), observation(id, 3, record.Confirm, rate, record.Pass, p99))
	c.Accepted = &c.Observations[2]
	c.Accepted.Load.Likely = float64(rate) * 1.02
	return c
}

func vtune(cells ...record.CellState) record.State {
	st := record.State{
		Schema: 1, Run: aRun().ID, Phase: record.PhaseOver, ServerVersion: "0.11.0", Utilization: 0.95, Cells: cells, Accelerators: 2,
		Policy: record.Policy{
			Method: "vtune", LimitMS: 500, Tolerance: 0.02, Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: 500}},
			Test: record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxSeconds: 600},
		},
		Ledger: record.Ledger{record.SpendStarting: 150, record.SpendMeasured: 600, record.SpendStopping: 3.5},
	}
	if len(cells) > 0 && cells[0].Accepted != nil {
		st.Best = &record.Best{Cell: cells[0].Cell, Observation: *cells[0].Accepted}
	}
	return st
}

// hostile words are what a log may hold.
const hostile = "=cmd|' /C calc'!A0 | ` </details><script>alert(1)</script> @everyone #1 [x](javascript:y)\n~~~\n\x1b[2J\u202e**boom**"

// states are the ends and middles that a run can have, by the names of their goldens.
func states() map[string]record.State {
	leftOut := aCell(64, 4096, record.WorkDone, observation("s64-t4096", 1, record.Bound, record.Inf, record.Pass, 9000))
	leftOut.Left, leftOut.Bound, leftOut.Message = true, 12.3456, "it reaches 12.35 req/s at most, and the best so far may hold 12.4"
	stood := aCell(32, 4096, record.WorkDone, observation("s64-t4096", 2, record.Explore, 7.5, record.Miss, 900))
	stood.Observations[0].Cell, stood.Observations[0].Emulated, stood.Attempts = "s32-t4096", true, nil
	stood.Left, stood.Bound, stood.Emulated = true, 7.5, true
	ruled := aCell(32, 512, record.WorkSkipped)
	ruled.Left, ruled.Message = true, "s128-t512 holds less with more"
	failed := aCell(256, 8192, record.WorkFailed)
	failed.Cause, failed.Message = record.CauseOOM, hostile
	failed.Attempts[0].Node, failed.Attempts[0].Slow = "n2 "+hostile, 0.2
	missed := aCell(1, 512, record.WorkDone, observation("s1-t512", 1, record.Explore, 0.1, record.Miss, 9000))
	missed.Message = "the limit is missed even at 0.001 req/s"
	unsure := aCell(256, 2048, record.WorkDone, observation("s256-t2048", 1, record.Confirm, 12.1, record.Unsure, 499))
	unsure.Message = "12.2 req/s may be held, but 8 runs could not show that any rate is"
	second := accepted(128, 4096, 11, 480)
	second.Utilization = 0.93
	waiting := aCell(512, 512, record.WorkWaiting)
	waiting.Attempts = nil
	spoilt := observation("s512-t512", 1, record.Bound, record.Inf, record.Invalid, 0)
	spoilt.Cause, spoilt.Detail, spoilt.Metrics, spoilt.Steady = record.CauseRequests, hostile, record.Metrics{}, nil

	every := vtune(accepted(256, 4096, 12.24, 493), second, leftOut, stood, ruled, failed, missed, unsure)
	every.Warnings = []string{"s64-t2048 held 9 req/s on a server of its own\nand 12 behind a queue: emulation was not relied on"}
	running := vtune(accepted(256, 4096, 12.24, 493), aCell(512, 512, record.WorkRunning, spoilt), waiting)
	running.Phase = record.PhaseMeasuring
	limits := vtune(accepted(256, 4096, 12.24, 493))
	limits.Policy.LimitMS, limits.Policy.Limits = 0, append(limits.Policy.Limits, record.Limit{Metric: record.TTFT, Percentile: 90, MS: 100})
	goodput := vtune(accepted(256, 4096, 12.24, 493))
	goodput.Policy.LimitMS, goodput.Policy.GoodputPct = 0, 95
	goodput.Cells[0].Accepted.Standings[0] = record.Standing{Limit: record.Limit{Metric: record.Goodput, Percentile: 95}, Verdict: record.Pass, Share: record.Interval{Value: 0.03, Low: 0.02, High: 0.05}}

	script := vtune(aCell(128, 2048, record.WorkDone, observation("s128-t2048", 1, "", record.Inf, record.Miss, 9000), observation("s128-t2048", 2, "", 3, record.Pass, 450.49)))
	script.Policy = record.Policy{Method: "auto_tune", LimitMS: 500, InfRequests: 1000, RateRequests: 100}
	for i := range script.Cells[0].Observations {
		script.Cells[0].Observations[i].Steady, script.Cells[0].Observations[i].Standings = nil, nil
	}
	script.Cells[0].Accepted = &script.Cells[0].Observations[1]
	script.Best = &record.Best{Cell: script.Cells[0].Cell, Observation: *script.Cells[0].Accepted}
	open := vtune(aCell(128, 2048, record.WorkDone, observation("s128-t2048", 1, record.Bound, record.Inf, record.Pass, 9000)))
	open.Policy.LimitMS, open.Policy.Limits = 0, nil
	open.Cells[0].Accepted = &open.Cells[0].Observations[0]
	open.Best = &record.Best{Cell: open.Cells[0].Cell, Observation: *open.Cells[0].Accepted}
	none := vtune(missed, unsure, failed)
	return map[string]record.State{
		"every-answer": every, "running": running, "two-limits": limits, "goodput": goodput, "auto-tune": script, "no-limit": open, "no-winner": none,
		"nothing-yet": {Phase: record.PhaseProbing, Policy: every.Policy, Cells: []record.CellState{waiting}},
	}
}
