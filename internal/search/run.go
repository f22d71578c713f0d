package search

import (
	"cmp"
	"slices"

	"vtune/internal/record"
)

// Column is what one server can answer for: the cell with the most max-num-seqs of one max-num-batched-tokens, and by emulation
// those with fewer.
type Column struct {
	Cell     record.Cell
	Emulates []record.Cell // most max-num-seqs first
}

// Columns groups a grid, in the order in which columns are worth measuring: the probe's first, since its server is up.
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
	slices.SortFunc(columns, func(a, b Column) int {
		return cmp.Compare(b.Cell.MaxNumBatchedTokens, a.Cell.MaxNumBatchedTokens)
	})
	return columns
}

// RuledOut reports whether a monotone model of what is known of other cells says that c cannot win (prune: model), by which
// bound on its objective, and why. It never rules out a cell without such a neighbour.
func RuledOut(p record.Policy, known []record.CellState, c record.Cell) (bound float64, reason string, out bool) {
	return 0, "", false
}
