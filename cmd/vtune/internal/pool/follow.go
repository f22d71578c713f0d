package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// Follow asks for machines that are not out yet, puts what follows into the queue, and asks for further machines where there are fewer
// than so much work deserves. Whose machine a job is put out for matters only if that is lost before anybody has begun the job. Where
// all machines are still to come, what follows waits for one of them: there is none that it could be put out for.
func (p *Pool) Follow(ctx context.Context, s *jobs.Submitter, units []record.Unit, js []record.Job, known map[string]collect.FollowUp) error {
	alone := slices.DeleteFunc(slices.Clone(units), func(u record.Unit) bool { return u.Crew != nil })
	coming, unpaid, err := p.ask(ctx, s, slices.DeleteFunc(slices.Clone(units), func(u record.Unit) bool { return u.Crew == nil }))
	if err != nil {
		return err
	}
	if len(js)+len(alone) == 0 {
		return unpaid // nothing to put into the queue, and so no reason to ask who would take it
	}
	out, err := p.Recorded()
	if err != nil {
		return err
	}
	living, err := p.living(ctx, out)
	if err != nil {
		return err
	}
	if len(living) == 0 && len(coming) > 0 {
		return unpaid
	}
	more, err := p.machinesFor(js, out, len(living), coming)
	if err != nil {
		return err
	}
	made := p.units(js, more)
	for _, u := range made {
		if err := p.Write(u, known); err != nil {
			return fmt.Errorf("follow-up %s: %w", u.ID, err)
		}
	}
	if more == 0 {
		alone, made = append(alone, made...), nil
	}
	if err := p.putIn(last(living, out), alone); err != nil {
		return err
	}
	_, unpaidToo, err := p.ask(ctx, s, made)
	return errors.Join(err, unpaid, unpaidToo)
}

// ask asks for machines, and returns those that are not to be had now. That one is not paid for, or that a quota is used up, is for a
// person to know of (unpaid); the former keeps no other machine waiting.
func (p *Pool) ask(ctx context.Context, s *jobs.Submitter, machines []record.Unit) (coming []record.Unit, unpaid, err error) {
	if p.full != nil && p.Now().Sub(p.fullAt) < quotaPause {
		return machines, p.full, nil
	}
	p.full = nil
	for i, u := range machines {
		rep, err := s.Units(ctx, []record.Unit{u})
		switch {
		case err != nil:
			return nil, nil, err
		case rep.Held == 0:
		case errors.Is(rep.Why, errUnpaid):
			coming = append(coming, u)
			unpaid = diag.Wrap(rep.Why, diag.Scheduler, p.approveMore())
		default:
			unpaid = errors.Join(unpaid, rep.Why)
			if rep.Why != nil {
				p.full, p.fullAt = unpaid, p.Now()
			}
			return append(coming, machines[i:]...), unpaid, nil // nor would others be taken now
		}
	}
	return coming, unpaid, nil
}

// quotaPause is how long nothing is asked for after a quota was used up. Passes follow each other in seconds while machines measure, and
// a quota is free again when somebody's machine is gone.
const quotaPause = time.Minute

func (p *Pool) approveMore() string {
	return fmt.Sprintf("%s submit %s --max-chip-hours N approves more", p.Run.Program, p.Run.Bucket)
}

// units are jobs as units: of so many machines, or each by itself for those that are there.
func (p *Pool) units(js []record.Job, machines int) []record.Unit {
	if machines > 0 {
		return jobs.Machines(p.next(), machines, js, nil)
	}
	var units []record.Unit
	for _, j := range js {
		units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
	}
	return units
}

// next is the first number that no machine has, planned or out.
func (p *Pool) next() int {
	for n := p.Planned + 1; ; n++ {
		if _, err := os.Stat(p.Dir.Intent(jobs.MachineID(n))); err != nil {
			return n
		}
	}
}

// living are the machines that take jobs, or will when they are there.
func (p *Pool) living(ctx context.Context, units []Unit) ([]Unit, error) {
	fates, err := p.machines(ctx, units)
	if err != nil {
		return nil, err
	}
	closed := map[string]bool{}
	for _, w := range p.Mirror.Workers() {
		closed[w.Unit] = w.Phase != record.WorkerOpen
	}
	return slices.DeleteFunc(slices.Clone(units), func(u Unit) bool {
		f, known := fates[u.ID]
		return !u.machine() || !known || f.Over || closed[u.ID]
	}), nil
}

// machinesFor is how many machines js deserves beside those that live or are coming, and can be paid for; each of js is given the time
// that such a machine may live.
func (p *Pool) machinesFor(js []record.Job, out []Unit, living int, coming []record.Unit) (int, error) {
	if len(js) == 0 {
		return 0, nil
	}
	open := len(js)
	for _, u := range coming {
		out = append(out, Unit{Unit: u})
	}
	for _, u := range out {
		for _, j := range u.Jobs {
			if !p.Over(j) {
				open++
			}
		}
	}
	seconds, more, err := p.afford(min(jobs.MachinesFor(p.Spec, open)-living-len(coming), len(js)), coming)
	if err != nil {
		return 0, err
	}
	if more == 0 && living == 0 {
		return 0, diag.Wrap(fmt.Errorf("%d jobs are left, and what is left of the approved chip-hours does not suffice for a machine", len(js)), diag.Scheduler,
			p.approveMore())
	}
	if more > 0 {
		for i := range js {
			js[i].Resources.Seconds = seconds
		}
	}
	return more, nil
}

// last is a machine for whose sake jobs are put into the queue: one that lives, or else the last that there was.
func last(living, out []Unit) Unit {
	for _, us := range [][]Unit{living, out} {
		for _, u := range slices.Backward(us) {
			if u.machine() {
				return u
			}
		}
	}
	return Unit{}
}

// putIn puts jobs that are units by themselves into the queue and records them as out. One that no machine comes to is found unbegun
// when its own is gone.
func (p *Pool) putIn(own Unit, units []record.Unit) error {
	if len(units) == 0 {
		return nil
	}
	at := p.Now()
	var js []record.Job
	for _, u := range units {
		in := record.Intent{Schema: record.Schema, Name: record.JobName(p.Run.ID, u.ID), Unit: u, At: at}
		if err := fsx.PublishJSON(p.Dir.Intent(u.ID), in); err != nil {
			return fmt.Errorf("put %s into the queue: %w", u.ID, err)
		}
		js = append(js, u.Jobs...)
	}
	if err := p.enqueue(js); err != nil { // at once: it looks through the whole queue
		return fmt.Errorf("put %d jobs into the queue: %w", len(js), err)
	}
	for _, u := range units {
		out := record.Submitted{Schema: record.Schema, Name: record.JobName(p.Run.ID, u.ID), ID: own.At.ID, Cluster: own.At.Cluster, Crew: own.ID, At: at}
		if err := fsx.PublishJSON(p.Dir.Submitted(u.ID), out); err != nil {
			return fmt.Errorf("put %s into the queue: %w", u.ID, err)
		}
	}
	return nil
}

// End ends jobs: of a run that is cancelled all machines are deleted, of any other the jobs are taken out of the queue. Those that a
// machine does already, it is told of, and goes on with others.
func (p *Pool) End(ctx context.Context, wanted map[string]bool) error {
	if _, err := os.Stat(p.Dir.Cancelled()); err == nil {
		if _, _, err := p.Dismiss(ctx); err != nil {
			return err
		}
		return p.Mirror.Push(ctx)
	}
	units, err := p.Recorded()
	if err != nil {
		return err
	}
	for _, u := range units {
		for _, j := range u.Jobs {
			if !wanted[j.ID] || p.Over(j) {
				continue
			}
			if err := p.drop(ctx, j); err != nil {
				return err
			}
		}
	}
	return p.Mirror.Push(ctx)
}

func (p *Pool) drop(ctx context.Context, j record.Job) error {
	claim, err := p.claim(j.ID)
	if err != nil {
		return err
	}
	if claim == nil {
		c, err := p.Mirror.GiveUp(ctx, j.ID)
		if err != nil {
			return err
		}
		claim = &c
	}
	if _, err := os.Stat(p.Dir.Unwanted(j.ID)); err == nil || claim.Unit == "" {
		return nil
	}
	return fsx.PublishJSON(p.Dir.Unwanted(j.ID), struct{}{})
}
