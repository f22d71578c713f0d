package screen

import (
	"strings"
	"testing"
	"unicode"

	"vtune/collect"
	"vtune/internal/record"
)

// The rows of probe and profile say what a node and a server said, as those of cells do.
func TestNothingThatAServerOrASchedulerSaysMovesTheCursorOfWhoAsksForTheStatus(t *testing.T) {
	const evil = "x\x1b]0;owned\a\x1b[31m\ty\nz\u202e"
	work := record.WorkState{Phase: record.WorkFailed, Message: evil, Attempts: []record.AttemptState{{Job: "probe-1", Node: evil, Submitted: evil}}}
	cell := record.CellState{Cell: record.Cell{ID: "s1-t1", MaxNumSeqs: 1, MaxNumBatchedTokens: 1}, WorkState: work}
	st := record.State{Phase: record.PhaseOver, ServerVersion: evil, Probe: work, Profile: work, Cells: []record.CellState{cell}}
	waits := record.CellState{Cell: record.Cell{ID: "s2-t1", MaxNumSeqs: 2, MaxNumBatchedTokens: 1}}
	waits.Attempts = []record.AttemptState{{Job: "s2-t1-1"}}
	st.Cells = append(st.Cells, waits)
	var b strings.Builder
	if err := Status(&b, "/runs/r", st, map[string]collect.Seen{"s2-t1-1": {Job: "s2-t1-1", Word: evil, Node: evil, Reason: evil}}); err != nil {
		t.Fatal(err)
	}
	moves := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if strings.ContainsFunc(b.String(), moves) || strings.Count(b.String(), "\n") != 9 {
		t.Errorf("%q", b.String())
	}
}
