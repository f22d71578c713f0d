// Package page makes report.html: one file that says what a run found, and opens without a network.
package page

import (
	"errors"

	"vtune/internal/record"
)

// Input is all that the page is made of.
type Input struct {
	Run       record.Run
	State     record.State
	Effective []byte // effective.yaml, shown as it is
	Serve     string // the winner's command line; empty without one
}

// HTML is the page.
func HTML(Input) ([]byte, error) { return nil, errors.New("not written yet") }
