// Package report turns a run's state into what people and other programs read: result.txt, result.json, the script's log
// names, a summary. Pure functions of records: it reads no file, asks no clock and decides nothing; what is the best cell, and
// whether a run is over, stands in the state.
package report

import "vtune/internal/record"

// Link is a name that auto_tune.sh gave a log, and the file of the run that holds it. Both are relative to the run.
type Link struct {
	Name   string
	Target string
}

// Row is one cell for `vtune status`.
type Row struct {
	Cell      record.Cell
	Phase     record.WorkPhase
	Job       string // the latest attempt's, with what the scheduler calls it and where it ran
	Scheduler string
	Node      string
	Loads     int // observations made
	Best      *record.Observation
	Why       string // why there is no Best, once that is certain
}

// ResultTxt is result.txt.
func ResultTxt(run record.Run, st record.State, profileDir string) []byte { return nil }

// ResultJSON is result.json.
func ResultJSON(run record.Run, st record.State) ([]byte, error) { return nil, nil }

// Logs are the script's names for the logs of the run.
func Logs(st record.State) []Link { return nil }

// Summary is what a person sees at the end of a run.
func Summary(run record.Run, st record.State, serveCommand string) string { return "" }

// Rows is a row a cell in grid order.
func Rows(st record.State) []Row { return nil }
