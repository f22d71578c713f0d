package tables

import (
	"fmt"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/report/layout"
)

// indent of what is said beside a name, as in the summary.
const indent = 9

// Text is the run for a terminal.
func Text(run record.Run, st record.State) string {
	var b strings.Builder
	say := func(name, text string) {
		b.WriteString(layout.Broken(fmt.Sprintf("%-*s%s", indent, name, text), indent))
	}
	say("run", report.OneLine(run.ID)+", "+report.Standing(st))
	if server := report.Server(st); server != "" {
		say("server", server)
	}
	say("limit", report.LimitWords(st.Policy))
	cell, holds := headline(st)
	say(winning(st), strings.TrimSpace(cell+" "+holds))
	s := gridOf(st)
	b.WriteString("\n" + s.text() + "\n")
	for i, note := range s.notes {
		b.WriteString(layout.Broken(fmt.Sprintf("[%d] %s", i+1, note), 4))
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
			b.WriteString(layout.Broken(strings.TrimSuffix(line, "\n"), indent))
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
	return layout.Columns(lines, func(column int) bool { return column > 2 && column < len(lines[0])-1 })
}
