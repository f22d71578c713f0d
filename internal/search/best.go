package search

import "vtune/internal/record"

// Best is the accepted cell with the strictly greatest request throughput; of equals, as they are printed, the first in grid
// order. It is nil when no cell was accepted.
//
// Of method vtune it is the cell with the greatest objective, whose last digits mean something.
func Best(p record.Policy, cells []record.CellState) *record.Best {
	var best *record.Best
	greatest := 0.0
	for _, c := range cells {
		if c.Accepted == nil || c.Accepted.Verdict != record.Pass || !positive(c.Accepted.Metrics.RequestThroughput) {
			continue
		}
		t := printed(c.Accepted.Metrics.RequestThroughput)
		if p.Method == Vtune {
			t = Objective(*c.Accepted)
		}
		if best == nil || t > greatest {
			best, greatest = &record.Best{Cell: c.Cell, Observation: *c.Accepted}, t
		}
	}
	return best
}
