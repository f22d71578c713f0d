package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"vtune/internal/record"
	"vtune/internal/report"
)

// progress is what a person sees while a run goes on: a line an event, and on a terminal a last line that is rewritten.
type progress struct {
	out  io.Writer
	live bool   // out is a terminal: keep a status line at the bottom
	last string // live: the status as last shown
	turn string // else: see turnOf
}

func newProgress(a *app) *progress {
	return &progress{out: a.err, live: isTerminal(a.err)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

const eraseLine = "\r\x1b[K"

func (p *progress) say(format string, args ...any) {
	if p.live {
		io.WriteString(p.out, eraseLine)
	}
	fmt.Fprintf(p.out, format+"\n", args...)
	if p.live {
		io.WriteString(p.out, p.last)
	}
}

func (p *progress) event(e record.Event) {
	where := string(e.Kind)
	if e.Cell != "" && e.Kind == record.KindCell {
		where = e.Cell
	}
	p.say("%s  %-14s %-16s %s", e.At.Local().Format("15:04:05"), where, e.What, e.Detail)
}

func (p *progress) pass(st record.State, err error) {
	if err != nil {
		p.say("warning: %s (going on)", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
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

func (p *progress) close() {
	if p.live {
		io.WriteString(p.out, eraseLine)
	}
}
