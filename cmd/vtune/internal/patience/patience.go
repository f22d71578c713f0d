// Package patience is how often a scheduler is asked, by its kind, and how long one waits for it.
package patience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"vtune/collect"
	"vtune/jobs"
)

// Patience of one command.
type Patience struct {
	For time.Duration // how long a scheduler is waited for that cannot be reached; 0: not at all
	Now func() time.Time
	Say io.Writer
}

// pause between two tries to reach a scheduler: controllers restart in seconds, and are not helped by being asked meanwhile.
const pause = 5 * time.Second

// Wait tries again while the scheduler cannot be reached, and says so. What act has done before is recorded, so that it does
// nothing twice. An answer that may have been an acceptance is not tried again here: it wants a look, which act's next call takes.
func (p Patience) Wait(ctx context.Context, scheduler string, act func() error) error {
	var since time.Time
	for {
		err := act()
		if !errors.Is(err, jobs.ErrUnavailable) || errors.Is(err, jobs.ErrAbsent) || p.For <= 0 {
			return err
		}
		now := p.Now()
		if since.IsZero() {
			since = now
			fmt.Fprintf(p.Say, "%v\nwaiting up to %s for %s to answer; interrupt and run the same command again at any time\n", err, p.For, scheduler)
		}
		if now.Sub(since) >= p.For {
			return fmt.Errorf("%w (for %s)", err, p.For)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(pause, p.For)): // the pace of asking, not a wait for a condition
		}
	}
}

// slurmGrace is twice as long as an NFS client may keep showing a folder as it was (acdirmax, a minute by default).
const slurmGrace = 2 * time.Minute

// tpuGrace is also how long a worker may show no sign of life: it beats every ten seconds.
const tpuGrace = 2 * time.Minute

// Of the scheduler's kind: a local query reads a few files, a Slurm query is an RPC to a daemon that a whole site shares.
func Of(scheduler string) (collect.Pace, time.Duration) {
	switch scheduler {
	case "local":
		return collect.Pace{Rescan: 500 * time.Millisecond, AskMin: time.Second, AskMax: 2 * time.Second, Full: 10 * time.Second}, 2 * time.Second
	case "tpu": // each rescan is two listings of the bucket, each query a list of all the project's resources in the zone
		return collect.Pace{Rescan: 5 * time.Second, AskMin: 10 * time.Second, AskMax: time.Minute, Full: time.Minute}, tpuGrace
	}
	return collect.Pace{Rescan: 2 * time.Second, AskMin: 15 * time.Second, AskMax: 3 * time.Minute, Full: time.Minute}, slurmGrace
}
