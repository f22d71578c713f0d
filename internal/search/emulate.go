package search

import (
	"fmt"

	"vtune/internal/record"
)

// agree is how far an emulated cell and its own server may lie apart before emulation is no longer believed: on an H200 they
// agreed within 3 % of throughput and 7 % of P99, and what is likely is known to a few % on either side.
const agree = 0.15

// NeedsOwn is which of the cells that a column's server answered for needs a server of its own next, and where to look there: the
// most promising of those that could win. holds is false when some cell's own server contradicted its emulation: then emulated
// answers rule nothing out, and warning says so. cell is empty when no own server is needed.
func NeedsOwn(p record.Policy, cells []record.CellState) (cell string, hint float64, holds bool, warning string) {
	best := 0.0
	holds = true
	for _, c := range cells {
		if c.Accepted != nil {
			best = max(best, Rival(*c.Accepted))
		}
		if own, emulated, both := sides(p, c); both && (own < emulated*(1-agree) || own > emulated*(1+agree)) {
			holds = false
			warning = fmt.Sprintf("%s may hold %.4g req/s on a server of its own and %.4g by emulation: emulated cells are measured on their own servers", c.ID, own, emulated)
		}
	}
	for _, c := range cells {
		if c.Accepted != nil || confirming(c) {
			continue
		}
		h := promise(p, c, best, holds)
		if h > hint {
			cell, hint = c.ID, h
		}
	}
	return cell, hint, holds, warning
}

// sides are what a cell is likely to hold on its own server and by emulation, where both were asked.
func sides(p record.Policy, c record.CellState) (own, emulated float64, both bool) {
	own = holds(p, record.CellState{Cell: c.Cell, Observations: c.Observations})
	emulated = holds(p, record.CellState{Cell: c.Cell, Observations: c.Observations, Emulated: true})
	return own, emulated, own > 0 && emulated > 0
}

// confirming reports whether a cell's own server has been asked for an answer already.
func confirming(c record.CellState) bool {
	for _, o := range c.Observations {
		if !o.Emulated && o.Load.Purpose == record.Confirm {
			return true
		}
	}
	return false
}

// promise is the rate that a cell could win with; 0: none.
func promise(p record.Policy, c record.CellState, best float64, holds bool) float64 {
	q := Question{Policy: p, Observed: c.Observations, Best: best, Emulated: c.Emulated, Explore: true}
	if c.Emulated && !holds {
		q.Best = best * (1 - agree) // as much as emulation may be wrong
	}
	switch d := Next(q); d.Action {
	case Own:
		return d.Hint
	case Accept: // without a limit, a native cell's bound is its answer
		return Objective(*d.Best)
	}
	return 0
}
