package live

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"vtune/collect"
	"vtune/internal/record"
)

// own are the only escape sequences of a frame.
var own = regexp.MustCompile("\x1b\\[[0-9]*m")

// sound fails unless the frame fits and nothing in it moves a cursor.
func sound(t interface{ Fatalf(string, ...any) }, m *model, now time.Time) {
	lines := m.frame(now)
	if len(lines) > max(m.height, 1) {
		t.Fatalf("%d lines on a screen of %d", len(lines), m.height)
	}
	for _, l := range lines {
		if w := ansi.StringWidth(l.text()); w > m.width {
			t.Fatalf("%d columns on a screen of %d: %q", w, m.width, l.text())
		}
		for _, r := range own.ReplaceAllString(l.coloured(), "") {
			if !unicode.IsPrint(r) {
				t.Fatalf("%q has %U", l.coloured(), r)
			}
		}
	}
}

var keys = []string{"up", "down", "left", "right", "tab", "shift+tab", "enter", "o", "esc", "q", "?", "pgup", "pgdown", "home", "end", "h", "l"}

func TestAnyStateFitsAnyScreenAndIsHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		foreign := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"\x1b[2J\x1b[H", "a\nb\r\tc", "\u202egnp.exe", "模型服务器", "\x9b31m", "\xff\xfe", "e\u0301", "👩‍👩‍👧"}))
		m := &model{place: foreign.Draw(t, "place"), since: time.Unix(1e9, 0), glyphs: unicodeGlyphs}
		if rapid.Bool().Draw(t, "ascii") {
			m.glyphs = asciiGlyphs
		}
		st := large(rapid.IntRange(2, 12).Draw(t, "rows"), rapid.IntRange(4, 12).Draw(t, "columns"))
		st.ServerVersion = foreign.Draw(t, "version")
		st.Phase = record.Phase(foreign.Draw(t, "phase"))
		for i := range st.Cells {
			c := &st.Cells[i]
			c.Phase = rapid.SampledFrom([]record.WorkPhase{record.WorkWaiting, record.WorkRunning, record.WorkFollowUp, record.WorkDone, record.WorkFailed, record.WorkSkipped}).Draw(t, "phase")
			c.Cause = record.Cause(foreign.Draw(t, "cause"))
			c.Message = foreign.Draw(t, "message")
			for j := range c.Attempts {
				c.Attempts[j].Node, c.Attempts[j].Submitted = foreign.Draw(t, "node"), foreign.Draw(t, "job")
			}
		}
		m.width, m.height = rapid.IntRange(0, 140).Draw(t, "width"), rapid.IntRange(0, 50).Draw(t, "height")
		sound(t, m, time.Unix(1e9, 0)) // before anything is known
		m.pass(st, map[string]collect.Seen{st.Cells[0].ID + "-1": {Word: foreign.Draw(t, "word"), Node: foreign.Draw(t, "seen on")}})
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			job := st.Cells[rapid.IntRange(0, len(st.Cells)-1).Draw(t, "job")].ID + "-1"
			what := rapid.OneOf(foreign, rapid.SampledFrom([]string{"load", "observation", "result"})).Draw(t, "what")
			m.event(record.Event{At: time.Unix(1e9, 0), Job: job, Kind: record.Kind(foreign.Draw(t, "kind")), Cell: foreign.Draw(t, "cell"), What: what, Detail: foreign.Draw(t, "detail")})
			m.warn(time.Unix(1e9, 0), foreign.Draw(t, "warning"))
		}
		for range rapid.IntRange(0, 20).Draw(t, "keys") {
			if m.press(rapid.SampledFrom(keys).Draw(t, "key")) == openLog {
				l := log{name: foreign.Draw(t, "name"), of: 2, which: m.log.which}
				for range rapid.IntRange(0, 60).Draw(t, "lines") {
					l.lines = append(l.lines, harmless(foreign.Draw(t, "line")))
				}
				m.shown(l)
			}
			sound(t, m, time.Unix(1e9+5000, 0))
		}
		sound(t, m, time.Unix(1e9+5000, 0))
	})
}

func FuzzLog(f *testing.F) {
	f.Add("\x1b[1;36m(APIServer pid=1)\x1b[0;0m INFO\n\x1b]0;title\x07 50%|###  |\r 100%\n")
	f.Add("\x9b2J\u202e\xff\x00\n\ttabs")
	f.Fuzz(func(t *testing.T, content string) {
		m := &model{width: 60, height: 12, page: logs, glyphs: unicodeGlyphs}
		for text := range strings.Lines(content) {
			m.log.lines = append(m.log.lines, harmless(text))
		}
		sound(t, m, time.Time{})
		m.log.right = 16
		sound(t, m, time.Time{})
	})
}

func TestALogIsReadFromItsEndAndOnlyInTheRun(t *testing.T) {
	dir := halfway(t)
	m := modelOf(t, dir)
	cell := m.state.Cells[2]
	first := read(dir, cell, 0)
	if first.name != "cells/s16-t2048/2/server.log" || first.of != 3 || len(first.lines) == 0 {
		t.Errorf("%s, %d files, %d lines", first.name, first.of, len(first.lines))
	}
	if bench := read(dir, cell, 1); bench.name != "cells/s16-t2048/2/bench-007-1.092.log" {
		t.Errorf("the newest of the load client's logs is %s", bench.name)
	}
	if none := read(dir, m.state.Cells[0], 0); none.of != 0 || none.why == "" {
		t.Errorf("of a cell without an attempt: %+v", none)
	}
	path := filepath.Join(string(dir), first.name)
	if err := os.WriteFile(path, []byte(strings.Repeat("0123456789\n", mostLog/5)+"the end\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := read(dir, cell, 0)
	if n := len(l.lines); n < mostLog/11-1 || n > mostLog/11+1 || l.lines[0] != "0123456789" || l.lines[n-1] != "the end" {
		t.Errorf("%d lines, from %q to %q", n, l.lines[0], l.lines[n-1])
	}
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, path); err != nil {
		t.Fatal(err)
	}
	if l := read(dir, cell, 0); strings.Contains(fmt.Sprint(l.lines), "secret") {
		t.Errorf("a link leads out of the run: %q", l.lines)
	}
}

func TestTheViewOfALog(t *testing.T) {
	dir := halfway(t)
	m := modelOf(t, dir)
	m.page = logs
	m.shown(read(dir, m.state.Cells[2], 0))
	golden(t, "log", m.text(80, 24))
}

func TestColourTellsNothingAlone(t *testing.T) {
	m := modelOf(t, halfway(t))
	m.width, m.height = 80, 24
	coloured := ""
	for _, l := range m.frame(m.now()) {
		coloured += l.coloured() + "\n"
	}
	for _, look := range []style{faint, strong, accent, bad, chosen} {
		if !strings.Contains(coloured, string(look)) {
			t.Errorf("%q is not used", look)
		}
	}
	if !strings.Contains(own.ReplaceAllString(coloured, ""), "6749 ≤ 7000 ms") || strings.Count(coloured, "█") < 2 {
		t.Errorf("without colour nobody sees what is beyond the limit:\n%s", coloured)
	}
}

func TestALocaleWithoutUnicodeHasLetters(t *testing.T) {
	for locale, want := range map[string]string{"C": "*", "en_US.ISO-8859-1": "*", "C.UTF-8": "★", "de_DE.utf8": "★", "": "★"} {
		if got := glyphsOf(func(name string) string { return map[string]string{"LANG": locale}[name] }).best; got != want {
			t.Errorf("LANG=%s: %s", locale, got)
		}
	}
}
