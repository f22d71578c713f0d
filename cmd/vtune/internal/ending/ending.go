// Package ending is how a run came out, for scripts and for who wants to know why.
package ending

import (
	"cmp"
	"path/filepath"
	"slices"

	"vtune/internal/diag"
	"vtune/internal/record"
)

// Code is the exit code of a run's state, for scripts that call collect and run.
func Code(st record.State) diag.Code {
	switch {
	case st.Phase != record.PhaseOver:
		return diag.Unfinished
	case st.Best == nil && !measured(st):
		return diag.NoAnswer
	case st.Best == nil:
		return diag.Infeasible
	}
	for _, c := range st.Cells {
		if c.Phase == record.WorkFailed {
			return diag.FailedCells
		}
	}
	return diag.OK
}

// measured reports whether some cell was measured to its end, with whatever answer.
func measured(st record.State) bool {
	return slices.ContainsFunc(st.Cells, func(c record.CellState) bool { return c.Phase == record.WorkDone })
}

// Log is where to look first: the log of the first server, or else of the first job, that failed.
func Log(st record.State) string {
	works := []record.WorkState{st.Probe}
	for _, c := range st.Cells {
		works = append(works, c.WorkState)
	}
	for _, w := range works {
		if w.Phase != record.WorkFailed || len(w.Attempts) == 0 {
			continue
		}
		last := w.Attempts[len(w.Attempts)-1]
		for _, s := range slices.Backward(last.Starts) {
			if !s.OK && s.LogFile != "" {
				return s.LogFile
			}
		}
		return cmp.Or(last.ServerLog, filepath.Join("jobs", last.Job, "log"))
	}
	return ""
}
