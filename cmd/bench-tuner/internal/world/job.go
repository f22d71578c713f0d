package world

import (
	"slices"

	"vtune/internal/record"
)

// What a scheduler's job and a client spend beside the load, in seconds, as measured on an H200.
const (
	Stop         = 2.5  // SIGTERM to exit
	ClientStart  = 12.0 // imports of `vllm bench serve`
	TraceWriting = 94.0 // POST /stop_profile after 100 prompts
	BoundProfile = 5.0  // of a few steps
	Drain        = 0.1  // an abort
	pollGrain    = 10.0 // auto_tune.sh asks /health so often
	SleepBefore  = 5.0  // auto_tune.sh, after a cache reset
	SleepAfter   = 10.0 // auto_tune.sh, after a cell
)

// Prompts is what `vllm bench serve` takes to make them up: 1.2 s for 100, 8 s for 1000.
func Prompts(n int) float64 { return 1.2 + (8-1.2)*float64(n-100)/900 }

// Polled is a start as somebody sees it who asks every ten seconds, for the first time at once.
func Polled(seconds float64) float64 {
	polls := int(seconds / pollGrain)
	if float64(polls)*pollGrain < seconds {
		polls++
	}
	return float64(polls) * pollGrain
}

// Job is a job of a scheduler: it holds a server's GPUs from its beginning to its end.
type Job struct {
	Name    string        `json:"name"`
	Seconds float64       `json:"seconds"`
	Ledger  record.Ledger `json:"ledger_s"`
	Starts  int           `json:"starts"`
	Runs    int           `json:"runs"`
	After   []int         `json:"after,omitempty"` // jobs that must be over before it starts, by index
}

// Spend lets time pass.
func (j *Job) Spend(activity string, seconds float64) {
	if j.Ledger == nil {
		j.Ledger = record.Ledger{}
	}
	j.Ledger[activity] += seconds
	j.Seconds += seconds
}

// Wall is how long the jobs take on so many slots: in their order, each starts on the slot that is free first, once what it
// waits for is over.
func Wall(jobs []Job, slots int) float64 {
	free := make([]float64, slots)
	ends := make([]float64, len(jobs))
	for i, j := range jobs {
		at := slices.Index(free, slices.Min(free))
		begin := free[at]
		for _, k := range j.After {
			begin = max(begin, ends[k])
		}
		ends[i] = begin + j.Seconds
		free[at] = ends[i]
	}
	if len(ends) == 0 {
		return 0
	}
	return slices.Max(ends)
}
