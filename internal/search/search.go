// Package search decides what to measure next. It is pure: the agent asks it inside a job, the collector asks it about what
// is left of a job that was cut off, and tests ask it thousands of times a second. It starts nothing and knows no clock.
package search

import "vtune/internal/record"

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
	Reason string              // GiveUp
}

// ProbeDecision is the next step of the memory probe.
type ProbeDecision struct {
	Action      Action
	Utilization float64 // Try, Accept
	Cause       record.Cause
	Reason      string // GiveUp, in the server's words where it has any
}
