package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"vtune/internal/record"
)

// Column is what one server can answer for: the cell with the most max-num-seqs of one max-num-batched-tokens, and by emulation
// those with fewer.
type Column struct {
	Cell     record.Cell
	Emulates []record.Cell // most max-num-seqs first
}

// Columns groups a grid, in the order in which columns are worth measuring: the probe's first, since its server is up; then from
// the smallest max-num-batched-tokens upwards. Where a limit bites, small steps hold the most, and a good bound that comes early
// lets the others be left at their first run.
func Columns(cells []record.Cell) []Column {
	byTokens := map[int][]record.Cell{}
	for _, c := range cells {
		byTokens[c.MaxNumBatchedTokens] = append(byTokens[c.MaxNumBatchedTokens], c)
	}
	var columns []Column
	for _, cs := range byTokens {
		slices.SortFunc(cs, func(a, b record.Cell) int { return cmp.Compare(b.MaxNumSeqs, a.MaxNumSeqs) })
		columns = append(columns, Column{Cell: cs[0], Emulates: cs[1:]})
	}
	slices.SortFunc(columns, func(a, b Column) int { return cmp.Compare(a.Cell.MaxNumBatchedTokens, b.Cell.MaxNumBatchedTokens) })
	if last := len(columns) - 1; last > 0 {
		columns = append([]Column{columns[last]}, columns[:last]...)
	}
	return columns
}

// Transfer are the observations of a column's own cell that are also true of one that lets in fewer: those in which there were
// never more in the server.
func Transfer(native []record.Observation, letIn int) []record.Observation {
	var of []record.Observation
	for _, o := range native {
		if !o.Emulated && o.Steady != nil && o.Steady.Peak <= letIn && o.Load.Purpose == record.Explore {
			o.Emulated = true
			o.Seq = -o.Seq // not one of the cell's own
			of = append(of, o)
		}
	}
	return of
}

// RuledOut reports whether a monotone model of what is known of other cells says that c cannot win (prune: model), by which bound
// on its objective, and why. The model: along an axis the objective rises to its best value and falls behind it. So where the way
// from the best cell to c leads over a cell that is clearly worse, c is no better than that one. It never rules out a cell without
// such a neighbour.
func RuledOut(p record.Policy, known []record.CellState, c record.Cell) (bound float64, reason string, out bool) {
	best, at := 0.0, record.Cell{}
	for _, k := range known {
		if low := holds(p, k); low > best {
			best, at = low, k.Cell
		}
	}
	if best == 0 {
		return 0, "", false
	}
	for _, k := range known {
		over := between(at.MaxNumBatchedTokens, k.MaxNumBatchedTokens, c.MaxNumBatchedTokens) && k.MaxNumSeqs >= c.MaxNumSeqs
		if !over || k.ID == at.ID {
			continue
		}
		if most := atMost(p, k); most > 0 && most < best*(1-margin) {
			return most, fmt.Sprintf("%s, on the way to it from %s, reaches %.4g req/s at most, and that one %.4g", k.ID, at.ID, most, best), true
		}
	}
	return 0, "", false
}

// margin is how much worse a neighbour must be before what lies behind it is ruled out.
const margin = 0.04

// between reports whether b lies strictly beyond a, on the way to c.
func between(a, b, c int) bool { return a < b && b < c || c < b && b < a }

// holds is what a cell is likely to hold.
func holds(p record.Policy, k record.CellState) float64 {
	b := bracketOf(Question{Policy: p, Observed: k.Observations, Emulated: k.Emulated})
	if len(p.SLOs()) == 0 && b.bound != nil && b.bound.Steady != nil {
		return b.bound.Steady.Throughput.Value
	}
	return b.low
}

// atMost is what a cell is likely to stay below. How late requests are at the rate it missed says how far below: latency grows
// with at least the steepness-th power of the rate where a limit bites.
func atMost(p record.Policy, k record.CellState) float64 {
	b := bracketOf(Question{Policy: p, Observed: k.Observations, Emulated: k.Emulated})
	if len(p.SLOs()) == 0 {
		return b.cap
	}
	most := b.ceiling()
	if b.high > 0 && b.high <= most && b.atHigh > 1 {
		most = b.high * math.Pow(min(b.atHigh, steepest), -1/steepness)
		if hopeless(b.lowest) {
			most = min(most, b.high*hopelessly)
		}
	}
	return most
}

// A rate at which most requests miss the limit is above the boundary by at least so much.
const (
	steepness  = 3
	hopelessly = 0.93
)
