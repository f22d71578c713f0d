package pool

import (
	"cmp"
	"context"
	"errors"
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
	ours, others, err := p.divide(list, units)
	if err != nil {
		return 0, nil, err
	}
	var problems []error // what one comes to is no reason to leave the others
	for unit, s := range ours {
		problems = append(problems, p.dismiss(ctx, unit, s))
	}
	return len(ours), others, errors.Join(problems...)
}

// divide tells the run's machines of a list, by unit, from others. They are those that were acknowledged, and those that are
// unheard of.
func (p *Pool) divide(list []tpu.Orphan, units []Unit) (ours map[string]tpu.Orphan, others []tpu.Orphan, err error) {
	recorded := map[jobs.Handle]string{}
	for _, u := range units {
		if u.machine() {
			recorded[u.At] = u.ID
		}
	}
	asked, err := p.unheard()
	if err != nil {
		return nil, nil, err
	}
	ours = map[string]tpu.Orphan{}
	for _, s := range list {
		if unit := cmp.Or(recorded[s.Handle], asked[s.ID]); unit != "" {
			ours[unit] = s
		} else {
			others = append(others, s)
		}
	}
	return ours, others, nil
}

// dismiss notes that a unit's machine is not needed any more, and deletes it.
func (p *Pool) dismiss(ctx context.Context, unit string, s tpu.Orphan) error {
	r, err := p.resource(unit)
	if err == nil {
		err = p.end(r, jobs.Fate{Cause: record.CauseStopped, Word: s.Word, Reason: "nothing is left to do"})
	}
	if err != nil {
		return err
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
	_, others, err := p.divide(list, units)
	return others, err
}

// Delete has resources deleted.
func (p *Pool) Delete(ctx context.Context, list []tpu.Orphan) error {
	var handles []jobs.Handle
	for _, o := range list {
		handles = append(handles, o.Handle)
	}
	return p.Machines.Cancel(ctx, handles)
}
