package record

import (
	"fmt"
	"time"
)

// Chain is the wish that a run collects itself: links, tiny jobs, each make a pass and see to it that another follows. It is a file
// of its own and not a part of run.json, because a person may wish for it later, or for another pause.
type Chain struct {
	Schema int       `json:"schema"`
	Pause  int       `json:"pause_s"` // between two links, in s; it grows while nothing changes
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// LinkID is the job (and unit) id of link n of a chain, counting from 1. The folder of its attempt holds attempt.json, by which one
// job takes the number, and result.json when it is done: outcome done where nothing is left to do and the chain ends, continue
// where something had changed since the link before, skipped where nothing had.
func LinkID(n int) string { return fmt.Sprintf("%s-%d", KindCollect, n) }
