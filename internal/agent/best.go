package agent

import (
	"os"

	"vtune/internal/aboard"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
)

// best is what a cell has to beat; 0 when nothing is known, or nothing shall follow from it. A search that is to confirm is measured
// against what is confirmed; one that explores, against what is likely too.
func (t *tuning) best(cell string) float64 {
	if t.w.a.Policy.Prune == record.PruneNone {
		return 0
	}
	best := 0.0
	for _, f := range aboard.Rivals(t.w.c.Dir, cell) {
		if f.Confirmed || t.explores() {
			best = max(best, f.Rate, f.Likely)
		}
	}
	for c, f := range t.found {
		if c != cell {
			best = max(best, f.Rate, f.Likely)
		}
	}
	return best
}

// leads reports whether no other cell is confirmed to hold more.
func (t *tuning) leads(o record.Observation) bool {
	for _, f := range aboard.Rivals(t.w.c.Dir, o.Cell) {
		if f.Confirmed && f.Rate > search.Objective(o) {
			return false
		}
	}
	return true
}

// tell lets cells elsewhere know how a search ended, if it found a rate, so that those that cannot beat it stop: the greatest of
// this job's cells, in its one file. Its loss costs others time and nothing else.
func (t *tuning) tell(cell string, d search.Decision) {
	f := record.Feasible{Schema: record.Schema, Cell: cell}
	switch d.Action {
	case search.Accept:
		f.Rate, f.Likely, f.Confirmed = search.Objective(*d.Best), search.Rival(*d.Best), true
	case search.Own:
		f.Rate = d.Hint
	default:
		return
	}
	t.found[cell] = f
	for _, other := range t.found {
		if max(other.Rate, other.Likely) > max(f.Rate, f.Likely) {
			return
		}
	}
	err := os.MkdirAll(t.w.c.Dir.Bests(), 0o755)
	if err == nil {
		err = fsx.PublishJSON(t.w.c.Dir.Best(t.w.a.Job), f)
	}
	if err != nil {
		t.w.say("tell others: %v", err)
	}
}
