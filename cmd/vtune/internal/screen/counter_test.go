package screen

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// clock is a time that only goes on when it is told to.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestALogHasALineInTenSecondsOfLongWorkAndNoneOfShort(t *testing.T) {
	c := clock{time.Unix(1e9, 0)}
	var out bytes.Buffer
	short := NewCounter(&out, c.now, "scripts written", 100)
	for range 100 {
		short.Add(1)
		c.at = c.at.Add(9 * time.Millisecond)
	}
	short.Close()
	if out.Len() > 0 {
		t.Errorf("of work that takes 0.9 s it said %q", out.String())
	}
	long := NewCounter(&out, c.now, "scripts written", 12000)
	for range 2500 {
		c.at = c.at.Add(10 * time.Millisecond)
		long.Add(4)
	}
	long.Close()
	const want = "scripts written: 4,000 of 12,000, 400 a second, about 20 s\n" +
		"scripts written: 8,000 of 12,000, 400 a second, about 10 s\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestWorkOfWhichTheEndIsNotKnownIsCountedAllTheSame(t *testing.T) {
	c := clock{time.Unix(1e9, 0)}
	var out bytes.Buffer
	n := NewCounter(&out, c.now, "", 0)
	n.Progress(1000, 0, "objects listed")
	c.at = c.at.Add(20 * time.Second)
	n.Progress(2000, 0, "objects listed")
	n.Progress(1, 3, "manifests") // other work: its own clock
	n.Progress(0, 0, "")
	if out.String() != "objects listed: 2,000, 100 a second\n" {
		t.Errorf("%q", out.String())
	}
}

func TestWorkThatIsDoneDoesNotCountForTheNext(t *testing.T) {
	c := clock{time.Unix(1e9, 0)}
	var out bytes.Buffer
	n := NewCounter(&out, c.now, "", 0)
	n.Progress(5, 5, "files put up")
	c.at = c.at.Add(time.Hour)
	n.Progress(1, 5, "files put up")
	c.at = c.at.Add(20 * time.Second)
	n.Progress(3, 5, "files put up")
	n.Progress(2, 5, "files put up") // from a slower goroutine
	if out.String() != "files put up: 3 of 5, 0.1 a second, about 10 s\n" {
		t.Errorf("%q", out.String())
	}
}

// What a view takes is not written to the terminal beside it, and nothing but lines comes where there is no terminal.
func TestWhatIsSaidGoesToTheViewWhileThereIsOne(t *testing.T) {
	var out, view bytes.Buffer
	talk := NewTalk(&out, nil)
	back := talk.Divert(&view)
	talk.Write([]byte("warning: one\n"))
	back()
	talk.Write([]byte("two\n"))
	if view.String() != "warning: one\n" || out.String() != "two\n" {
		t.Errorf("view %q, out %q", view.String(), out.String())
	}
}

func TestALineIsWrittenOverWithBlanks(t *testing.T) {
	talk := NewTalk(nil, nil)
	said := talk.over("scripts: 100") + talk.over("scripts") + talk.over("")
	if said != "\rscripts: 100\rscripts     \r       \r" {
		t.Errorf("%q", said)
	}
}

func TestNoColourAndADumbTerminalMeanLines(t *testing.T) {
	for env, want := range map[string]bool{"NO_COLOR=1": true, "NO_COLOR=": false, "TERM=dumb": true, "TERM=xterm": false} {
		if got := NewTalk(nil, strings.Fields(env)).Plain; got != want {
			t.Errorf("%s: plain %t", env, got)
		}
	}
}
