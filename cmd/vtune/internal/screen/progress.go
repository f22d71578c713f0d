package screen

import (
	"fmt"
	"io"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
)

// Progress is what a person sees while a run goes on, where no view of it has a terminal: a line an event.
type Progress struct {
	out  io.Writer
	turn string // see turnOf
	told string // the last warning: what stays as it is is said once
}

// NewProgress is a progress on out.
func NewProgress(out io.Writer) *Progress { return &Progress{out: out} }

func (p *Progress) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// Event is a line.
func (p *Progress) Event(e record.Event) {
	where := string(e.Kind)
	if e.Cell != "" && e.Kind == record.KindCell {
		where = e.Cell
	}
	p.say("%s", strings.TrimRight(report.Unbroken(fmt.Sprintf("%s  %-14s %-16s %s", e.At.Local().Format("15:04:05"), where, e.What, e.Detail)), " "))
}

// Pass shows where the run stands, and what went wrong with looking.
func (p *Progress) Pass(st record.State, err error) {
	warning := ""
	if err != nil {
		warning = report.Unbroken(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if warning != p.told && warning != "" {
		p.say("warning: %s (going on)", warning)
	}
	p.told = warning
	if st.Run == "" {
		return
	}
	if turn := turnOf(st); turn != p.turn {
		p.turn = turn
		p.say("          %s", report.Progress(st))
	}
}

// turnOf changes when something happened that deserves a line of its own.
func turnOf(st record.State) string {
	final := 0
	for _, c := range st.Cells {
		if c.Phase.Final() {
			final++
		}
	}
	return fmt.Sprint(st.Phase, final)
}
