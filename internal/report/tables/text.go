package tables

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"vtune/internal/record"
	"vtune/internal/report"
)

const (
	// screen is how wide lines of words may be. The grid is as wide as its numbers: at most 80 columns with one limit.
	screen = 100
	// indent of what is said beside a name, as in the summary.
	indent = 9
)

// Text is the run for a terminal.
func Text(run record.Run, st record.State) string {
	var b strings.Builder
	say := func(name, text string) { b.WriteString(wrapped(fmt.Sprintf("%-*s%s", indent, name, text))) }
	say("run", report.Plain(run.ID)+", "+report.Standing(st))
	if server := report.Server(st); server != "" {
		say("server", server)
	}
	say("limit", report.LimitWords(st.Policy))
	cell, holds := headline(st)
	say(winning(st), strings.TrimSpace(cell+" "+holds))
	s := gridOf(st)
	b.WriteString("\n" + s.text() + "\n")
	for i, note := range s.notes {
		b.WriteString(hanging(fmt.Sprintf("[%d] ", i+1), note))
	}
	if len(s.notes) > 0 {
		b.WriteByte('\n')
	}
	sure := report.Sure(st)
	if strings.HasPrefix(sure, " ") { // of a winner by a method that knows it
		sure = fmt.Sprintf("%-*s%s", indent, "how sure", sure[indent:])
	}
	for _, part := range []string{sure, report.Spent(st), report.Notes(st)} {
		for line := range strings.Lines(part) {
			b.WriteString(wrapped(strings.TrimSuffix(line, "\n")))
		}
	}
	return b.String()
}

func (s sheet) text() string {
	lines := [][]string{append([]string{""}, append(s.heads[0], "")...), append([]string{""}, append(s.heads[1], "")...)}
	for _, r := range s.rows {
		mark := ""
		if r.best {
			mark = "*"
		}
		var notes []string
		for _, n := range r.notes {
			notes = append(notes, fmt.Sprintf("[%d]", n))
		}
		line := append([]string{mark, r.id, string(r.answer)}, r.fields...)
		lines = append(lines, append(line, strings.Join(notes, " ")))
	}
	return aligned(lines, func(column int) bool { return column > 2 && column < len(lines[0])-1 })
}

// aligned puts lines of fields under each other: numbers on the right edge of their column, words on the left. text/tabwriter, which has
// one edge for all columns, would have either stand ragged. A field that is an interval in brackets or in percent is aligned at its first
// number's end, so that magnitudes can be compared.
func aligned(lines [][]string, number func(column int) bool) string {
	heads, tails := map[int]int{}, map[int]int{} // widths by column
	for _, line := range lines {
		for c, field := range line {
			head, tail := split(field, number(c))
			heads[c], tails[c] = max(heads[c], width(head)), max(tails[c], width(tail))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		var out strings.Builder
		for c, field := range line {
			if c > 1 {
				out.WriteString("  ")
			}
			if c == 1 && heads[0] > 0 {
				out.WriteByte(' ')
			}
			head, tail := split(field, number(c))
			pad := strings.Repeat(" ", heads[c]-width(head))
			rest := strings.Repeat(" ", tails[c]-width(tail))
			if number(c) {
				out.WriteString(pad + head + tail + rest)
			} else {
				out.WriteString(head + pad)
			}
		}
		b.WriteString(strings.TrimRight(out.String(), " ") + "\n")
	}
	return b.String()
}

// split is a number and what is known of its uncertainty.
func split(field string, number bool) (head, tail string) {
	if !number {
		return field, ""
	}
	for _, at := range []string{" ±", " ("} {
		if i := strings.Index(field, at); i >= 0 {
			return field[:i], field[i:]
		}
	}
	return field, ""
}

func width(s string) int { return utf8.RuneCountInString(s) }

// wrapped is a line of the summary, broken at spaces where it is too long for a screen.
func wrapped(line string) string { return broken(line, strings.Repeat(" ", indent)) }

func hanging(label, text string) string {
	return broken(label+text, strings.Repeat(" ", len(label)))
}

// broken never loses a character; a word that is wider than the screen stands out of it.
func broken(line, indent string) string {
	var b strings.Builder
	for width(line) > screen {
		cut, at := -1, 0
		for i, r := range line {
			if at > screen {
				break
			}
			if r == ' ' && i > len(indent) && strings.TrimSpace(line[:i]) != "" {
				cut = i
			}
			at++
		}
		if cut < 0 {
			break
		}
		b.WriteString(strings.TrimRight(line[:cut], " ") + "\n")
		line = indent + strings.TrimLeft(line[cut:], " ")
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}
