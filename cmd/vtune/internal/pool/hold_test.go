package pool

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/mirror"
	"vtune/internal/record"
	"vtune/jobs"
	"vtune/jobs/tpu"
)

// One that closes may have a last job, and much to put up; but what is silent for as long as a whole start takes is gone.
func TestAWorkerThatClosedAndFellSilentIsBuriedInTheEnd(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", "a-1")
	b.workers = []mirror.WorkerSeen{{Worker: record.Worker{Unit: "slice-1", Phase: record.WorkerClosed}, Since: b.clock}}
	b.clock = b.clock.Add(10*time.Minute - time.Second)
	b.want(b.look(), "a-1 alive")
	b.clock = b.clock.Add(time.Second)
	b.want(b.look(), "a-1 over: node")
	if len(b.buried) != 1 || len(b.deleted) != 1 {
		t.Errorf("buried %s, deleted %s", b.buried, b.deleted)
	}
}

// Whoever looks without the run's lease, perhaps with another user's eyes, changes nothing by it.
func TestWhoOnlyLooksDeletesNothingAndBuriesNobody(t *testing.T) {
	b := newBench(t)
	if err := b.Approve(24, "me"); err != nil {
		t.Fatal(err)
	}
	b.submit(jobs.Machines(1, 3, cells("a", "b", "c"), nil)...)
	for _, unit := range []string{"slice-1", "slice-2"} {
		b.is(unit, jobs.Running, "ACTIVE")
	}
	b.claim("slice-1", "a-1")
	b.workers = []mirror.WorkerSeen{{Worker: record.Worker{Unit: "slice-1", Phase: record.WorkerOpen}, Since: b.clock}}
	b.is("slice-3", jobs.Preempted, "SUSPENDED")
	before, err := os.ReadFile(b.dir.Resource("slice-1"))
	if err != nil {
		t.Fatal(err)
	}
	b.clock = b.clock.Add(time.Hour)
	seen, err := b.See(t.Context())
	if err != nil || len(seen) != 3 || seen[0].Over || !strings.Contains(seen[0].Reason, "no sign of life") || !seen[2].Over {
		t.Errorf("%+v, %v", seen, err)
	}
	after, err := os.ReadFile(b.dir.Resource("slice-1"))
	if err != nil || string(before) != string(after) {
		t.Errorf("resource.json was written: %v\n%s", err, after)
	}
	if _, err := os.Stat(b.dir.Claim("c-1")); err == nil || len(b.buried)+len(b.deleted) > 0 {
		t.Errorf("a claim was made (%v), buried %s, deleted %s", err, b.buried, b.deleted)
	}
}

// held is a bench with a machine that runs and others of the plan for which there is no quota.
func held(t *testing.T, hours float64, cellIDs ...string) (b *bench, units []record.Unit) {
	t.Helper()
	b = newBench(t)
	b.Planned = len(cellIDs)
	b.Pool.Spec.Site.TPU.CellsPerResource = 1
	if err := b.Approve(hours, "me"); err != nil {
		t.Fatal(err)
	}
	units = jobs.Machines(1, len(cellIDs), cells(cellIDs...), nil)
	b.submit(units[0])
	b.full = true
	b.submit(units[1:]...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", cellIDs[0]+"-1")
	b.look()
	return b, units[1:]
}

func (b *bench) follow(units []record.Unit, js []record.Job) error {
	b.Helper()
	return b.Follow(b.Context(), b.submitter(), units, js, nil)
}

// What is approved for a machine of the plan is not spent on another, so there may be nothing for a new one; the one that is held is
// paid for, and does what follows.
func TestAPlannedMachineThatWasHeldIsAskedForAlthoughNothingElseCanBePaid(t *testing.T) {
	b, later := held(t, 16, "a", "b")
	b.clock = b.clock.Add(58 * time.Minute)
	b.is("slice-1", jobs.Preempted, "SUSPENDED")
	b.want(b.look(), "a-1 over: preempted")
	again := cells("a")
	again[0].ID, again[0].Attempt = "a-2", 2
	if err := b.follow(later, again); !errors.Is(err, jobs.ErrBackpressure) {
		t.Errorf("without quota: %v, and a person has to be told", err)
	}
	b.full = false
	b.clock = b.clock.Add(quotaPause)
	if err := b.follow(later, again); err != nil || len(b.asked) != 2 {
		t.Fatalf("%d machines were asked for, %v", len(b.asked), err)
	}
	if err := b.follow(nil, again); err != nil {
		t.Error(err)
	}
	b.want(b.look(), "a-1 over: preempted, a-2 alive, b-1 alive")
}

// Passes follow each other in seconds while machines measure: each is told, and only one in a minute asks Google.
func TestAQuotaThatIsUsedUpIsNotAskedForAtEachPass(t *testing.T) {
	b, later := held(t, 24, "a", "b", "c")
	before := b.refused
	for range 3 {
		if err := b.follow(later, nil); !errors.Is(err, jobs.ErrBackpressure) {
			t.Errorf("%v, and a person has to be told", err)
		}
	}
	if b.refused != before+1 {
		t.Errorf("asked for %d times within a minute", b.refused-before)
	}
	b.clock = b.clock.Add(quotaPause)
	if err := b.follow(later, nil); !errors.Is(err, jobs.ErrBackpressure) || b.refused != before+2 {
		t.Errorf("after a minute: %v, asked for %d times", err, b.refused-before)
	}
}

func TestWhatFollowsDoesNotTakeTheMoneyOfMachinesThatArePlanned(t *testing.T) {
	b, later := held(t, 24, "a", "b", "c")
	again := cells("a")
	again[0].ID, again[0].Attempt = "a-2", 2
	b.full = false
	b.clock = b.clock.Add(30 * time.Minute)
	b.is("slice-1", jobs.Preempted, "SUSPENDED")
	b.look()
	// slice-1 has left half an hour. The other two machines are planned, though one of them was never asked for.
	if err := b.follow(later, again); err != nil {
		t.Error(err)
	}
	for _, u := range []string{"slice-2", "slice-3"} {
		if _, out := b.states[u]; !out {
			t.Errorf("%s was not asked for: what was approved for it is spent", u)
		}
	}
	hours := 0.0
	for _, r := range b.asked {
		hours += float64(8*r.Resources.Seconds) / 3600
	}
	if hours > 24+4 { // slice-1 gave four back
		t.Errorf("%.1f chip-hours", hours)
	}
}

// Who submitted died before the answer was on record, and its jobs were done by others: nobody will ask for it again.
func TestAMachineWhoseAnswerWasNeverRecordedIsTheRunsAndIsNotLeft(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 2, cells("a", "b"), nil)...)
	id := tpu.ResourceID(record.JobName("r", "slice-2"))
	delete(b.states, "slice-2")
	b.states[id] = jobs.Status{Handle: jobs.Handle{ID: id}, State: jobs.Running, Word: "ACTIVE"} // its name need not be told
	if err := os.Remove(b.dir.Submitted("slice-2")); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Pool.Orphans(t.Context(), false); len(list) > 0 || err != nil {
		t.Errorf("nobody's: %v, %v", list, err)
	}
	left, strangers, err := b.Close(t.Context(), time.Millisecond)
	if err != nil || left != 0 || len(strangers) != 0 || len(b.states) > 0 {
		t.Errorf("%d left, nobody's %v, there are %v: %v", left, strangers, b.states, err)
	}
	if r, err := b.resource("slice-2"); err != nil || r.Ended.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

// Whoever collects by a timer is a new process each time.
func TestAMachineThatVanishedIsLostAlthoughEachLookIsAnotherProcess(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a", "b"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.claim("slice-1", "a-1")
	b.look()
	delete(b.states, "slice-1")
	b.want(b.look(), "a-1 alive, b-1 alive")
	b.Pool = New(b.Config)
	b.clock = b.clock.Add(time.Minute)
	b.want(b.look(), "a-1 over: lost, b-1 over: not-begun")
	var c record.Claim
	if err := fsx.ReadJSON(b.dir.Claim("b-1"), &c); err != nil || c.Unit != "" {
		t.Errorf("b-1 can still be taken, beside what follows it: %+v, %v", c, err)
	}
}

func TestAJobOfAMachineWhoseAnswerWasNeverRecordedHasItsFate(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 2, cells("a", "b"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	delete(b.states, "slice-2")
	id := tpu.ResourceID(record.JobName("r", "slice-2"))
	if err := os.Remove(b.dir.Submitted("slice-2")); err != nil {
		t.Fatal(err)
	}
	b.states[id] = jobs.Status{Handle: jobs.Handle{ID: id}, State: jobs.Running, Word: "ACTIVE"}
	b.claim("slice-2", "a-1")
	b.workers = []mirror.WorkerSeen{{Worker: record.Worker{Unit: "slice-2", Phase: record.WorkerOpen}, Since: b.clock}}
	b.want(b.look(), "a-1 alive")
	b.is(id, jobs.Preempted, "SUSPENDED")
	b.want(b.look(), "a-1 over: preempted")
}

// To a collector that cannot reach the bucket every worker is unheard of.
func TestNoMachineIsGivenUpBecauseItsSignsOfLifeCannotBeRead(t *testing.T) {
	b := newBench(t)
	b.submit(jobs.Machines(1, 1, cells("a"), nil)...)
	b.is("slice-1", jobs.Running, "ACTIVE")
	b.look()
	b.clock = b.clock.Add(time.Hour)
	b.away = errors.New("no route to the bucket")
	if seen, err := b.Look(t.Context()); !errors.Is(err, b.away) || len(b.deleted) > 0 {
		t.Errorf("%+v, %v, deleted %s", seen, err, b.deleted)
	}
	b.away = nil
	b.pulled = []mirror.WorkerSeen{{Worker: record.Worker{Unit: "slice-1", Phase: record.WorkerOpen}}}
	b.want(b.look(), "a-1 alive")
}
