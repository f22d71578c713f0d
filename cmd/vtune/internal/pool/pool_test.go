package pool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/mirror"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/tpu"
)

// bench is a pool whose machines and mirror are in memory: what Google and a bucket say is what the test says.
type bench struct {
	*testing.T
	*Pool
	dir     record.Dir
	clock   time.Time
	states  map[string]jobs.Status // by unit
	deleted []string
	asked   []jobs.Request
	workers []mirror.WorkerSeen
	buried  []string
	pushes  int
	full    bool                // no further machine is taken now
	refused int                 // how often one was not
	away    error               // of the bucket
	pulled  []mirror.WorkerSeen // by the next pull
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, dir: record.Dir(t.TempDir()), clock: time.Unix(1e9, 0), states: map[string]jobs.Status{}}
	s := &spec.Spec{Scheduler: "tpu"}
	s.Site.TPU.CellsPerResource, s.Site.TPU.MaxRunDuration = 2, "1h"
	b.Pool = New(Config{
		Dir: b.dir, Run: record.Run{ID: "r", Program: "vtune", Bucket: "gs://b/r"}, Spec: s, Chips: 8, Planned: 1, Mirror: b, Machines: b,
		Now: func() time.Time { return b.clock }, Silence: time.Minute, Boot: 10 * time.Minute, Recorded: b.recorded,
		Over: func(j record.Job) bool {
			_, err := os.Stat(b.dir.Attempt(j.Kind, j.Cell, j.Attempt).Result())
			return err == nil
		},
		Write: func(u record.Unit, _ map[string]collect.FollowUp) error { return os.MkdirAll(b.dir.Job(u.ID), 0o755) },
	})
	if err := b.Approve(16, "me"); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) recorded() ([]Unit, error) {
	intents, _ := filepath.Glob(filepath.Join(b.dir.Jobs(), "*", "intent.json"))
	var units []Unit
	for _, path := range intents {
		var in record.Intent
		var out record.Submitted
		id := filepath.Base(filepath.Dir(path))
		if fsx.ReadJSON(path, &in) == nil && fsx.ReadJSON(b.dir.Submitted(id), &out) == nil {
			units = append(units, Unit{Unit: in.Unit, At: jobs.Handle{ID: out.ID}, Of: out.Crew})
		}
	}
	return units, nil
}

// The mirror.

func (b *bench) Pull(context.Context) (mirror.Pulled, error) {
	if b.away == nil {
		b.workers = append(b.workers, b.pulled...)
	}
	return mirror.Pulled{}, b.away
}
func (b *bench) Push(context.Context) error   { b.pushes++; return nil }
func (b *bench) Workers() []mirror.WorkerSeen { return b.workers }
func (b *bench) Bury(_ context.Context, unit string) (bool, error) {
	b.buried = append(b.buried, unit)
	return true, nil
}

func (b *bench) GiveUp(_ context.Context, job string) (record.Claim, error) {
	var c record.Claim
	if fsx.ReadJSON(b.dir.Claim(job), &c) != nil {
		c = record.Claim{Job: job}
		b.publish(b.dir.Claim(job), c)
	}
	return c, nil
}

// The machines.

func (b *bench) Capabilities(context.Context) (jobs.Capabilities, error) {
	return jobs.Capabilities{}, nil
}

func (b *bench) Submit(_ context.Context, r jobs.Request) (jobs.Handle, error) {
	if b.full {
		b.refused++
		return jobs.Handle{}, jobs.ErrBackpressure
	}
	b.asked = append(b.asked, r)
	unit := strings.TrimPrefix(r.Name, record.NamePrefix("r"))
	b.states[unit] = jobs.Status{Handle: jobs.Handle{ID: unit}, Name: r.Name, State: jobs.Pending, Word: "WAITING_FOR_RESOURCES"}
	return jobs.Handle{ID: unit}, nil
}

func (b *bench) List(context.Context, string) (list []jobs.Status, err error) {
	for _, s := range b.states {
		list = append(list, s)
	}
	return list, nil
}

func (b *bench) Cancel(_ context.Context, ids []jobs.Handle) error {
	for _, h := range ids {
		b.deleted = append(b.deleted, h.ID)
		delete(b.states, h.ID)
	}
	return nil
}

func (b *bench) Orphans(context.Context, string) (list []tpu.Orphan, err error) {
	for _, s := range b.states {
		list = append(list, tpu.Orphan{Handle: s.Handle, Name: s.Name, Word: s.Word})
	}
	return list, nil
}

func (b *bench) publish(path string, v any) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := fsx.PublishJSON(path, v); err != nil {
		b.Fatal(err)
	}
}

// submit puts units out as a submitter does.
func (b *bench) submit(units ...record.Unit) jobs.Report {
	b.Helper()
	for _, u := range units {
		if err := os.MkdirAll(b.dir.Job(u.ID), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	rep, err := b.submitter().Units(b.Context(), units)
	if err != nil {
		b.Fatal(err)
	}
	return rep
}

func (b *bench) submitter() *jobs.Submitter {
	return &jobs.Submitter{Dir: b.dir, Run: b.Pool.Run, Scheduler: b.Pool, Now: b.Now, Settle: time.Second}
}

func cells(ids ...string) (js []record.Job) {
	for _, id := range ids {
		js = append(js, record.Job{ID: id + "-1", Kind: record.KindCell, Cell: id, Attempt: 1, Resources: record.Resources{Seconds: 3600}})
	}
	return js
}

// is the state of a machine from now on.
func (b *bench) is(unit string, state jobs.JobState, word string) {
	s := b.states[unit]
	s.State, s.Word = state, word
	b.states[unit] = s
}

func (b *bench) claim(unit string, js ...string) {
	for _, j := range js {
		b.publish(b.dir.Claim(j), record.Claim{Job: j, Unit: unit})
		b.publish(b.dir.Step(j), record.Step{Job: j, Crew: unit, Begun: b.clock})
	}
	b.publish(b.dir.CrewBegun(unit), struct{}{})
}

// look is what is seen of each job: "alive", or the cause of its end.
func (b *bench) look() map[string]string {
	b.Helper()
	seen, err := b.Look(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	says := map[string]string{}
	for _, s := range seen {
		says[s.Job] = "alive"
		if s.Over {
			says[s.Job] = "over: " + string(s.Cause)
		}
	}
	return says
}

func (b *bench) want(got map[string]string, want string) {
	b.Helper()
	var lines []string
	for job, says := range got {
		lines = append(lines, job+" "+says)
	}
	slices.Sort(lines)
	if text := strings.Join(lines, ", "); text != want {
		b.Errorf("%s\nwant %s", text, want)
	}
}

func TestAMachineIsAskedForWhenItsJobsAreInTheQueue(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a", "b"), nil)...)
	entries, err := os.ReadDir(b.dir.Queue(record.Pool))
	if err != nil || len(entries) != 2 || entries[0].Name() != "000001-a-1.json" {
		t.Errorf("the queue holds %v, %v", entries, err)
	}
	if b.pushes == 0 || len(b.asked) != 1 {
		t.Errorf("%d pushes before %d machines", b.pushes, len(b.asked))
	}
	b.submit(jobs.Machines(1, 1, cells("a", "b"), nil)...)
	if again, _ := os.ReadDir(b.dir.Queue(record.Pool)); len(again) != 2 || len(b.asked) != 1 {
		t.Errorf("submitted again: %d in the queue, %d machines", len(again), len(b.asked))
	}
	b.want(b.look(), "a-1 alive, b-1 alive")
}

// What a machine had begun ended with it, what it had not goes out again, and is taken out of the queue before that.
func TestWhenAMachineIsTakenAwayItsJobsHaveOneFateEach(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a", "b", "c"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", "b-1", "a-1")
	b.publish(b.dir.Step("a-1"), record.Step{Job: "a-1", Crew: "slice-1", Begun: b.clock, Ended: b.clock, ExitCode: "0:0"})
	b.want(b.look(), "a-1 over: , b-1 alive, c-1 alive")
	b.is("slice-1", jobs.Preempted, "SUSPENDED")
	want := "a-1 over: preempted, b-1 over: preempted, c-1 over: not-begun" // a-1 left a result, which counts before any cause
	b.want(b.look(), want)
	if !slices.Equal(b.deleted, []string{"slice-1"}) {
		t.Errorf("deleted: %s", b.deleted)
	}
	var c record.Claim
	if err := fsx.ReadJSON(b.dir.Claim("c-1"), &c); err != nil || c.Unit != "" {
		t.Errorf("c-1 can still be taken: %+v, %v", c, err)
	}
	b.want(b.look(), want) // though no scheduler knows the machine any more
}

func TestAJobThatAnotherMachineTookSharesThatOnesFate(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 2, cells("a", "b"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.is("slice-2", jobs.NoLaunch, "FAILED")
	b.claim("slice-1", "a-1", "b-1")
	b.want(b.look(), "a-1 alive, b-1 alive")
	b.is("slice-1", jobs.Preempted, "SUSPENDED")
	b.want(b.look(), "a-1 over: preempted, b-1 over: preempted")
}

// Nothing of its jobs has begun, so nothing else is to blame: but there must be an end to asking.
func TestAMachineThatNeverCameIsToBlameForItsJobs(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a"), nil)...)
	b.is("slice-1", jobs.NoLaunch, "FAILED")
	b.want(b.look(), "a-1 over: launch")
}

func TestAWorkerWithoutASignOfLifeIsBuriedAndItsMachineDeleted(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a", "b"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", "a-1")
	b.workers = []mirror.WorkerSeen{{Worker: record.Worker{Unit: "slice-1", Phase: record.WorkerOpen}, Since: b.clock}}
	b.clock = b.clock.Add(59 * time.Second)
	b.want(b.look(), "a-1 alive, b-1 alive")
	b.clock = b.clock.Add(time.Second)
	b.want(b.look(), "a-1 over: node, b-1 over: not-begun")
	if !slices.Equal(b.buried, []string{"slice-1"}) || !slices.Equal(b.deleted, []string{"slice-1"}) {
		t.Errorf("buried %s, deleted %s", b.buried, b.deleted)
	}
}

func TestAMachineOnWhichNoWorkerComesUpIsGivenUp(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.want(b.look(), "a-1 alive")
	b.clock = b.clock.Add(10 * time.Minute)
	b.want(b.look(), "a-1 over: launch")
}

// A scheduler that does not list a machine may only be late.
func TestAMachineThatVanishedIsLostAfterAWhile(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", "a-1")
	was := b.states["slice-1"]
	delete(b.states, "slice-1")
	b.want(b.look(), "a-1 alive")
	b.states["slice-1"] = was
	b.want(b.look(), "a-1 alive")
	delete(b.states, "slice-1")
	b.want(b.look(), "a-1 alive")
	b.clock = b.clock.Add(time.Minute)
	b.want(b.look(), "a-1 over: lost")
}

// A second machine would only wait for what the first one finds.
func TestFurtherMachinesAreAskedForWhenTheProbeHasAnAnswer(t *testing.T) {
	b := newBench(t)
	js := append([]record.Job{{ID: "probe-1", Kind: record.KindProbe, Attempt: 1, Resources: record.Resources{Seconds: 3600}}}, cells("a", "b", "c")...)
	for i := range js[1:] {
		js[i+1].Needs = []record.Edge{{Job: "probe-1", When: record.AfterOK}}
	}
	units := jobs.Machines(1, 2, js, nil)
	if rep := b.submit(units...); rep.Submitted != 1 || rep.Held != 1 {
		t.Errorf("before: %+v", rep)
	}
	b.publish(b.dir.Attempt(record.KindProbe, "", 1).Result(), record.Result{Complete: true, Outcome: record.OutcomeDone})
	if rep := b.submit(units...); rep.Submitted != 1 || len(b.asked) != 2 {
		t.Errorf("after: %+v", rep)
	}
}

func TestNoMoreIsAskedForThanWasApproved(t *testing.T) {
	b := newBench(t) // 16 chip-hours: two machines of 8 chips for an hour
	rep := b.submit(jobs.Machines(1, 3, cells("a", "b", "c"), nil)...)
	if rep.Submitted != 2 || rep.Held != 1 || rep.Why == nil {
		t.Errorf("%+v", rep)
	}
	// One is taken away after a quarter of an hour: what it has left is another one's.
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.look()
	b.clock = b.clock.Add(15 * time.Minute)
	b.is("slice-1", jobs.Preempted, "SUSPENDED")
	b.look()
	if seconds, n, err := b.afford(3, nil); n != 1 || seconds != 45*60 || err != nil {
		t.Errorf("%d machines of %d s, %v", n, seconds, err)
	}
	if err := b.Approve(8, "me"); err != nil {
		t.Fatal(err)
	}
	if a, err := b.Approved(); a.ChipHours != 16 || err != nil {
		t.Errorf("approved %+v, %v: what was asked for stands", a, err)
	}
}

func TestWhatFollowsGoesToTheMachinesThatLive(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	if err := b.Follow(t.Context(), b.submitter(), nil, cells("b"), nil); err != nil {
		t.Fatal(err)
	}
	if len(b.asked) != 1 {
		t.Errorf("%d machines for two cells", len(b.asked))
	}
	b.want(b.look(), "a-1 alive, b-1 alive")
	if err := b.Follow(t.Context(), b.submitter(), nil, cells("c"), nil); err != nil {
		t.Fatal(err)
	}
	if len(b.asked) != 2 || !strings.HasSuffix(b.asked[1].Name, "slice-2") {
		t.Errorf("%d machines for three cells", len(b.asked))
	}
}

func TestWhatFollowsWaitsForApprovalWhereNothingIsLeft(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 2, cells("a", "b"), nil)...)
	for _, u := range []string{"slice-1", "slice-2"} {
		b.is(u, jobs.Running, "ACTIVE")
	}
	b.look()
	b.clock = b.clock.Add(time.Hour)
	for _, u := range []string{"slice-1", "slice-2"} {
		b.is(u, jobs.Completed, "ACTIVE")
	}
	b.look()
	err := b.Follow(t.Context(), b.submitter(), nil, cells("c"), nil)
	if err == nil || !strings.Contains(err.Error(), "approved") || len(b.asked) != 2 {
		t.Errorf("%v, %d machines", err, len(b.asked))
	}
	if err := b.Approve(24, "me"); err != nil {
		t.Fatal(err)
	}
	if err := b.Follow(t.Context(), b.submitter(), nil, cells("c"), nil); err != nil || len(b.asked) != 3 {
		t.Errorf("%v, %d machines", err, len(b.asked))
	}
}

func TestWhenARunIsOverNoMachineIsLeft(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 2, cells("a", "b"), nil)...)
	b.states["stranger"] = jobs.Status{Handle: jobs.Handle{ID: "stranger"}, State: jobs.Running, Word: "ACTIVE"}
	left, strangers, err := b.Close(t.Context(), time.Millisecond)
	if err != nil || left != 0 || len(strangers) != 1 || strangers[0].ID != "stranger" {
		t.Errorf("%d left, %v, %v", left, strangers, err)
	}
	slices.Sort(b.deleted)
	if !slices.Equal(b.deleted, []string{"slice-1", "slice-2"}) {
		t.Errorf("deleted: %s", b.deleted)
	}
	for _, u := range []string{"slice-1", "slice-2"} {
		if r, err := b.resource(u); err != nil || r.Ended.IsZero() {
			t.Errorf("%s: %+v, %v", u, r, err)
		}
	}
}

func TestAJobThatNobodyWantsIsTakenOutOfTheQueueOrItsWorkerIsTold(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a", "b"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", "a-1")
	if err := b.End(t.Context(), map[string]bool{"a-1": true, "b-1": true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.dir.Unwanted("a-1")); err != nil {
		t.Error(err)
	}
	b.want(b.look(), "a-1 alive, b-1 over: stopped")
	if len(b.deleted) > 0 {
		t.Errorf("deleted: %s", b.deleted)
	}
	b.publish(b.dir.Cancelled(), record.Cancelled{})
	if err := b.End(t.Context(), map[string]bool{"a-1": true}); err != nil || fmt.Sprint(b.deleted) != "[slice-1]" {
		t.Errorf("%v, deleted %s", err, b.deleted)
	}
	b.want(b.look(), "a-1 over: stopped, b-1 over: stopped")
}
