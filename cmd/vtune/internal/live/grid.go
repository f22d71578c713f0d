package live

import (
	"fmt"
	"slices"

	"github.com/charmbracelet/x/ansi"

	"vtune/internal/record"
)

// grid is where on the screen each cell is: max_num_seqs downwards, max_num_batched_tokens to the right.
type grid struct {
	seqs, tokens []int
	at           [][]int // index of the cell, or -1
	place        [][2]int
}

func newGrid(cells []record.CellState) grid {
	var g grid
	for _, c := range cells {
		g.seqs, g.tokens = append(g.seqs, c.MaxNumSeqs), append(g.tokens, c.MaxNumBatchedTokens)
	}
	slices.Sort(g.seqs)
	slices.Sort(g.tokens)
	g.seqs, g.tokens = slices.Compact(g.seqs), slices.Compact(g.tokens)
	g.at = make([][]int, len(g.seqs))
	for r := range g.at {
		g.at[r] = slices.Repeat([]int{-1}, len(g.tokens))
	}
	g.place = make([][2]int, len(cells))
	for i, c := range cells {
		r, _ := slices.BinarySearch(g.seqs, c.MaxNumSeqs)
		t, _ := slices.BinarySearch(g.tokens, c.MaxNumBatchedTokens)
		g.at[r][t], g.place[i] = i, [2]int{r, t}
	}
	return g
}

// step is the next cell in a direction; the same one where there is none.
func (g grid) step(from, down, right int) int {
	if from >= len(g.place) {
		return from
	}
	r, t := g.place[from][0], g.place[from][1]
	for {
		r, t = r+down, t+right
		if r < 0 || t < 0 || r >= len(g.seqs) || t >= len(g.tokens) {
			return from
		}
		if i := g.at[r][t]; i >= 0 {
			return i
		}
	}
}

// mark is a cell in a symbol and a number.
func (m *model) mark(i int) (symbol, value string, look style) {
	c, g := m.state.Cells[i], m.glyphs
	rate := ""
	if b := m.rows[i].Best; b != nil {
		rate = figure(b.Metrics.RequestThroughput)
	}
	switch {
	case m.state.Best != nil && m.state.Best.Cell.ID == c.ID:
		return g.best, rate, accent
	case c.Phase == record.WorkRunning:
		return g.running, rate, accent
	case c.Phase == record.WorkFollowUp:
		return g.again, rate, plain
	case c.Phase == record.WorkWaiting:
		return g.waiting, "", faint
	case c.Phase == record.WorkFailed:
		return g.failed, ansi.Truncate(say(plain, string(c.Cause)).text, 6, ""), bad
	case c.Phase == record.WorkSkipped:
		return g.skipped, "", faint
	case c.Left:
		return g.left, figure(c.Bound), faint
	case rate != "":
		return g.passed, rate, plain
	}
	return g.none, "", faint
}

// figure is a rate in as many digits as one compares.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// window is the part of n that is shown where there is room for some, with at in it.
func window(n, room, at int) (from, to int) {
	if room = max(room, 1); n <= room {
		return 0, n
	}
	from = min(max(at-room/2, 0), n-room)
	return from, from + room
}

// wide and narrow are the columns of a cell: with its number, or its symbol alone.
const wide, narrow = 10, 3

// draw is the grid in so many lines and columns: with numbers if all of it fits, else symbols, else a part around the selected cell.
func (m *model) draw(lines, columns int) []line {
	g := m.grid
	if len(g.place) == 0 || lines < 2 {
		return nil
	}
	head := "seqs\\tokens"
	room := columns - len(head) - 2
	cell := wide
	if len(g.tokens)*wide > room {
		cell = narrow
	}
	at := g.place[m.selected]
	top, bottom := window(len(g.seqs), lines-1, at[0])
	first, last := window(len(g.tokens), room/cell, at[1])

	title := line{say(faint, head+"  ")}
	for t := first; t < last; t++ {
		title = append(title, m.axis(g.tokens, t, first, last, cell, at[1])...)
	}
	all := []line{title.fit(columns)}
	for r := top; r < bottom; r++ {
		look := faint
		if r == at[0] {
			look = plain
		}
		row := line{say(look, fmt.Sprintf("%*d  ", len(head), g.seqs[r]))}
		for t := first; t < last; t++ {
			row = append(row, m.square(g.at[r][t], cell)...)
		}
		all = append(all, row.fit(columns))
	}
	if hidden := len(g.seqs)*len(g.tokens) - (bottom-top)*(last-first); hidden > 0 {
		part := fmt.Sprintf("  rows %d-%d of %d, columns %d-%d of %d", top+1, bottom, len(g.seqs), first+1, last, len(g.tokens))
		all[0] = sides(all[0], words(faint, part), columns)
	}
	return all
}

// axis is the heading of a column. Where columns are narrower than numbers, only the selected one has its.
func (m *model) axis(values []int, t, first, last, cell, selected int) line {
	text := fmt.Sprintf("  %-*d", cell-2, values[t])
	switch {
	case cell == wide && t == selected:
		return words(plain, text)
	case cell == wide:
		return words(faint, text)
	case t == selected:
		// It goes over the columns to its right, which have nothing to say.
		return line{say(plain, fmt.Sprintf(" %d", values[t]))}
	case t < selected:
		return line{say(plain, fmt.Sprintf("%*s", cell, ""))}
	}
	return nil
}

func (m *model) square(i, cell int) line {
	if i < 0 {
		return words(plain, fmt.Sprintf("%*s", cell, ""))
	}
	symbol, value, look := m.mark(i)
	text := symbol
	if cell == wide && value != "" {
		text += " " + value
	}
	if i != m.selected {
		return line{say(plain, " "), say(look, text)}.pad(cell)
	}
	if cell == narrow {
		return line{say(chosen, "["+text+"]")}
	}
	return line{say(chosen, "["+text+"]")}.pad(cell)
}
