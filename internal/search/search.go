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

// AutoTune is the method that follows auto_tune.sh to the letter.
const AutoTune = "auto_tune"

// Action is what a Decision asks for.
type Action string

const (
	Try    Action = "try"     // make an observation at Load
	Accept Action = "accept"  // the search is over: Best is the answer
	GiveUp Action = "give-up" // the search is over without an answer; Reason says why
)

// Decision is the next step of a cell's rate search.
type Decision struct {
	Action Action
	Load   record.Load         // Try
	Best   *record.Observation // Accept
	Cause  record.Cause        // GiveUp: why nothing valid came of it. None when the SLO is missed, for that is an answer
	Reason string              // GiveUp
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
func Next(p record.Policy, observed []record.Observation) Decision {
	switch p.Method {
	case AutoTune:
		return autoTune(p, byLoad(observed))
	default:
		return Decision{Action: GiveUp, Cause: record.CauseAgent, Reason: fmt.Sprintf("this build knows no method %q", p.Method)}
	}
}
