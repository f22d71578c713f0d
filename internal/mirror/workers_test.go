package mirror

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"vtune/internal/record"
)

func TestAWorkerThatIsSeenUnchangedIsSilentSinceItWasSeenFirst(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	clock := time.Now()
	m.c.Now = func() time.Time { return clock }
	pull(t, m)
	only := func() WorkerSeen {
		t.Helper()
		ws := m.Workers()
		if len(ws) != 1 || ws[0].Unit != "crew-1" || ws[0].Node != "node-crew-1" {
			t.Fatalf("workers: %+v", ws)
		}
		return ws[0]
	}
	if w := only(); !w.Since.IsZero() || w.Phase != record.WorkerOpen || w.Manifests != 12 {
		t.Errorf("seen once: %+v", w)
	}
	first := clock
	clock = clock.Add(time.Minute)
	pull(t, m)
	if w := only(); !w.Since.Equal(first) {
		t.Errorf("seen again: %+v, want since %v", w, first)
	}
	// Another process on this machine goes by the same clock.
	m = here(t, s, string(m.c.Dir))
	m.c.Now = func() time.Time { return clock }
	clock = clock.Add(time.Hour)
	pull(t, m)
	if w := only(); !w.Since.Equal(first) {
		t.Errorf("by another process: %+v, want since %v", w, first)
	}
	clock = first.Add(-time.Hour)
	pull(t, m)
	if w := only(); w.Since.After(clock) {
		t.Errorf("after the clock was set back: %+v", w)
	}
	// On another machine, what this one's clock said means nothing.
	text, err := os.ReadFile(m.c.Dir.Mirror())
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	text = []byte(strings.ReplaceAll(string(text), `"host":"`+host+`"`, `"host":"elsewhere"`))
	if err := os.WriteFile(m.c.Dir.Mirror(), text, 0o644); err != nil {
		t.Fatal(err)
	}
	m = here(t, s, string(m.c.Dir))
	if pull(t, m); !only().Since.IsZero() {
		t.Errorf("of another machine: %+v", only())
	}
}

func TestADeadWorkerIsBuriedAndOneThatLivesIsNot(t *testing.T) {
	s := newStore(t)
	w := &machine{s: s, unit: "crew-7"}
	w.beat(record.WorkerOpen)
	m := here(t, s, "")
	pull(t, m)
	w.beat(record.WorkerOpen)
	if buried, err := m.Bury(context.Background(), "crew-7"); buried || err != nil {
		t.Errorf("it lives, and was buried: %t, %v", buried, err)
	}
	pull(t, m)
	for range 2 {
		if buried, err := m.Bury(context.Background(), "crew-7"); !buried || err != nil {
			t.Errorf("not buried: %t, %v", buried, err)
		}
	}
	if ws := m.Workers(); ws[0].Phase != record.WorkerDead || ws[0].Boot != 1 {
		t.Errorf("workers: %+v", ws)
	}
	if w.beat(record.WorkerOpen) {
		t.Error("it beat after it was buried")
	}
	other := here(t, s, "")
	if pull(t, other); other.Workers()[0].Phase != record.WorkerDead {
		t.Errorf("another collector sees %+v", other.Workers())
	}
	if _, err := m.Bury(context.Background(), "crew-8"); err == nil {
		t.Error("somebody was buried whom nobody ever saw")
	}
}

func TestAJobThatIsGivenUpIsNobodysAndOneThatIsTakenIsNot(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	reader := here(t, s, "")
	pull(t, m)
	pull(t, reader)
	for range 2 {
		c, err := m.GiveUp(context.Background(), "cell-y")
		if err != nil || c.Unit != "" || c.Job != "cell-y" {
			t.Errorf("%+v, %v", c, err)
		}
	}
	w := &machine{s: s, unit: "crew-2"}
	w.up(file{path: "claims/cell-z.json", data: `{"job":"cell-z","unit":"crew-2"}`})
	if c, err := m.GiveUp(context.Background(), "cell-z"); err != nil || c.Unit != "crew-2" {
		t.Errorf("%+v, %v", c, err)
	}
	if got := contents(t, m, "claims/cell-z.json"); !strings.Contains(got, "crew-2") {
		t.Errorf("here: %s", got)
	}
	if _, err := m.GiveUp(context.Background(), "../x"); err == nil {
		t.Error("a claim outside of claims")
	}
	push(t, m)
	pull(t, reader)
	if got := contents(t, reader, "claims/cell-y.json"); !strings.Contains(got, `"unit": ""`) {
		t.Errorf("another mirror: %s", got)
	}
}

func TestALogIsFetchedInPiecesAndGrows(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	w := &machine{s: s, unit: "crew-1"}
	const log = "cells/a/1/server.log"
	fetch := func(want string) {
		t.Helper()
		if err := m.Fetch(context.Background(), log); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, m, log); got != want {
			t.Errorf("%.60q, want %.60q", got, want)
		}
		if info, err := os.Stat(m.local(log)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("permissions %v, %v", info.Mode(), err)
		}
	}
	fetch("log")
	w.up(file{path: log, data: " and", part: 2}, file{path: log, data: "!", part: 4})
	s.reset()
	fetch("log and") // the third is not up yet
	if s.calls["get"] != 1 {
		t.Errorf("calls: %v", s.calls)
	}
	w.up(file{path: log, data: " more", part: 3})
	fetch("log and more!")
	s.reset()
	fetch("log and more!")
	if s.calls["get"] != 0 {
		t.Errorf("calls for what is here: %v", s.calls)
	}
	for _, spoilt := range []string{"log an", "log AND more!", "log and more! and what a crash left", ""} {
		if err := os.WriteFile(m.local(log), []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		fetch("log and more!")
	}
	pull(t, m) // leaves it
	fetch("log and more!")
	w.up(file{path: log, data: "log and more! whole"})
	fetch("log and more! whole")
}

func TestAFolderIsFetchedWithAllThatIsInIt(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	w := &machine{s: s, unit: "crew-1"}
	big := strings.Repeat("x", 1<<20)
	w.up(file{path: "cells/a/1/trace/x.pb", data: big}, file{path: "cells/a/1/trace/deep/y.pb", data: "y"}, file{path: "cells/a/1/trace-not/z", data: "z"},
		file{path: "cells/a/1/trace/../../../../../outside", data: "evil"})
	if err := m.Fetch(context.Background(), "cells/a/1/trace", "jobs/cell-a/assignment.json"); err != nil {
		t.Fatal(err)
	}
	if contents(t, m, "cells/a/1/trace/x.pb") != big || contents(t, m, "cells/a/1/trace/deep/y.pb") != "y" {
		t.Error("the trace is not whole")
	}
	if _, err := os.Stat(m.local("cells/a/1/trace-not")); err == nil {
		t.Error("what only begins like it came with it")
	}
	// What was changed here stays, and what was fetched is not put up.
	write(t, m, "jobs/cell-a/assignment.json", "mine")
	if err := m.Fetch(context.Background(), "jobs/cell-a/assignment.json", "bin/vtune"); err != nil || contents(t, m, "jobs/cell-a/assignment.json") != "mine" {
		t.Errorf("%v, %s", err, contents(t, m, "jobs/cell-a/assignment.json"))
	}
	s.reset()
	push(t, m)
	if s.calls["put"] != 2 || s.calls["stat"] != 0 {
		t.Errorf("calls: %v", s.calls)
	}
	if err := m.Fetch(context.Background(), "cells/none/1/server.log"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if err := m.Fetch(context.Background(), "../x"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is outside: %v", err)
	}
}
