package search

import "vtune/internal/record"

// NeedsOwn is which of the cells that were only emulated so far needs a server of its own next, and why: it could win, or it
// checks that emulation holds. holds is false when a cell's own server contradicted its emulation: then emulated answers rule
// nothing out, and warning says so. cell is empty when no own server is needed.
func NeedsOwn(p record.Policy, cells []record.CellState) (cell string, hint float64, holds bool, warning string) {
	return "", 0, true, ""
}
