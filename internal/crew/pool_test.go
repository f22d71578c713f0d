package crew

import (
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// fakePool is a queue that others take from too.
type fakePool struct {
	sync.Mutex
	taken  map[string]bool
	known  map[string]bool // to be taken, without being asked
	away   bool            // nothing can be asked
	asked  []string
	closed int
	last   func() // what Close brings in
}

func (p *fakePool) Claim(j record.Job) error {
	p.Lock()
	defer p.Unlock()
	p.asked = append(p.asked, j.ID)
	switch {
	case p.away:
		return errors.New("no answer")
	case p.taken[j.ID]:
		return ErrTaken
	}
	p.taken[j.ID] = true
	return nil
}

func (p *fakePool) Taken(job string) bool {
	p.Lock()
	defer p.Unlock()
	return p.known[job]
}

func (p *fakePool) Close() error {
	p.Lock()
	defer p.Unlock()
	if p.away {
		return errors.New("no answer")
	}
	if p.closed++; p.closed == 1 && p.last != nil {
		p.last()
	}
	return nil
}

func (p *fakePool) set(away bool) {
	p.Lock()
	defer p.Unlock()
	p.away = away
}

func inPool(t *testing.T, p *fakePool, idle time.Duration, jobs ...record.Job) *world {
	t.Helper()
	p.taken = map[string]bool{}
	for id := range p.known {
		p.taken[id] = true
	}
	return beginWith(t, func(c *Config) { c.Pool, c.Done, c.Idle = p, nil, idle }, record.Crew{Slots: 1, Nodes: 1, Feed: true, Pool: true}, jobs...)
}

func (w *world) queue(n int, j record.Job) {
	w.Helper()
	err := errors.Join(os.MkdirAll(w.c.Dir.Queue(record.Pool), 0o755), os.MkdirAll(w.c.Dir.Job(j.ID), 0o755),
		fsx.PublishJSON(w.c.Dir.Queued(record.Pool, n, j.ID), j))
	if err != nil {
		w.Fatal(err)
	}
}

// Of what others have, nothing is begun, and nothing is said: their own crews do.
func TestWhatAnotherCrewHasIsPassedOver(t *testing.T) {
	p := &fakePool{known: map[string]bool{"a": true}}
	w := inPool(t, p, time.Minute, cell("a"), cell("b"))
	w.awaitBegun("b")
	w.queue(1, cell("x"))
	p.Lock()
	p.taken["x"] = true
	p.Unlock()
	w.queue(2, cell("y"))
	w.fake.end("b", "0:0")
	w.awaitBegun("b", "y")
	w.fake.end("y", "0:0")
	w.stop <- record.CauseStopped
	w.ends(true)
	if !slices.Equal(p.asked, []string{"b", "x", "y"}) {
		t.Errorf("asked for %s", p.asked)
	}
	for _, id := range []string{"a", "x"} {
		if _, err := os.Stat(w.c.Dir.Step(id)); err == nil {
			t.Errorf("a step of %s, which another crew has", id)
		}
	}
}

// A bucket that does not answer costs a job nothing but time, and a crew with jobs before it does not take that for the end.
func TestAJobThatCannotBeClaimedNowIsClaimedLater(t *testing.T) {
	p := &fakePool{away: true}
	w := inPool(t, p, time.Millisecond, cell("a"))
	w.await("several tries", func() bool { p.Lock(); defer p.Unlock(); return len(p.asked) > 5 })
	p.set(false)
	w.awaitBegun("a")
	p.set(true)
	w.fake.end("a", "0:0")
	select {
	case <-w.over:
		t.Fatal("it ended and could not tell")
	case <-time.After(50 * time.Millisecond):
	}
	p.set(false)
	w.ends(false)
}

// Whoever feeds a pool and finds a crew open afterwards knows that the crew will see it: it closes first and looks then.
func TestACrewOfAPoolLooksOnceMoreAfterItHasClosed(t *testing.T) {
	p := &fakePool{}
	var w *world
	began := make(chan struct{})
	p.last = func() { <-began; w.queue(1, cell("late")) }
	w = inPool(t, p, time.Millisecond)
	close(began)
	w.awaitBegun("late")
	w.fake.end("late", "0:0")
	w.ends(false)
	if p.closed != 1 {
		t.Errorf("closed %d times", p.closed)
	}
}

// The probe may be anybody's. Its result is what cells wait for.
func TestCellsOfAPoolWaitForAProbeElsewhere(t *testing.T) {
	a := cell("a")
	a.Needs = []record.Edge{{Job: "probe-2", When: record.AfterOK}}
	w := inPool(t, &fakePool{}, time.Millisecond, a)
	dir := w.c.Dir.Attempt(record.KindProbe, "", 2) // of the first attempt nothing is known here
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if got := w.fake.begun(); len(got) > 0 {
		t.Fatalf("%s began before the probe had a result", got)
	}
	if err := fsx.PublishJSON(dir.Result(), record.Result{Outcome: record.OutcomeDone, Complete: true}); err != nil {
		t.Fatal(err)
	}
	w.awaitBegun("a")
	w.fake.end("a", "0:0")
	w.ends(false)
}

// A machine that starts again finds that its crew has begun, and goes on.
func TestACrewOfAPoolGoesOnAfterARestart(t *testing.T) {
	p := &fakePool{}
	w := inPool(t, p, time.Millisecond, cell("a"))
	w.awaitBegun("a")
	w.fake.end("a", "0:0")
	w.ends(false)
	p.known = map[string]bool{"a": true}
	if interrupted, err := Run(t.Context(), w.c); err != nil || interrupted {
		t.Errorf("again: %t, %v", interrupted, err)
	}
	if !slices.Equal(w.fake.begun(), []string{"a"}) {
		t.Errorf("begun: %s", w.fake.begun())
	}
}
