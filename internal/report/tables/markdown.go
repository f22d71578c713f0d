package tables

import (
	"fmt"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/report/layout"
)

const (
	// folded grids are behind a click: a comment is read for its first lines.
	folded = 16
	// mostRows of a grid are shown. GitHub takes comments of 65,536 characters; the whole grid is in the CSV.
	mostRows = 200
	// mostNotes below them.
	mostNotes = 50
)

// Markdown is the run for a pull request or an issue, in GitHub's flavour: the answer in a line, the grid as a table, and what else is
// to know behind a click.
func Markdown(run record.Run, st record.State) string {
	var b strings.Builder
	cell, holds := headline(st)
	if cell != "" {
		cell = "`" + cell + "` " // numbers and flags: nothing foreign is in it
	}
	fmt.Fprintf(&b, "**%s** %s%s\n\n", winning(st), cell, layout.Markdown(holds))
	facts := []string{"run " + run.ID + ", " + report.Standing(st)}
	if server := report.Server(st); server != "" {
		facts = append(facts, server)
	}
	facts = append(facts, report.LimitWords(st.Policy))
	fmt.Fprintf(&b, "%s\n\n", layout.Markdown(report.OneLine(strings.Join(facts, "; "))))
	s := gridOf(st)
	table := s.markdown()
	if len(s.rows) > folded {
		fmt.Fprintf(&b, "<details><summary>all %d cells</summary>\n\n%s\n</details>\n\n", len(s.rows), table)
	} else {
		b.WriteString(table + "\n")
	}
	if more := report.Sure(st) + report.Spent(st) + report.Notes(st); more != "" {
		// No line of it begins with a fence: each begins with a name or with spaces.
		fmt.Fprintf(&b, "<details><summary>how sure, where the time went, and what to know</summary>\n\n~~~text\n%s~~~\n\n</details>\n", more)
	}
	return b.String()
}

func (s sheet) markdown() string {
	var b strings.Builder
	b.WriteString("| |")
	for i, head := range s.heads[0] {
		if unit := s.heads[1][i]; unit != "" {
			head += " (" + unit + ")"
		}
		fmt.Fprintf(&b, " %s |", layout.Markdown(head))
	}
	b.WriteString(" |\n|---|---|---|" + strings.Repeat("---:|", len(s.heads[0])-2) + "---|\n")
	for i, r := range s.rows {
		if i >= mostRows && !r.best {
			continue
		}
		mark, id := "", layout.Markdown(r.id)
		if r.best {
			mark, id = "*", "**"+id+"**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", layout.Markdown(mark), id, r.answer)
		for _, f := range r.fields {
			fmt.Fprintf(&b, " %s |", layout.Markdown(f))
		}
		var notes []string
		for _, n := range r.notes {
			notes = append(notes, fmt.Sprint(n))
		}
		fmt.Fprintf(&b, " %s |\n", strings.Join(notes, ", "))
	}
	if len(s.rows) > mostRows {
		fmt.Fprintf(&b, "\nThe first %d cells and the winner are shown.\n", mostRows)
	}
	for i, note := range s.notes[:min(len(s.notes), mostNotes)] {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%d. %s\n", i+1, layout.Markdown(note))
	}
	return b.String()
}
