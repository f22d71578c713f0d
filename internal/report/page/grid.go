package page

import (
	"fmt"
	"slices"

	"vtune/internal/record"
	"vtune/internal/report"
)

// kind is how a cell is shown: a symbol, so that it does not hang on colour, and what the symbol means.
type kind struct {
	Symbol, Means string
}

// The kinds of cells, by the code that the page's data have.
var kinds = []kind{
	{"★", "winner"},
	{"", "holds the limit"}, // the number is its symbol
	{"▽", "left: it cannot win"},
	{"△", "misses the limit"},
	{"?", "nothing could be shown"},
	{"✕", "failed"},
	{"–", "skipped"},
	{"…", "not known yet"},
	{"!", "invalid: every load failed"},
}

const (
	kindWinner = iota
	kindHolds
	kindLeft
	kindMissed
	kindUnsure
	kindFailed
	kindSkipped
	kindOpen
	kindInvalid
)

// cell is a cell as the grid shows it.
type cell struct {
	record.Cell
	Kind      int
	Value     float64 // throughput in requests/s that it was seen to hold; 0: none
	Bound     float64 // that it stays below; 0: not known
	Words     string  // how it came out
	Loads     int
	Emulated  bool
	Row, Axis int // in the grid: of max-num-seqs, of max-num-batched-tokens
	Heat      int // 1 to 9, by how much it holds beside the others; 0: nothing
}

func (c cell) Symbol() string { return kinds[c.Kind].Symbol }

// Text is what stands in the table's cell.
func (c cell) Text() string {
	switch {
	case c.Value > 0 && c.Symbol() != "":
		return c.Symbol() + " " + sig(c.Value, 4)
	case c.Value > 0:
		return sig(c.Value, 4)
	case c.Bound > 0:
		return c.Symbol() + " < " + sig(c.Bound, 4)
	}
	return c.Symbol()
}

// grid are the cells by both axes.
type grid struct {
	Seqs, Tokens []int
	Least, Most  float64   // that cells hold, in requests/s
	Rows         [][]*cell // by Seqs; nil where the grid has no such cell
	Kinds        []kind    // that there are
	Listed       []cell
	More         int
}

func newGrid(st record.State) (grid, []cell) {
	var g grid
	for _, c := range st.Cells {
		g.Seqs, g.Tokens = append(g.Seqs, c.MaxNumSeqs), append(g.Tokens, c.MaxNumBatchedTokens)
	}
	slices.Sort(g.Seqs)
	slices.Sort(g.Tokens)
	g.Seqs, g.Tokens = slices.Compact(g.Seqs), slices.Compact(g.Tokens)
	g.Rows = make([][]*cell, len(g.Seqs))
	for i := range g.Rows {
		g.Rows[i] = make([]*cell, len(g.Tokens))
	}
	cells, there := make([]cell, len(st.Cells)), map[int]bool{}
	for i, c := range st.Cells {
		row, _ := slices.BinarySearch(g.Seqs, c.MaxNumSeqs)
		axis, _ := slices.BinarySearch(g.Tokens, c.MaxNumBatchedTokens)
		cells[i] = newCell(st, c)
		cells[i].Row, cells[i].Axis = row, axis
		g.Rows[row][axis] = &cells[i]
		there[cells[i].Kind] = true
	}
	g.heat(cells)
	for k, kind := range kinds {
		if there[k] && kind.Symbol != "" {
			g.Kinds = append(g.Kinds, kind)
		}
	}
	g.list(cells)
	return g, cells
}

// heat is where values lie between the least and the greatest.
func (g *grid) heat(cells []cell) {
	for _, c := range cells {
		if c.Value > 0 && (g.Least == 0 || c.Value < g.Least) {
			g.Least = c.Value
		}
		g.Most = max(g.Most, c.Value)
	}
	for i, c := range cells {
		if c.Value <= 0 {
			continue
		}
		cells[i].Heat = 9
		if g.Most > g.Least {
			cells[i].Heat = 1 + int(8*(c.Value-g.Least)/(g.Most-g.Least))
		}
	}
}

func newCell(st record.State, c record.CellState) cell {
	answer := report.AnswerOf(c, st.Policy)
	v := cell{Cell: c.Cell, Kind: kindOf(st, c, answer), Loads: len(c.Observations), Emulated: c.Emulated}
	if answer == report.AnswerLeft {
		v.Bound = c.Bound
	}
	if o := report.Feasible(st.Policy, c); o != nil {
		v.Value = o.Metrics.RequestThroughput
	}
	v.Words = kinds[v.Kind].Means
	if v.Kind == kindLeft && c.Bound > 0 {
		v.Words = fmt.Sprintf("left: below %s req/s", sig(c.Bound, 4))
	}
	if c.Cause != record.CauseNone || c.Message != "" {
		v.Words += ": " + report.Why(c.Cause, c.Message)
	}
	if c.Emulated {
		v.Words += " (emulated)"
	}
	if c.Utilization > 0 {
		v.Words += fmt.Sprintf(" (at gpu_memory_utilization %.2f)", c.Utilization)
	}
	return v
}

func kindOf(st record.State, c record.CellState, answer report.Answer) int {
	if st.Best != nil && st.Best.Cell == c.Cell {
		return kindWinner
	}
	switch answer {
	case report.AnswerAccepted:
		return kindHolds
	case report.AnswerLeft:
		return kindLeft
	case report.AnswerMissed:
		return kindMissed
	case report.AnswerUnsure:
		return kindUnsure
	case report.AnswerSkipped:
		return kindSkipped
	case report.AnswerFailed:
		if n := len(c.Observations); n > 0 && !slices.ContainsFunc(c.Observations, func(o record.Observation) bool { return o.Verdict != record.Invalid }) {
			return kindInvalid
		}
		return kindFailed
	}
	return kindOpen
}

// list are the cells of the table below the grid: of very many those that hold most, then what failed, for that is what one looks for.
func (g *grid) list(cells []cell) {
	g.Listed = slices.Clone(cells)
	if len(cells) <= rows {
		return
	}
	slices.SortStableFunc(g.Listed, func(a, b cell) int {
		switch rank := func(c cell) float64 {
			if c.Kind == kindFailed || c.Kind == kindInvalid {
				return 0
			}
			return c.Value - 1e-9
		}; {
		case rank(a) > rank(b):
			return -1
		case rank(a) < rank(b):
			return 1
		}
		return 0
	})
	g.Listed, g.More = g.Listed[:rows], len(cells)-rows
}
