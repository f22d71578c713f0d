package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// answers is a scheduler in memory that gives the answers a real one does not give on demand.
type answers struct {
	submitted []Request
	answer    func(r Request) (accepted bool, err error) // nil: accepts
	listErr   error
	forgets   bool // finished and forgotten: List shows nothing
	ended     map[string]bool
	cancelled []Handle
}

func (a *answers) Capabilities(context.Context) (Capabilities, error) {
	return Capabilities{Dependencies: true, MaxArray: 1000}, nil
}

func (a *answers) Submit(_ context.Context, r Request) (Handle, error) {
	accepted, err := true, error(nil)
	if a.answer != nil {
		accepted, err = a.answer(r)
	}
	if accepted {
		a.submitted = append(a.submitted, r)
	}
	if err != nil {
		return Handle{}, err
	}
	return Handle{ID: fmt.Sprint(len(a.submitted))}, nil
}

func (a *answers) List(context.Context, string) ([]Status, error) {
	if a.listErr != nil || a.forgets {
		return nil, a.listErr
	}
	var list []Status
	for i, r := range a.submitted {
		state := Pending
		if a.ended[r.Name] {
			state = Completed
		}
		for task := range max(r.Tasks, 1) {
			list = append(list, Status{Handle: Handle{ID: fmt.Sprint(i + 1)}, Name: r.Name, Task: task, State: state})
		}
	}
	return list, nil
}

func (a *answers) Cancel(_ context.Context, hs []Handle) error {
	a.cancelled = append(a.cancelled, hs...)
	return nil
}

func (a *answers) names() string {
	var names []string
	for _, r := range a.submitted {
		names = append(names, strings.TrimPrefix(r.Name, "vt-r-"))
	}
	return strings.Join(names, " ")
}

func submitter(t *testing.T, a *answers) (*Submitter, []record.Unit) {
	t.Helper()
	s := &Submitter{
		Dir: record.Dir(t.TempDir()), Run: record.Run{ID: "r"}, Scheduler: a,
		Caps: Capabilities{Dependencies: true, MaxArray: 1000}, Now: time.Now, Settle: time.Millisecond,
	}
	units := Plan(grid([]int{1, 2}, []int{8, 16}), Options{MaxArray: 1000}).Units
	for _, u := range units {
		if err := os.MkdirAll(s.Dir.Job(u.ID), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s, units
}

func mustSubmit(t *testing.T, s *Submitter, units []record.Unit) Report {
	t.Helper()
	r, err := s.Units(context.Background(), units)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestUnitsGoOutOnceWithTheirDependencies(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	if r := mustSubmit(t, s, units); r.Submitted != 2 {
		t.Fatalf("report %+v", r)
	}
	if r := mustSubmit(t, s, units); r.Already != 2 || len(a.submitted) != 2 {
		t.Fatalf("again: %+v, %s", r, a.names())
	}
	cells := a.submitted[1]
	want := Dependency{On: Handle{ID: "1"}, Task: -1, When: record.AfterOK}
	if cells.Tasks != 4 || len(cells.After) != 1 || cells.After[0] != want {
		t.Fatalf("cells went out as %+v", cells)
	}
}

// The answer to a request may be lost although it was accepted. Looking the name up settles it.
func TestAnAmbiguousAnswerIsSettledByLooking(t *testing.T) {
	for _, accepted := range []bool{true, false} {
		a := &answers{answer: func(Request) (bool, error) { return accepted, fmt.Errorf("socket timed out: %w", ErrAmbiguous) }}
		s, units := submitter(t, a)
		_, err := s.Units(context.Background(), units[:1])
		if accepted && err != nil || !accepted && !errors.Is(err, ErrAmbiguous) {
			t.Fatalf("accepted %v: %v", accepted, err)
		}
		a.answer = nil
		mustSubmit(t, s, units)
		if got := a.names(); got != "probe-1 cells" {
			t.Errorf("accepted %v: the scheduler has %q", accepted, got)
		}
	}
}

func TestAnIntentWithoutAnAnswerIsLookedUpBeforeItIsSentAgain(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	mustSubmit(t, s, units)
	for _, u := range units {
		if err := os.Remove(s.Dir.Submitted(u.ID)); err != nil {
			t.Fatal(err)
		}
	}
	a.listErr = errors.New("down")
	if _, err := s.Units(context.Background(), units); err == nil {
		t.Fatal("submitted again without a look")
	}
	a.listErr = nil
	if r := mustSubmit(t, s, units); r.Adopted != 2 || len(a.submitted) != 2 {
		t.Fatalf("report %+v, the scheduler has %s", r, a.names())
	}
}

// A scheduler forgets what is over; the attempt on disk still says that the job ran and under which id.
func TestAJobThatRanAndWasForgottenIsNotSentAgain(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	mustSubmit(t, s, units[:1])
	if err := os.Remove(s.Dir.Submitted("probe-1")); err != nil {
		t.Fatal(err)
	}
	dir := s.Dir.Attempt(record.KindProbe, "", 1)
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fsx.PublishJSON(dir.Attempt(), record.Attempt{Job: "probe-1", SchedulerID: "77"}); err != nil {
		t.Fatal(err)
	}
	a.forgets = true
	var out record.Submitted
	if r := mustSubmit(t, s, units[:1]); r.Adopted != 1 || len(a.submitted) != 1 {
		t.Fatalf("report %+v, the scheduler has %s", r, a.names())
	}
	if err := fsx.ReadJSON(s.Dir.Submitted("probe-1"), &out); err != nil || out.ID != "77" {
		t.Fatalf("recorded %+v, %v", out, err)
	}
}

func TestBackpressureHoldsTheRestForLater(t *testing.T) {
	a := &answers{answer: func(r Request) (bool, error) {
		if r.Tasks > 0 {
			return false, fmt.Errorf("AssocMaxSubmitJobLimit: %w", ErrBackpressure)
		}
		return true, nil
	}}
	s, units := submitter(t, a)
	if r := mustSubmit(t, s, units); r.Submitted != 1 || r.Held != 1 || r.Why == nil {
		t.Fatalf("report %+v", r)
	}
	a.answer = nil
	if r := mustSubmit(t, s, units); r.Submitted != 1 || r.Already != 1 {
		t.Fatalf("later: %+v", r)
	}
}

func TestARefusalIsTheCallersToReport(t *testing.T) {
	a := &answers{answer: func(Request) (bool, error) { return false, fmt.Errorf("invalid partition: %w", ErrRefused) }}
	s, units := submitter(t, a)
	if _, err := s.Units(context.Background(), units); !errors.Is(err, ErrRefused) {
		t.Fatalf("error %v", err)
	}
}

func publishProbe(t *testing.T, s *Submitter, n int, o record.Outcome) {
	t.Helper()
	dir := s.Dir.Attempt(record.KindProbe, "", n)
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fsx.PublishJSON(dir.Result(), record.Result{Outcome: o, Complete: true}); err != nil {
		t.Fatal(err)
	}
}

// A dependency on a job that the scheduler may have forgotten is refused by some and silently lifted by others.
func TestADependencyThatIsKnownToHoldIsLeftOut(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	mustSubmit(t, s, units[:1])
	publishProbe(t, s, 1, record.OutcomeDone)
	mustSubmit(t, s, units)
	if len(a.submitted) != 2 || len(a.submitted[1].After) != 0 {
		t.Fatalf("cells went out as %+v", a.submitted)
	}
}

func TestCellsBehindAFailedProbeStayHome(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	mustSubmit(t, s, units[:1])
	publishProbe(t, s, 1, record.OutcomeFailed)
	if r := mustSubmit(t, s, units); r.Held != 1 || len(a.submitted) != 1 {
		t.Fatalf("report %+v, the scheduler has %s", r, a.names())
	}
	// A second attempt of the probe may still succeed, and then the cells are free.
	publishProbe(t, s, 2, record.OutcomeDone)
	if r := mustSubmit(t, s, units); r.Submitted != 1 {
		t.Fatalf("after a good probe: %+v", r)
	}
}

func TestASchedulerWithoutDependenciesGetsUnitsWhenTheyAreDue(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	s.Caps.Dependencies = false
	if r := mustSubmit(t, s, units); r.Submitted != 1 || r.Held != 1 {
		t.Fatalf("report %+v", r)
	}
	publishProbe(t, s, 1, record.OutcomeDone)
	if r := mustSubmit(t, s, units); r.Submitted != 1 || len(a.submitted[1].After) != 0 {
		t.Fatalf("when the probe is done: %+v", r)
	}
}

func TestNothingGoesOutOfACancelledRun(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	if err := os.WriteFile(s.Dir.Cancelled(), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := mustSubmit(t, s, units); r.Held != 2 || len(a.submitted) != 0 {
		t.Fatalf("report %+v", r)
	}
}

func TestArrayTasksShareTheUnitsFolder(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	mustSubmit(t, s, units)
	if got, want := a.submitted[1].Script, filepath.Join(string(s.Dir), "jobs", "cells", "script"); got != want {
		t.Errorf("array script %s, want %s", got, want)
	}
}

// What does not fit below a submit limit goes out later; nothing is asked that is known to be refused, and nothing fails.
func TestWhatIsAboveTheSubmitLimitGoesOutWhenThereIsRoom(t *testing.T) {
	a := &answers{}
	s, _ := submitter(t, a)
	s.Caps.MaxSubmit = 3
	units := Plan(grid([]int{1, 2}, []int{8, 16}), Options{MaxArray: 2}).Units
	for _, u := range units {
		if err := os.MkdirAll(s.Dir.Job(u.ID), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := mustSubmit(t, s, units)
	if got := a.names(); r.Submitted != 2 || r.Held != 1 || !errors.Is(r.Why, ErrBackpressure) || got != "probe-1 cells-1" {
		t.Fatalf("first: %+v, the scheduler has %s", r, got)
	}
	a.ended = map[string]bool{"vt-r-probe-1": true, "vt-r-cells-1": true}
	if r = mustSubmit(t, s, units); r.Submitted != 1 || r.Already != 2 || r.Held != 0 {
		t.Fatalf("then: %+v", r)
	}
}

// The scheduler's word goes before what is known of its limits. Once it has refused so many at once, as many are not offered again.
func TestBackpressureIsNotAskedForUnitByUnit(t *testing.T) {
	asked := 0
	a := &answers{answer: func(r Request) (bool, error) {
		asked++
		if r.Tasks > 0 {
			return false, fmt.Errorf("AssocMaxSubmitJobLimit: %w", ErrBackpressure)
		}
		return true, nil
	}}
	s, _ := submitter(t, a)
	units := Plan(grid([]int{1, 2, 3, 4}, []int{8, 16}), Options{MaxArray: 2}).Units
	for _, u := range units {
		if err := os.MkdirAll(s.Dir.Job(u.ID), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if r := mustSubmit(t, s, units); r.Submitted != 1 || r.Held != 4 || asked != 2 {
		t.Fatalf("%+v, asked %d times", r, asked)
	}
}

// A node that failed is avoided as long as there are others.
func TestFailedNodesAreAvoidedAsLongAsThereAreOthers(t *testing.T) {
	for _, others := range []bool{true, false} {
		a := &answers{answer: func(r Request) (bool, error) {
			if len(r.Exclude) > 0 && !others {
				return false, fmt.Errorf("requested node configuration is not available: %w", ErrRefused)
			}
			return true, nil
		}}
		s, units := submitter(t, a)
		units[0].Jobs[0].Avoid = []string{"node2", "node3"}
		mustSubmit(t, s, units[:1])
		want := 0
		if others {
			want = 2
		}
		if got := a.submitted[0].Exclude; len(a.submitted) != 1 || len(got) != want {
			t.Errorf("others %v: went out %d times, excluding %v", others, len(a.submitted), got)
		}
	}
}

// Whoever cancels while a job is on its way to the scheduler cannot know of it; the submitter ends it.
func TestAJobThatWasOnItsWayWhenTheRunWasCancelledIsEnded(t *testing.T) {
	a := &answers{}
	s, units := submitter(t, a)
	a.answer = func(Request) (bool, error) {
		return true, fsx.PublishJSON(s.Dir.Cancelled(), record.Cancelled{Schema: record.Schema})
	}
	mustSubmit(t, s, units)
	if len(a.submitted) != 1 || len(a.cancelled) != 1 || a.cancelled[0].ID != "1" {
		t.Fatalf("submitted %s, cancelled %v", a.names(), a.cancelled)
	}
}
