// Package live is a run on a whole terminal while it goes on: what is known of it, as values; what keys and news make of them; and how that
// looks in so many columns and lines, as functions of the values. A thin shell of a terminal library shows it (shell.go).
package live

import (
	"slices"
	"strings"
	"time"

	"vtune/collect"
	"vtune/internal/record"
	"vtune/internal/report"
)

// model is all that the screen shows.
type model struct {
	place  string
	since  time.Time // when the run was made
	glyphs glyphs

	state  record.State
	seen   map[string]collect.Seen // by job, what its scheduler says, where somebody asked
	rows   []report.Row            // of the state
	grid   grid
	latest map[string]record.Event // by job, of those that run
	news   []news                  // oldest first

	width, height int
	selected      int // among the state's cells
	page          page
	log           log
}

// page is what has the screen.
type page int

const (
	overview page = iota
	help
	logs
)

// news is a line among the last events.
type news struct {
	at                  time.Time
	where, what, detail string
	warning             bool
}

const mostNews = 200

func (m *model) tell(n news) {
	if m.news = append(m.news, n); len(m.news) > mostNews {
		m.news = slices.Clone(m.news[len(m.news)-mostNews:])
	}
}

// event is news of the run's own.
func (m *model) event(e record.Event) {
	if m.latest == nil {
		m.latest = map[string]record.Event{}
	}
	switch e.What {
	case "result", "skipped":
		delete(m.latest, e.Job)
	default:
		m.latest[e.Job] = e
	}
	where := string(e.Kind)
	if e.Cell != "" && e.Kind == record.KindCell {
		where = e.Cell
	}
	m.tell(news{at: e.At, where: where, what: e.What, detail: e.Detail})
}

// warn is news of what went wrong. What stays as it is is said once.
func (m *model) warn(at time.Time, text string) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "warning: ")
	again := func(n news) bool { return n.warning && n.detail == text }
	if text != "" && !slices.ContainsFunc(m.news, again) {
		m.tell(news{at: at, where: "warning", detail: text, warning: true})
	}
}

// pass is where the run stands now.
func (m *model) pass(st record.State, seen map[string]collect.Seen) {
	if st.Run == "" {
		return
	}
	m.state, m.seen, m.rows, m.grid = st, seen, report.Rows(st), newGrid(st.Cells)
	m.selected = min(m.selected, max(len(st.Cells)-1, 0))
}

// act is what a key asks of the shell.
type act int

const (
	nothing act = iota
	quit
	interrupt
	suspend
	refresh
	openLog
)

// press is what a key does.
func (m *model) press(key string) act {
	switch key {
	case "ctrl+c":
		return interrupt
	case "ctrl+z":
		return suspend
	case "r", "ctrl+l":
		return refresh
	}
	switch m.page {
	case help:
		m.page = overview
		return nothing
	case logs:
		return m.pressInLog(key)
	}
	switch key {
	case "q":
		return quit
	case "?":
		m.page = help
	case "up", "k":
		m.selected = m.grid.step(m.selected, -1, 0)
	case "down", "j":
		m.selected = m.grid.step(m.selected, 1, 0)
	case "left", "h":
		m.selected = m.grid.step(m.selected, 0, -1)
	case "right", "l":
		m.selected = m.grid.step(m.selected, 0, 1)
	case "tab":
		m.selected = m.next(1)
	case "shift+tab":
		m.selected = m.next(-1)
	case "enter", "o":
		if len(m.state.Cells) > 0 {
			m.page, m.log = logs, log{}
			return openLog
		}
	}
	return nothing
}

// next is the running cell after the selected one, or before it; where none runs, the next of all.
func (m *model) next(by int) int {
	n := len(m.state.Cells)
	if n == 0 {
		return 0
	}
	for i := 1; i <= n; i++ {
		at := ((m.selected+by*i)%n + n) % n
		if m.state.Cells[at].Phase == record.WorkRunning {
			return at
		}
	}
	return (m.selected + by + n) % n
}

// log is a file of the selected cell, as far as it is shown.
type log struct {
	name  string // of the file, relative to the run
	which int    // of how many
	of    int
	lines []string
	above int // lines that are below the screen; 0: its end is followed
	right int // columns that are to the left of it
	why   string
}

// shown is a log as it was read. One that grows while its end is not looked at stays where it is.
func (m *model) shown(l log) {
	l.above, l.right = m.log.above, m.log.right
	switch {
	case l.name != m.log.name:
		l.above = 0
	case l.above > 0:
		l.above += len(l.lines) - len(m.log.lines)
	}
	l.above = max(l.above, 0)
	m.log = l
}

func (m *model) pressInLog(key string) act {
	full := max(m.height-3, 1)
	most := max(len(m.log.lines)-full, 0)
	switch key {
	case "q", "esc", "backspace":
		m.page = overview
	case "tab", "shift+tab":
		if m.log.of > 0 {
			by := 1
			if key == "shift+tab" {
				by = m.log.of - 1
			}
			m.log.which = (m.log.which + by) % m.log.of
			return openLog
		}
	case "up", "k":
		m.log.above = min(m.log.above+1, most)
	case "down", "j":
		m.log.above = max(m.log.above-1, 0)
	case "pgup", "b":
		m.log.above = min(m.log.above+full, most)
	case "pgdown", "space", "f":
		m.log.above = max(m.log.above-full, 0)
	case "home", "g":
		m.log.above = most
	case "end", "G":
		m.log.above = 0
	case "right", "l":
		m.log.right += 16
	case "left", "h":
		m.log.right = max(m.log.right-16, 0)
	}
	return nothing
}
