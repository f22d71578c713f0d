package tuning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"vtune/cmd/vtune/internal/depot"
	"vtune/cmd/vtune/internal/pool"
	"vtune/collect"
	"vtune/internal/bucket"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/internal/spec/word"
	"vtune/jobs"
)

// This file is the part of an open run that lives in a bucket, and whose jobs wait in a pool's queue.

// claimer has the run's name claimed in its bucket as well; nil where there is none.
func (t *Tuning) claimer(ctx context.Context, s *spec.Spec) func(string) (bool, error) {
	if !word.InBucket(s.Base) {
		return nil
	}
	return func(name string) (bool, error) {
		t.Run.Bucket = depot.Place(s, name)
		d, err := depot.Open(ctx, t.world.Getenv, t.Run.Bucket, "", t.world.Now, nil)
		if err != nil {
			return false, err
		}
		host, _ := os.Hostname()
		ours, err := d.Claim(ctx, UserName()+" on "+host)
		return !ours && err == nil, err
	}
}

func (t *Tuning) equipDepot(ctx context.Context) (err error) {
	if t.depot, err = depot.Open(ctx, t.world.Getenv, t.Run.Bucket, t.Dir, t.world.Now, t.world.Progress); err != nil {
		return err
	}
	t.scheduler = t.depot
	return t.depot.Equip(ctx, t.world.Getenv, t.spec, pool.Config{
		Dir: t.Dir, Run: t.Run, Spec: t.spec, Now: t.world.Now, Recorded: t.recordedUnits, Over: t.over, Planned: len(t.Plan.Units),
		Write: func(u record.Unit, known map[string]collect.FollowUp) error { return t.scripts().Unit(u, known) },
	})
}

// lease is the run's, here and, where it is in a bucket, there.
func (t *Tuning) lease(ctx context.Context, doing string) (Lease, error) {
	here, err := t.world.lease(ctx, t.Dir.Collector(), doing)
	if err != nil || t.depot == nil {
		return here, err
	}
	cfg, err := leaseFor(doing)
	if err == nil {
		var there *bucket.Lease
		if there, err = t.depot.Lease(ctx, cfg); err == nil {
			if err = t.Pull(ctx); err == nil {
				t.lost = there.Lost()
				return both{there, here}, nil
			}
			err = errors.Join(err, there.Release())
		}
	}
	return nil, errors.Join(err, here.Release())
}

// ErrTakenOver says that the run is in another process's hands by now.
var ErrTakenOver = errors.New("it was taken over by another process")

// Held is a context that ends with the lease: whoever has slept for long, with the machine that it runs on, may find that another has
// taken the run over, and must not decide beside that one.
func (t *Tuning) Held(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-t.lost:
			cancel(diag.Wrap(fmt.Errorf("run %s: %w", t.Place(), ErrTakenOver), diag.Busy,
				fmt.Sprintf("%s status %s shows how it goes", t.world.Program, t.Place())))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

type both [2]Lease

func (b both) Release() error { return errors.Join(b[0].Release(), b[1].Release()) }

// Pull brings what is new of a run in a bucket. Where the directory is shared there is nothing to bring.
func (t *Tuning) Pull(ctx context.Context) error {
	if t.depot == nil {
		return nil
	}
	return t.depot.Pull(ctx)
}

// Push puts up what was written here.
func (t *Tuning) Push(ctx context.Context) error {
	if t.depot == nil {
		return nil
	}
	return t.depot.Push(ctx)
}

// Place is where people find the run: its URL, or its directory.
func (t *Tuning) Place() string { return cmp.Or(t.Run.Bucket, string(t.Dir)) }

// Close sees to it that a run which is over costs nothing any more, and has everything where people look for it. It waits for the
// machines to be gone, asking after every pause; a pause of 0 is one look.
func (t *Tuning) Close(ctx context.Context, st record.State, pause time.Duration) error {
	if t.depot == nil || !collect.Settled(st) {
		return nil
	}
	if err := t.depot.Fetch(ctx, st); err != nil {
		fmt.Fprintln(t.world.Err, "warning: logs and traces are in the bucket, and not here:", err)
	}
	left, strangers, err := t.depot.Close(ctx, pause)
	if err == nil && left > 0 {
		fmt.Fprintf(t.world.Err, "%d machines are being deleted; %s collect %s says when they are gone\n", left, t.world.Program, t.Place())
		return t.Push(ctx)
	}
	if err != nil {
		return diag.Wrap(fmt.Errorf("the run is over, and its machines are not gone: %w", err), diag.Scheduler,
			fmt.Sprintf("%s collect %s tries again", t.world.Program, t.Place()))
	}
	if len(strangers) > 0 {
		fmt.Fprintf(t.world.Err, "warning: %d resources bear the run's name and are in no record of it\nhint: %s cancel %s --all-orphans\n",
			len(strangers), t.world.Program, t.Place())
	}
	if err := t.depot.Withdraw(ctx); err != nil {
		return err
	}
	return t.Push(ctx)
}

// recordedUnits are the units that are out, as a pool has them.
func (t *Tuning) recordedUnits() ([]pool.Unit, error) {
	units, err := t.recorded()
	if err != nil {
		return nil, err
	}
	out := make([]pool.Unit, len(units))
	for i, u := range units {
		out[i] = pool.Unit{Unit: u.Unit, At: u.at, Of: u.crew}
	}
	return out, nil
}

// Pool is the run's machines and queue; nil where its jobs are a scheduler's.
func (t *Tuning) Pool() *pool.Pool {
	if t.depot == nil {
		return nil
	}
	return t.depot.Pool
}

// renderRequests writes beside each machine's script what its scheduler would be asked for, and the same as a command.
func (t *Tuning) renderRequests() error {
	for _, u := range t.Plan.Units {
		r := jobs.Request{
			Run: t.Run.ID, Name: record.JobName(t.Run.ID, u.ID), Script: t.Dir.Script(u.ID), WorkDir: string(t.Dir), Resources: u.Jobs[0].Resources,
		}
		if err := depot.Render(t.spec, t.Dir, u.ID, r, t.world.Now); err != nil {
			return err
		}
	}
	return nil
}
