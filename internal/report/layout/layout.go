// Package layout is how tables of numbers are set: fields under each other, numbers in as many digits as are known of them, words broken
// for a terminal, and foreign words that mean nothing to Markdown. It knows nothing of runs.
package layout

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Screen is how wide lines of words may be. A grid is as wide as its numbers: at most 80 columns with one limit.
const Screen = 100

// Columns puts lines of fields under each other: numbers on the right edge of their column, words on the left. text/tabwriter, which has
// one edge for all columns, would have either stand ragged. A field that is an interval in brackets or in percent is aligned at its first
// number's end, so that magnitudes can be compared.
func Columns(lines [][]string, number func(column int) bool) string {
	heads, tails := map[int]int{}, map[int]int{} // widths by column
	for _, line := range lines {
		for c, field := range line {
			head, tail := split(field, number(c))
			heads[c], tails[c] = max(heads[c], Width(head)), max(tails[c], Width(tail))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		var out strings.Builder
		for c, field := range line {
			switch {
			case c == 0, c == 1 && heads[0] == 0:
			case c == 1 && heads[0] == 1: // after a mark
				out.WriteString(" ")
			default:
				out.WriteString("  ")
			}
			head, tail := split(field, number(c))
			pad := strings.Repeat(" ", heads[c]-Width(head))
			rest := strings.Repeat(" ", tails[c]-Width(tail))
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

// Width is how many columns s takes.
func Width(s string) int { return utf8.RuneCountInString(s) }

// Broken is a line broken at spaces where it is too long for a screen, its further lines indented by so much. A word that is wider than the
// screen stands out of it.
func Broken(line string, columns int) string {
	indent := strings.Repeat(" ", columns)
	var b strings.Builder
	for Width(line) > Screen {
		cut, at := -1, 0
		for i, r := range line {
			if at > Screen {
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

// Markdown is text that means nothing to Markdown: what could be markup, a cell's end or HTML is an entity, which no renderer takes for
// structure. An @ or # before a word would still call a person or link an issue, for GitHub looks at the text that it has rendered; the
// comment behind it parts them.
func Markdown(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '@' || r == '#':
			fmt.Fprintf(&b, "&#%d;<!-- -->", r)
		case strings.ContainsRune("&<>|`*_[]\\~:!$", r):
			fmt.Fprintf(&b, "&#%d;", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
