package pool

import (
	"context"
	"fmt"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
)

// Close deletes the machines that are left when a run has nothing to do for them any more, and returns when their scheduler
// lists none; with a pause of 0, after one look. What it lists of the run beside them is returned too: no record says that it is the
// run's.
func (p *Pool) Close(ctx context.Context, pause time.Duration) (left int, strangers []jobs.Status, err error) {
	for {
		left, strangers, err = p.Dismiss(ctx)
		switch {
		case err != nil:
			return left, strangers, err
		case left == 0:
			return 0, strangers, p.settle()
		case pause <= 0:
			return left, strangers, nil
		}
		select {
		case <-ctx.Done():
			return left, strangers, fmt.Errorf("%d machines are still being deleted: %w", left, ctx.Err())
		case <-time.After(pause): // the pace of asking, not a wait for a condition
		}
	}
}

// Dismiss has every machine that is left deleted. It returns how many there were, and what else bears the run's name.
func (p *Pool) Dismiss(ctx context.Context) (left int, strangers []jobs.Status, err error) {
	units, err := p.Recorded()
	if err != nil {
		return 0, nil, err
	}
	list, err := p.Machines.List(ctx, p.Run.ID)
	if err != nil {
		return 0, nil, err
	}
	ours, others := p.divide(list, units)
	for _, s := range ours {
		if err := p.dismiss(ctx, units, s); err != nil {
			return len(ours), others, err
		}
	}
	return len(ours), others, nil
}

// divide tells the recorded machines of a list from others.
func (p *Pool) divide(list []jobs.Status, units []Unit) (ours, others []jobs.Status) {
	recorded := map[jobs.Handle]bool{}
	for _, u := range units {
		recorded[u.At] = recorded[u.At] || u.machine()
	}
	for _, s := range list {
		if recorded[s.Handle] {
			ours = append(ours, s)
		} else {
			others = append(others, s)
		}
	}
	return ours, others
}

// dismiss notes that a machine is not needed any more, and deletes it.
func (p *Pool) dismiss(ctx context.Context, units []Unit, s jobs.Status) error {
	for _, u := range units {
		if u.At != s.Handle || !u.machine() {
			continue
		}
		r, err := p.resource(u.ID)
		if err == nil {
			err = p.end(r, jobs.Fate{Cause: record.CauseStopped, Word: s.Word, Reason: "nothing is left to do"})
		}
		if err != nil {
			return err
		}
	}
	return p.Machines.Cancel(ctx, []jobs.Handle{s.Handle})
}

// settle notes of machines that are gone without anybody having seen their end that they are.
func (p *Pool) settle() error {
	units, err := p.Recorded()
	if err != nil {
		return err
	}
	for _, u := range units {
		if !u.machine() || u.Crew == nil {
			continue
		}
		r, err := p.resource(u.ID)
		if err == nil && !r.Asked.IsZero() {
			err = p.end(r, jobs.Fate{Cause: record.CauseStopped, Word: vanished, Reason: "nothing is left to do"})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
