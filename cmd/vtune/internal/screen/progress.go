package screen

import (
	"fmt"
	"io"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
)

// Progress is what a person sees while a run goes on: a line an event, and on a terminal a last line that is rewritten.
type Progress struct {
	out  io.Writer
	live bool   // out is a terminal: keep a status line at the bottom
	last string // live: the status as last shown
	turn string // else: see turnOf
	told string // the last warning: what stays as it is is said once
}

// NewProgress is a progress on out.
func NewProgress(out io.Writer) *Progress {
	return &Progress{out: out, live: IsTerminal(out)}
}

const eraseLine = "\r\x1b[K"

func (p *Progress) say(format string, args ...any) {
	if p.live {
		io.WriteString(p.out, eraseLine)
	}
	fmt.Fprintf(p.out, format+"\n", args...)
	if p.live {
		io.WriteString(p.out, p.last)
	}
}

// Event is a line.
func (p *Progress) Event(e record.Event) {
	where := string(e.Kind)
	if e.Cell != "" && e.Kind == record.KindCell {
		where = e.Cell
	}
	p.say("%s  %-14s %-16s %s", e.At.Local().Format("15:04:05"), where, e.What, e.Detail)
}

// Pass shows where the run stands, and what went wrong with looking.
func (p *Progress) Pass(st record.State, err error) {
	warning := ""
	if err != nil {
		warning = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	if warning != p.told && warning != "" {
		p.say("warning: %s (going on)", warning)
	}
	p.told = warning
	if st.Run == "" {
		return
	}
	line := report.Progress(st)
	switch turn := turnOf(st); {
	case p.live && line != p.last:
		p.last = line
		io.WriteString(p.out, eraseLine+line)
	case !p.live && turn != p.turn:
		p.turn = turn
		p.say("          %s", line)
	}
}

// turnOf changes when something happened that deserves a line of its own where lines cannot be rewritten.
func turnOf(st record.State) string {
	final := 0
	for _, c := range st.Cells {
		if c.Phase.Final() {
			final++
		}
	}
	return fmt.Sprint(st.Phase, final)
}

// Close leaves the screen to others.
func (p *Progress) Close() {
	if p.live {
		io.WriteString(p.out, eraseLine)
	}
}
