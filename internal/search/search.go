// Package search decides what to measure next. It is pure: the agent asks it inside a job, the collector asks it about what
// is left of a job that was cut off, and tests ask it thousands of times a second. It starts nothing and knows no clock.
//
// What it is told is a set of records, not a history: it answers the same whatever their order and however often one of them
// is repeated, so whoever has the files can go on with a search.
package search

import (
	"fmt"

	"vtune/internal/record"
)

// Methods.
const (
	AutoTune = "auto_tune" // follows auto_tune.sh to the letter
	Vtune    = "vtune"     // brackets, bisects and confirms; see vtune.go
	Imported = "imported"  // measures nothing: another program did; see imported.go
)

// Action is what a Decision asks for.
type Action string

const (
	Try    Action = "try"     // make an observation at Load
	Accept Action = "accept"  // the search is over: Best is the answer
	GiveUp Action = "give-up" // the search is over without an answer; Reason says why
	Leave  Action = "leave"   // the search is over: the cell cannot beat Question.Best; Reason says by what, Bound by how much
	Own    Action = "own"     // an exploring search is over and the cell could win: a server of its own must confirm it; Hint says where
)

// Question is what Next is asked: where one cell's search goes on.
type Question struct {
	Policy   record.Policy
	Observed []record.Observation // of this cell, in any order
	Best     float64              // what another cell may hold (see Rival); 0: nothing
	Hint     float64              // request rate around which to look first; 0: none
	Emulated bool                 // the cell is measured on another's server: it can be ruled out there, but cannot win
	Explore  bool                 // only what is likely is asked: the server answers for a column, and confirming is another's task
}

// Decision is the next step of a cell's rate search.
type Decision struct {
	Action Action
	Load   record.Load         // Try
	Best   *record.Observation // Accept
	Cause  record.Cause        // GiveUp: why nothing valid came of it. None when the SLO is missed, for that is an answer
	Reason string              // GiveUp, Leave, Own
	Bound  float64             // Leave: the cell's objective is below this
	Hint   float64             // Own: the request rate that the emulation holds
}

// ProbeDecision is the next step of the memory probe.
type ProbeDecision struct {
	Action      Action
	Utilization float64      // Try, Accept; exact to two decimals
	Cause       record.Cause // GiveUp
	Reason      string       // GiveUp, in the server's words where it has any
}

// Next is the next step of a cell's rate search by the policy's method. Observations at other loads than the method asks for
// are passed over; records of one load with the same attempt and number are one observation.
func Next(q Question) Decision {
	switch q.Policy.Method {
	case AutoTune:
		return autoTune(q.Policy, byLoad(q.Observed))
	case Vtune:
		if q.Policy.Verifies() {
			return verify(q)
		}
		return vtune(q)
	case Imported:
		return imported(q.Observed)
	default:
		return Decision{Action: GiveUp, Cause: record.CauseAgent, Reason: fmt.Sprintf("this build knows no method %q", q.Policy.Method)}
	}
}

// Rival is what an accepted observation lets other cells be measured against: what its cell is likely to hold.
func Rival(o record.Observation) float64 { return max(Objective(o), o.Load.Likely) }

// Objective is what an observation says its cell holds: the request rate under limits, the throughput without any.
func Objective(o record.Observation) float64 {
	if o.Load.Rate.IsInf() {
		if o.Steady != nil {
			return o.Steady.Throughput.Value
		}
		return o.Metrics.RequestThroughput
	}
	return float64(o.Load.Rate)
}
