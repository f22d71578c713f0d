package record

import "time"

// Deletion is how a machine's resource stood when it was deleted. Its API forgets it then, so this is all that is left to say what
// became of it.
type Deletion struct {
	Schema   int       `json:"schema"`
	ID       string    `json:"id"`    // of the resource
	State    string    `json:"state"` // jobs.JobState that it ended in
	Word     string    `json:"word"`  // the API's own for the state it was in
	Reason   string    `json:"reason,omitempty"`
	ExitCode string    `json:"exit_code,omitempty"`
	At       time.Time `json:"at"`
}

// Deleted is written before a unit's resource is deleted.
func (d Dir) Deleted(unit string) string { return d.path("jobs", unit, "deleted.json") }
