package live

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/report"
)

// frame is the whole screen at a moment: at most m.height lines of at most m.width columns.
func (m *model) frame(now time.Time) []line {
	var all []line
	switch {
	case m.page == help:
		all = m.help()
	case m.page == logs:
		all = m.file()
	case m.state.Run == "":
		all = append([]line{m.title(now), {}, words(faint, " looking at the run ...")}, m.last(m.height-4)...)
		all = m.foot(all, m.keys())
	default:
		all = m.overview(now)
	}
	all = all[:min(len(all), max(m.height, 1))]
	for i := range all {
		all[i] = all[i].fit(m.width)
		for j := range all[i] {
			all[i][j].text = strings.ReplaceAll(all[i][j].text, cut, m.glyphs.cut)
		}
	}
	return all
}

// foot puts a line at the bottom.
func (m *model) foot(all []line, keys line) []line {
	all = all[:min(len(all), max(m.height-1, 0))]
	for len(all) < m.height-1 {
		all = append(all, nil)
	}
	return append(all, keys)
}

// overview has, in the order in which room is given away: two lines of where the run stands, the grid, what runs, the last events.
func (m *model) overview(now time.Time) []line {
	all := []line{m.title(now), m.standing()}
	running := m.running()
	blank := m.height >= 20
	space := func() {
		if blank {
			all = append(all, nil)
		}
	}
	room := m.height - len(all) - 3 // the selected cell, the best, the keys
	if blank {
		room -= 4
	}
	if len(running) > 0 {
		room-- // their heading
	}
	events := min(len(m.news), max(room/4, 1))
	runs := min(len(running), max((room-events)/3, 1))
	grid := min(len(m.grid.seqs)+1, room-events-runs)
	runs = min(len(running), room-events-grid)

	space()
	for _, l := range m.draw(grid, m.width-2) {
		all = append(all, append(words(plain, " "), l...))
	}
	space()
	all = append(all, m.chosen(), m.winner())
	space()
	if runs > 0 {
		all = append(all, m.loads(running, runs, now)...)
		space()
	}
	rest := m.height - 1 - len(all)
	if blank {
		rest--
	}
	return m.foot(append(all, m.last(rest)...), m.keys())
}

func (m *model) title(now time.Time) line {
	phase := line{say(accent, string(m.state.Phase))}
	if !m.since.IsZero() {
		phase = append(phase, say(plain, "  "+clock(now.Sub(m.since))))
	}
	phase = append(phase, say(plain, " "))
	return sides(line{say(plain, " "), say(strong, end(say(plain, m.place).text, m.width-phase.width()-3))}, phase, m.width)
}

// clock is a time that goes on, in hours, minutes and seconds.
func clock(d time.Duration) string {
	s := max(int(d.Seconds()), 0)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// standing is how far the run is, how long it may still take, and by which server.
func (m *model) standing() line {
	st := m.state
	cells := map[record.WorkPhase]int{}
	final, loads := 0, 0
	for _, c := range st.Cells {
		cells[c.Phase]++
		loads += len(c.Observations)
		if c.Phase.Final() {
			final++
		}
	}
	parts := []string{fmt.Sprintf("%d of %d cells", final, len(st.Cells))}
	for _, p := range []record.WorkPhase{record.WorkRunning, record.WorkFailed} {
		if n := cells[p]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, p))
		}
	}
	parts = append(parts, count(loads))
	if left, known := report.Remaining(st); known && st.Phase == record.PhaseMeasuring {
		parts = append(parts, "about "+report.Roughly(left)+" left")
	}
	var server []string
	if st.ServerVersion != "" {
		server = append(server, "vLLM "+st.ServerVersion)
	}
	if report.Simulated(st.ServerVersion) {
		server = append(server, "simulated")
	}
	return sides(words(plain, " "+strings.Join(parts, ", ")), words(faint, strings.Join(server, ", ")+" "), m.width)
}

func count(loads int) string {
	if loads == 1 {
		return "1 load"
	}
	return fmt.Sprintf("%d loads", loads)
}

// chosen is the selected cell in words.
func (m *model) chosen() line {
	if m.selected >= len(m.rows) {
		return nil
	}
	r := m.rows[m.selected]
	l := line{say(plain, " "), say(strong, fmt.Sprintf("%-12s", r.Cell.ID)), say(plain, "  "+string(r.Phase))}
	var parts []string
	if m.state.Cells[m.selected].Left {
		parts = append(parts, "cannot win")
	}
	if r.Try != "" {
		parts = append(parts, "attempt "+r.Try)
	}
	s := m.seen[r.Job]
	if node := cmp.Or(r.Node, s.Node); node != "" {
		parts = append(parts, "on "+node)
	}
	if r.Scheduler != "" && !r.Phase.Final() {
		parts = append(parts, strings.TrimSpace("job "+r.Scheduler+" "+strings.ToLower(s.Word)))
	}
	if r.Loads > 0 {
		parts = append(parts, count(r.Loads))
	}
	if len(parts) > 0 {
		l = append(l, say(plain, ", "+strings.Join(parts, ", ")))
	}
	if r.Why != "" {
		l = append(l, say(faint, ": "+r.Why))
	}
	return l
}

// winner is the best cell so far.
func (m *model) winner() line {
	b := m.state.Best
	if b == nil {
		return line{say(plain, " "), say(faint, fmt.Sprintf("%-12s", "best")), say(faint, "  none yet")}
	}
	o := b.Observation
	what := fmt.Sprintf("  %s req/s at %s, P99 E2EL %s ms", figure(o.Metrics.RequestThroughput), o.Load.Rate, digits(o.Metrics.E2EL.P99))
	return line{say(plain, " "), say(accent, fmt.Sprintf("%s %-10s", m.glyphs.best, b.Cell.ID)), say(plain, what)}
}

// work is something that runs: a cell, the probe, the profile.
type work struct {
	name string
	job  string
	node string
	obs  []record.Observation
}

func (m *model) running() (all []work) {
	other := func(name string, w record.WorkState) {
		if n := len(w.Attempts); n > 0 && w.Phase == record.WorkRunning {
			all = append(all, work{name: name, job: w.Attempts[n-1].Job, node: w.Attempts[n-1].Node})
		}
	}
	other("probe", m.state.Probe)
	for i, r := range m.rows {
		if r.Phase == record.WorkRunning {
			all = append(all, work{r.Cell.ID, r.Job, r.Node, m.state.Cells[i].Observations})
		}
	}
	other("profile", m.state.Profile)
	return all
}

// loads are what runs: a heading, and a line each, the selected cell's among them.
func (m *model) loads(all []work, most int, now time.Time) []line {
	at := 0
	for i, w := range all {
		if m.selected < len(m.rows) && w.name == m.rows[m.selected].Cell.ID {
			at = i
		}
	}
	from, to := window(len(all), most, at)
	left := " running"
	if to-from < len(all) {
		left = fmt.Sprintf(" running: %d-%d of %d", from+1, to, len(all))
	}
	right := "req/s of each load "
	if p := m.state.Policy; len(p.SLOs()) > 0 {
		right = fmt.Sprintf("%s, %s beyond ", p.LimitText(), m.glyphs.beyond)
		if p.GoodputPct > 0 {
			right = fmt.Sprintf("requests beyond the limits, %s too many ", m.glyphs.beyond)
		}
	}
	lines := []line{sides(words(faint, left), words(faint, right), m.width)}
	names, nodes := 0, 0
	for _, w := range all[from:to] {
		names, nodes = max(names, words(plain, w.name).width()), max(nodes, words(plain, w.node).width())
	}
	for _, w := range all[from:to] {
		name := line{say(plain, " "), say(accent, w.name)}.pad(min(names, 20) + 3)
		lines = append(lines, m.load(w, append(name, words(faint, w.node).pad(min(nodes, 16))...), now))
	}
	return lines
}

// load is what one of them does since when, and how its loads did.
func (m *model) load(w work, name line, now time.Time) line {
	doing, took := "", ""
	if e, ok := m.latest[w.job]; ok {
		if doing = e.What; e.What == "load" {
			doing = e.Detail
		}
		took = clock(now.Sub(e.At))
	}
	columns := m.width/4 - 8
	right := append(m.spark(w.obs, max(columns, 0)), say(plain, "  "))
	right = append(right, m.verdict(w.obs).pad(16)...)
	name = append(name, say(faint, fmt.Sprintf("%6s  ", took)), say(plain, doing))
	return sides(name, right, m.width)
}

// last are the last events, as many as there is room for.
func (m *model) last(room int) []line {
	var lines []line
	for _, n := range m.news[len(m.news)-min(len(m.news), max(room, 0)):] {
		look := plain
		if n.warning {
			look = bad
		}
		text := n.what + " " + n.detail
		switch n.what {
		case "load":
			text = "begins: " + n.detail
		case "observation", "":
			text = n.detail
		}
		lines = append(lines, line{say(faint, " "+n.at.Local().Format("15:04:05")), say(look, fmt.Sprintf("  %-12s", n.where)), say(look, "  "+text)})
	}
	return lines
}

func (m *model) keys() line {
	return sides(words(faint, " arrows: cell   enter: its log   r: refresh   ?: help"), words(plain, "q: quit, the jobs go on "), m.width)
}

func (m *model) help() []line {
	g := m.glyphs
	all := []line{words(strong, " The grid"), nil}
	for _, s := range []struct {
		look         style
		symbol, what string
	}{
		{accent, g.best, "the best so far, and what it reached within the limits, in req/s"},
		{plain, g.passed, "done, with what it reached"},
		{faint, g.left, "left, because it cannot win: it holds less than that"},
		{faint, g.none, "done; nothing was shown to be within the limits"},
		{accent, g.running, "running, with the best of it so far"},
		{plain, g.again, "to be gone on with"},
		{faint, g.waiting, "waiting"},
		{bad, g.failed, "failed, and why"},
		{faint, g.skipped, "not run"},
	} {
		all = append(all, line{say(plain, "   "), say(s.look, s.symbol), say(plain, "  "+s.what)})
	}
	all = append(all, nil, words(strong, " Keys"), nil)
	for _, k := range [][2]string{
		{"arrows, hjkl", "select a cell; tab: the next one that runs"},
		{"enter, o", "its logs; tab: the next file, esc: back"},
		{"r", "draw all of it again; status looks again, too"},
		{"ctrl-z", "suspend"},
		{"q, ctrl-c", "quit; the jobs go on"},
	} {
		all = append(all, line{say(plain, fmt.Sprintf("   %-14s%s", k[0], k[1]))})
	}
	return m.foot(all, words(faint, " any key: back"))
}

// file is the log that is open.
func (m *model) file() []line {
	l := m.log
	name := cmp.Or(l.name, l.why, "looking for a log ...")
	right := ""
	if l.of > 1 {
		right = fmt.Sprintf("%d of %d ", l.which+1, l.of)
	}
	all := []line{sides(line{say(plain, " "), say(strong, name)}, words(faint, right), m.width), nil}
	room := max(m.height-3, 0)
	to := max(len(l.lines)-l.above, 0)
	for _, text := range l.lines[max(to-room, 0):to] {
		all = append(all, line{say(plain, " "+beginning(text, l.right))})
	}
	where := "follows its end"
	if l.above > 0 {
		where = fmt.Sprintf("%d lines below", l.above)
	}
	return m.foot(all, sides(words(faint, " esc: back   tab: next file   arrows, page keys: scroll"), words(faint, where+" "), m.width))
}
