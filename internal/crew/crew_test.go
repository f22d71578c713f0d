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

// fake is a scheduler's step launcher in memory: a job ends when the test says so, or when it is told to.
type fake struct {
	sync.Mutex
	began []string
	steps map[string]*fakeStep
}

type fakeStep struct {
	exit chan string
	told []record.Cause
	f    *fake
}

func (f *fake) Start(j record.Job) (Step, error) {
	f.Lock()
	defer f.Unlock()
	if j.ID == "broken" {
		return nil, errors.New("no srun here")
	}
	s := &fakeStep{exit: make(chan string, 2), f: f}
	f.began, f.steps[j.ID] = append(f.began, j.ID), s
	return s, nil
}

func (s *fakeStep) Wait() string { return <-s.exit }

func (s *fakeStep) Tell(c record.Cause) error {
	s.f.Lock()
	defer s.f.Unlock()
	s.told = append(s.told, c)
	s.exit <- "8:0"
	return nil
}

func (f *fake) begun() []string {
	f.Lock()
	defer f.Unlock()
	return slices.Clone(f.began)
}

func (f *fake) end(id, exit string) {
	f.Lock()
	defer f.Unlock()
	f.steps[id].exit <- exit
}

// world is a crew at work in a run directory of its own.
type world struct {
	*testing.T
	fake *fake
	c    Config
	stop chan record.Cause
	done chan struct{}
	over chan bool // whether it was interrupted
}

func begin(t *testing.T, crew record.Crew, jobs ...record.Job) *world {
	t.Helper()
	return beginWith(t, func(*Config) {}, crew, jobs...)
}

func beginWith(t *testing.T, set func(*Config), crew record.Crew, jobs ...record.Job) *world {
	t.Helper()
	w := &world{
		T: t, fake: &fake{steps: map[string]*fakeStep{}}, stop: make(chan record.Cause, 4), done: make(chan struct{}), over: make(chan bool, 1),
	}
	dir := record.Dir(t.TempDir())
	for _, id := range append([]string{"crew-1"}, ids(jobs)...) {
		if err := os.MkdirAll(dir.Job(id), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.c = Config{
		Dir: dir, Order: record.CrewOrder{Unit: record.Unit{ID: "crew-1", Jobs: jobs, Crew: &crew}}, Starter: w.fake, Stop: w.stop,
		Done: w.done, Log: t.Output(), Now: time.Now, Pace: 5 * time.Millisecond, Idle: time.Minute,
	}
	set(&w.c)
	go func() {
		interrupted, err := Run(t.Context(), w.c)
		if err != nil {
			t.Error(err)
		}
		w.over <- interrupted
	}()
	return w
}

func ids(js []record.Job) (ids []string) {
	for _, j := range js {
		ids = append(ids, j.ID)
	}
	return ids
}

func (w *world) await(what string, holds func() bool) {
	w.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	w.Fatalf("waited for %s", what)
}

func (w *world) awaitBegun(want ...string) {
	w.Helper()
	w.await("steps to begin", func() bool { return slices.Equal(w.fake.begun(), want) })
}

func (w *world) step(job string) (s record.Step) {
	w.Helper()
	if err := fsx.ReadJSON(w.c.Dir.Step(job), &s); err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) ends(interrupted bool) {
	w.Helper()
	select {
	case was := <-w.over:
		if was != interrupted {
			w.Errorf("interrupted: %t, want %t", was, interrupted)
		}
	case <-time.After(10 * time.Second):
		w.Fatal("the crew does not end")
	}
}

func cell(id string) record.Job {
	return record.Job{ID: id, Kind: record.KindCell, Cell: id, Attempt: 1}
}

func TestACrewTellsHowItsJobsFareAndEndsWithThem(t *testing.T) {
	w := begin(t, record.Crew{Slots: 2, Nodes: 1}, cell("a"), cell("b"), cell("c"))
	w.awaitBegun("a", "b")
	var aboard record.Aboard
	w.await("the list", func() bool {
		return fsx.ReadJSON(w.c.Dir.Aboard("crew-1"), &aboard) == nil && len(aboard.Jobs) == 2 && aboard.Waiting == 1
	})
	w.fake.end("b", "0:9")
	w.awaitBegun("a", "b", "c")
	if s := w.step("b"); s.ExitCode != "0:9" || !s.Over() {
		t.Errorf("b: %+v", s)
	}
	if s := w.step("a"); s.Over() || s.Begun.IsZero() {
		t.Errorf("a, under way: %+v", s)
	}
	w.fake.end("a", "0:0")
	w.fake.end("c", "1:0")
	w.ends(false)
	if err := fsx.ReadJSON(w.c.Dir.Aboard("crew-1"), &aboard); err != nil || !aboard.Closed || len(aboard.Jobs) != 0 {
		t.Errorf("at the end: %+v, %v", aboard, err)
	}
	if _, err := Run(t.Context(), w.c); !errors.Is(err, fsx.ErrTaken) {
		t.Errorf("run a second time: %v", err)
	}
}

func TestWhatCannotBeStartedIsOverAndTakesNobodyAlong(t *testing.T) {
	w := begin(t, record.Crew{Slots: 1, Nodes: 1}, cell("broken"), cell("b"))
	w.awaitBegun("b")
	if s := w.step("broken"); s.ExitCode != "127:0" || !s.Over() {
		t.Errorf("broken: %+v", s)
	}
	w.fake.end("b", "0:0")
	w.ends(false)
}

// A warning before the time limit reaches every step with its cause, and nothing begins any more.
func TestACrewThatIsToldToEndTellsItsStepsAndBeginsNothingMore(t *testing.T) {
	w := begin(t, record.Crew{Slots: 2, Nodes: 1, Feed: true}, cell("a"), cell("b"), cell("c"))
	w.awaitBegun("a", "b")
	w.stop <- record.CauseTimeLimit
	w.ends(true)
	for _, id := range []string{"a", "b"} {
		if told := w.fake.steps[id].told; !slices.Equal(told, []record.Cause{record.CauseTimeLimit}) {
			t.Errorf("%s was told %q", id, told)
		}
	}
	if _, err := os.Stat(w.c.Dir.Step("c")); err == nil {
		t.Error("c was begun, or is said to be over")
	}
}

// What a collector does not want any more is not begun, or ended alone.
func TestUnwantedJobsAreLeftOutAndTheOthersGoOn(t *testing.T) {
	w := begin(t, record.Crew{Slots: 2, Nodes: 1}, cell("a"), cell("b"), cell("c"), cell("d"))
	w.awaitBegun("a", "b")
	for _, id := range []string{"c", "b"} {
		if err := fsx.PublishJSON(w.c.Dir.Unwanted(id), struct{}{}); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitBegun("a", "b", "d")
	w.fake.end("a", "0:0")
	w.fake.end("d", "0:0")
	w.ends(false)
	for id, begun := range map[string]bool{"b": true, "c": false} {
		if s := w.step(id); !s.Cancelled || !s.Over() || s.Begun.IsZero() == begun {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if told := w.fake.steps["a"].told; len(told) > 0 {
		t.Errorf("a was told %q", told)
	}
}

// A fed crew takes what comes, in order, each once, and ends when the run does.
func TestAFedCrewGoesOnWithItsQueueUntilTheRunIsOver(t *testing.T) {
	w := begin(t, record.Crew{Slots: 1, Nodes: 1, Feed: true}, cell("a"))
	w.awaitBegun("a")
	for i, id := range []string{"x", "y"} {
		if err := errors.Join(os.MkdirAll(w.c.Dir.Queue("crew-1"), 0o755), os.MkdirAll(w.c.Dir.Job(id), 0o755)); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{i + 1, i + 10} { // as after a collector that was killed between two records
			if err := fsx.PublishJSON(w.c.Dir.Queued("crew-1", n, id), cell(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.fake.end("a", "0:0")
	w.awaitBegun("a", "x")
	w.fake.end("x", "0:0")
	w.awaitBegun("a", "x", "y")
	close(w.done)
	w.fake.end("y", "0:0")
	w.ends(false)
}

// Jobs wait for the probe of their own crew, and any attempt of it that found an answer lets them begin.
func TestCellsOfAWholeAllocationWaitForAProbeThatSucceeds(t *testing.T) {
	probe := record.Job{ID: "probe-1", Kind: record.KindProbe, Attempt: 1}
	a := cell("a")
	a.Needs = []record.Edge{{Job: "probe-1", When: record.AfterOK}}
	w := begin(t, record.Crew{Slots: 2, Nodes: 1, Feed: true}, probe, a)
	w.awaitBegun("probe-1")
	w.fake.end("probe-1", "1:0")
	var s record.Step
	w.await("the probe's end", func() bool { return fsx.ReadJSON(w.c.Dir.Step("probe-1"), &s) == nil && s.Over() })
	for n, outcome := range []record.Outcome{record.OutcomeFailed, record.OutcomeDone} {
		dir := w.c.Dir.Attempt(record.KindProbe, "", n+1)
		if err := os.MkdirAll(string(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := w.fake.begun(); len(got) != 1 {
			t.Fatalf("begun without an answer: %s", got)
		}
		if err := fsx.PublishJSON(dir.Result(), record.Result{Outcome: outcome, Complete: true}); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitBegun("probe-1", "a")
	w.fake.end("a", "0:0")
	close(w.done)
	w.ends(false)
}

func TestACrewThatNobodyFeedsEnds(t *testing.T) {
	dir := record.Dir(t.TempDir())
	if err := os.MkdirAll(dir.Job("crew-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	interrupted, err := Run(t.Context(), Config{
		Dir: dir, Order: record.CrewOrder{Unit: record.Unit{ID: "crew-1", Crew: &record.Crew{Slots: 1, Nodes: 1, Feed: true}}},
		Log: t.Output(), Now: func() time.Time { now = now.Add(time.Minute); return now }, Pace: time.Millisecond,
	})
	if interrupted || err != nil {
		t.Errorf("interrupted: %t, %v", interrupted, err)
	}
}
