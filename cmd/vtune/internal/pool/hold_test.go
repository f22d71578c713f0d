package pool

import (
	"os"
	"strings"
	"testing"
	"time"

	"vtune/internal/mirror"
	"vtune/internal/record"
	"vtune/jobs"
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
