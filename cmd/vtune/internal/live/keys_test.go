package live

import (
	"testing"

	"vtune/internal/record"
)

func TestKeysSelectACellAndStopAtTheEdges(t *testing.T) {
	m := &model{width: 80, height: 24}
	m.pass(large(3, 4), nil) // cells 0 to 3 in the first row
	for _, c := range []struct {
		key  string
		want int
	}{
		{"up", 0},
		{"left", 0},
		{"right", 1},
		{"l", 2},
		{"right", 3},
		{"right", 3},
		{"down", 7},
		{"j", 11},
		{"down", 11},
		{"h", 10},
		{"k", 6},
		{"tab", 7},
		{"shift+tab", 6},
		{"x", 6},
	} {
		if act := m.press(c.key); act != nothing || m.selected != c.want {
			t.Errorf("after %s: cell %d and act %d, want cell %d", c.key, m.selected, act, c.want)
		}
	}
}

func TestTabGoesFromOneRunningCellToTheNext(t *testing.T) {
	m := &model{}
	st := large(3, 4)
	for i := range st.Cells {
		st.Cells[i].Phase = record.WorkWaiting
	}
	st.Cells[2].Phase, st.Cells[9].Phase = record.WorkRunning, record.WorkRunning
	m.pass(st, nil)
	for _, want := range []int{2, 9, 2} {
		if m.press("tab"); m.selected != want {
			t.Errorf("cell %d, want %d", m.selected, want)
		}
	}
	if m.press("shift+tab"); m.selected != 9 {
		t.Errorf("cell %d before the first, want 9", m.selected)
	}
}

func TestKeysAreOfThePageThatHasTheScreen(t *testing.T) {
	m := &model{width: 80, height: 24}
	if m.press("enter") != nothing || m.page != overview {
		t.Error("a log was opened before there was a cell")
	}
	m.pass(large(3, 4), nil)
	for _, c := range []struct {
		key  string
		act  act
		page page
	}{
		{"?", nothing, help},
		{"q", nothing, overview},
		{"enter", openLog, logs},
		{"down", nothing, logs},
		{"ctrl+c", interrupt, logs},
		{"ctrl+z", suspend, logs},
		{"esc", nothing, overview},
		{"o", openLog, logs},
		{"q", nothing, overview},
		{"r", refresh, overview},
		{"q", quit, overview},
	} {
		if got := m.press(c.key); got != c.act || m.page != c.page {
			t.Errorf("after %s: act %d on page %d, want %d on %d", c.key, got, m.page, c.act, c.page)
		}
	}
}

func TestALogThatGrowsStaysWhereItIsReadUnlessItsEndIs(t *testing.T) {
	m := &model{width: 80, height: 13, page: logs} // ten lines of it
	text := func(n int) log { return log{name: "server.log", of: 2, lines: make([]string, n)} }
	m.shown(text(100))
	if m.shown(text(120)); m.log.above != 0 {
		t.Errorf("its end is followed no more: %d lines below", m.log.above)
	}
	m.press("pgup")
	m.press("up")
	if m.shown(text(150)); m.log.above != 41 {
		t.Errorf("%d lines below, want 11 and the 30 that came", m.log.above)
	}
	if m.press("home"); m.log.above != 140 {
		t.Errorf("%d lines below its beginning, want 140", m.log.above)
	}
	if m.press("end"); m.log.above != 0 {
		t.Errorf("%d lines below its end", m.log.above)
	}
	if m.press("tab") != openLog || m.log.which != 1 {
		t.Errorf("file %d after tab", m.log.which)
	}
	m.press("up")
	if m.shown(log{name: "bench.log", which: 1, of: 2, lines: make([]string, 5)}); m.log.above != 0 {
		t.Error("another file does not begin at its end")
	}
}

func TestWhatIsWarnedOfIsSaidOnce(t *testing.T) {
	m := &model{}
	for range 3 {
		m.warn(m.since, "warning: the scheduler does not answer\n")
		m.warn(m.since, "hint: none\n")
	}
	if len(m.news) != 2 {
		t.Errorf("%+v", m.news)
	}
}
