package record

import "time"

// Resource is a machine that a run pays for, from the moment in which it was asked for. It is what the worst case is reckoned by, and
// what is left of a machine when its scheduler has forgotten it.
type Resource struct {
	Schema int       `json:"schema"`
	Unit   string    `json:"unit"`
	Chips  int       `json:"chips"`
	MaxRun int       `json:"max_run_s"`       // it lives no longer than so many seconds
	Asked  time.Time `json:"asked"`           // by the clock of who collects, as the others
	From   time.Time `json:"from,omitzero"`   // it did not run before: about when it was last seen waiting, or else when it was asked for
	Seen   time.Time `json:"seen,omitzero"`   // running, for the first time
	Missed time.Time `json:"missed,omitzero"` // not listed since, though nothing is known of its end
	Ended  time.Time `json:"ended,omitzero"`
	Cause  Cause     `json:"cause,omitempty"` // why it ended with work left, if it did
	State  string    `json:"state,omitempty"` // the scheduler's word at its end
	Reason string    `json:"reason,omitempty"`
}

// Approval is how many chip-hours the run's owner agreed to, at the worst.
type Approval struct {
	Schema    int       `json:"schema"`
	ChipHours float64   `json:"chip_hours"`
	By        string    `json:"by"`
	At        time.Time `json:"at"`
}

func (d Dir) Resource(unit string) string { return d.path("jobs", unit, "resource.json") }
func (d Dir) Approval() string            { return d.path("approved.json") }
