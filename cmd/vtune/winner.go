package main

import (
	"io"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/shell"
	"vtune/internal/vllm"
)

// serveCommand is the command line that serves the winner: what was measured, without what belongs to measuring (random
// weights, the loopback address, a throw-away port). Empty without a winner.
func (t *tuning) serveCommand(st record.State) (string, error) {
	if st.Best == nil {
		return "", nil
	}
	a := t.assignment(record.Job{Kind: record.KindProfile, Attempt: 1}, nil)
	return shell.Command(vllm.Serve{Server: a.Server, Cell: st.Best.Cell, Utilization: st.Utilization}.Public())
}

func (t *tuning) printSummary(st record.State) error {
	command, err := t.serveCommand(st)
	if err != nil {
		return err
	}
	_, err = io.WriteString(t.app.out, report.Summary(t.run, st, string(t.dir), command))
	return err
}
