package pool

import (
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
