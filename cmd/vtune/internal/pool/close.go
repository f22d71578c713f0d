package pool

import (
	"context"
	"fmt"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
	"vtune/jobs/tpu"
)

// Close deletes the machines that are left when a run has nothing to do for them any more, and returns when their scheduler
// lists none; with a pause of 0, after one look. What it lists of the run beside them is returned too: no record says that it is the
// run's.
func (p *Pool) Close(ctx context.Context, pause time.Duration) (left int, strangers []tpu.Orphan, err error) {
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
func (p *Pool) Dismiss(ctx context.Context) (left int, strangers []tpu.Orphan, err error) {
	units, err := p.Recorded()
	if err != nil {
		return 0, nil, err
	}
	list, err := p.Machines.Orphans(ctx, p.Run.ID)
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
func (p *Pool) divide(list []tpu.Orphan, units []Unit) (ours, others []tpu.Orphan) {
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
func (p *Pool) dismiss(ctx context.Context, units []Unit, s tpu.Orphan) error {
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

// Orphans are the resources that bear the run's label and that no living part of the run needs: all of a run that is over, and of any
// other those that no record of it knows.
func (p *Pool) Orphans(ctx context.Context, over bool) ([]tpu.Orphan, error) {
	units, err := p.Recorded()
	if err != nil {
		return nil, err
	}
	list, err := p.Machines.Orphans(ctx, p.Run.ID)
	if err != nil || over {
		return list, err
	}
	_, others := p.divide(list, units)
	return others, nil
}

// Delete has resources deleted.
func (p *Pool) Delete(ctx context.Context, list []tpu.Orphan) error {
	var handles []jobs.Handle
	for _, o := range list {
		handles = append(handles, o.Handle)
	}
	return p.Machines.Cancel(ctx, handles)
}
