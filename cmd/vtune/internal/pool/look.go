package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/mirror"
	"vtune/internal/record"
	"vtune/jobs"
	"vtune/jobs/tpu"
)

// Words for the end of a machine where its scheduler has none, or one that would mislead.
const (
	silent   = "SILENT"
	noWorker = "NO WORKER"
	vanished = "NOT LISTED"
)

// Look is how each job that is out fares. A machine of which nothing more can come is noted with its cause, and then deleted: what is
// left standing costs money, or quota. A job whose machine's fate is not known lives: whoever gave it up without taking it out of the
// queue would have it done twice.
func (p *Pool) Look(ctx context.Context) ([]collect.Seen, error) {
	units, err := p.Recorded()
	if err != nil {
		return nil, err
	}
	fates, err := p.machines(ctx, units)
	if err != nil {
		return nil, err
	}
	var seen []collect.Seen
	for _, u := range units {
		for i, j := range append(append([]record.Job{}, u.Jobs...), u.Riders...) {
			of := j
			if i >= len(u.Jobs) {
				of = u.Jobs[0] // a rider shares its carrier's step
			}
			f, err := p.fate(ctx, u.own(), of, j, fates)
			if err != nil {
				return nil, err
			}
			seen = append(seen, collect.Seen{Job: j.ID, Over: f.Over, Cause: f.Cause, Word: f.Word, Reason: f.Reason, Exit: f.Exit})
		}
	}
	return seen, nil
}

// See is how each job fares for somebody who has not the run in hands: it writes nothing, ends nothing and takes nobody for dead.
func (p *Pool) See(ctx context.Context) ([]collect.Seen, error) {
	reader := *p
	reader.reads = true
	return reader.Look(ctx)
}

// fate of job j, done within the step of job of. That a machine is gone is no reason to repeat a job before it is certain that no other
// machine has taken it or will.
func (p *Pool) fate(ctx context.Context, own string, of, j record.Job, fates map[string]jobs.Fate) (f jobs.Fate, err error) {
	claim, err := p.claim(of.ID)
	if err != nil {
		return f, err
	}
	f = jobs.FateInPool(p.Dir, own, of, j, claim, fates)
	if claim == nil && f.Over && !p.reads {
		c, err := p.Mirror.GiveUp(ctx, of.ID)
		if err != nil {
			return f, err
		}
		claim = &c
		f = jobs.FateInPool(p.Dir, own, of, j, claim, fates)
	}
	whose := own
	if claim != nil && claim.Unit != "" {
		whose = claim.Unit
	}
	if _, known := fates[whose]; !known && !f.Over {
		f.Word, f.Reason = vanished, whose+" is not listed, and may yet be"
	}
	return f, nil
}

// machines is the fate of each machine among units that is known.
func (p *Pool) machines(ctx context.Context, units []Unit) (map[string]jobs.Fate, error) {
	list, err := p.Machines.List(ctx, p.Run.ID)
	if err != nil {
		return nil, err
	}
	listed := map[jobs.Handle]jobs.Status{}
	for _, s := range list {
		listed[s.Handle] = s
	}
	workers := map[string]mirror.WorkerSeen{}
	for _, w := range p.Mirror.Workers() {
		workers[w.Unit] = w
	}
	unheard, err := p.unheard()
	if err != nil {
		return nil, err
	}
	units = slices.Clone(units)
	for _, st := range list {
		if unit := unheard[st.ID]; unit != "" {
			units = append(units, Unit{Unit: record.Unit{ID: unit, Crew: &record.Crew{}}, At: st.Handle})
		}
	}
	fates := map[string]jobs.Fate{}
	for _, u := range units {
		if !u.machine() || u.Crew == nil {
			continue
		}
		s, there := listed[u.At]
		var w *mirror.WorkerSeen
		if seen, ok := workers[u.ID]; ok {
			w = &seen
		}
		f, known, err := p.machine(ctx, u, s, there, w)
		if err != nil {
			return nil, err
		}
		if known {
			fates[u.ID] = f
		}
	}
	return fates, nil
}

// unheard are the machines that were asked for and whose answer nobody put on record, by the id that is theirs alone.
func (p *Pool) unheard() (units map[string]string, err error) {
	b, err := p.budget()
	if err != nil {
		return nil, err
	}
	units = map[string]string{}
	for _, r := range b.Asked {
		if _, err := os.Stat(p.Dir.Submitted(r.Unit)); err != nil {
			units[tpu.ResourceID(record.JobName(p.Run.ID, r.Unit))] = r.Unit
		}
	}
	return units, nil
}

// machine is the fate of one. What it was when it ended is on record, and says more than what its scheduler makes of its deletion.
func (p *Pool) machine(ctx context.Context, u Unit, s jobs.Status, listed bool, w *mirror.WorkerSeen) (f jobs.Fate, known bool, err error) {
	r, err := p.resource(u.ID)
	if err != nil {
		return f, false, err
	}
	switch {
	case !r.Ended.IsZero():
		f = jobs.Fate{Over: true, Cause: r.Cause, Word: r.State, Reason: r.Reason}
	case !listed:
		if f, known, err = p.gone(&r); !known {
			return f, false, err
		}
	case s.State.Ended():
		f = jobs.Fate{Over: true, Cause: s.State.Cause(), Word: s.Word, Reason: s.Reason, Exit: s.ExitCode}
	case s.State == jobs.Running:
		if f, err = p.running(ctx, u, s, &r, w); err != nil {
			return f, false, err
		}
	default:
		f = jobs.Fate{Word: s.Word, Reason: s.Reason}
		if now := p.Now().UTC(); now.Sub(r.From) >= again { // not at every look: each goes up
			r.From = now
			if err := p.write(r); err != nil {
				return f, false, err
			}
		}
	}
	if !listed {
		if f.Over {
			err = p.end(r, f)
		}
		return f, true, err
	}
	if !f.Over || p.reads {
		if !r.Missed.IsZero() {
			r.Missed = time.Time{}
			err = p.write(r)
		}
		return f, true, err
	}
	if err := p.end(r, f); err != nil {
		return f, false, err
	}
	return f, true, p.remove(ctx, u)
}

// remove has a machine deleted. What was accepted is not always done, and a machine that stays eats quota; so it is asked for again after
// a while, for as long as it is listed.
func (p *Pool) remove(ctx context.Context, u Unit) error {
	if at, asked := p.removed[u.ID]; asked && p.Now().Sub(at) < again {
		return nil
	}
	if err := p.Machines.Cancel(ctx, []jobs.Handle{u.At}); err != nil {
		return err
	}
	p.removed[u.ID] = p.Now()
	return nil
}

// again is the pause between two deletions, and between two notes that a machine still waits.
const again = 5 * time.Minute

// gone is what becomes of a machine that its scheduler does not list: it may yet be, for a while. Since when is on record, because who
// looks next may be another process.
func (p *Pool) gone(r *record.Resource) (f jobs.Fate, known bool, err error) {
	if r.Missed.IsZero() {
		r.Missed = p.Now().UTC()
		return f, false, p.write(*r)
	}
	if p.Now().Sub(r.Missed) < p.Silence {
		return f, false, nil
	}
	return jobs.Fate{Over: true, Cause: record.CauseLost, Word: vanished, Reason: "the machine is not there any more"}, true, nil
}

// running judges a machine by its worker's signs of life, since a scheduler may say for hours that a dead machine runs.
func (p *Pool) running(ctx context.Context, u Unit, s jobs.Status, r *record.Resource, w *mirror.WorkerSeen) (jobs.Fate, error) {
	f := jobs.Fate{Word: s.Word, Reason: s.Reason}
	if r.Seen.IsZero() {
		r.Seen = p.Now().UTC()
		if r.From.IsZero() {
			r.From = r.Asked
		}
		if err := p.write(*r); err != nil {
			return f, err
		}
	}
	most := p.Silence
	if w != nil && w.Phase == record.WorkerClosed { // between its last word and its script's there may be a while, but not for ever
		most = max(p.Boot, most)
	}
	switch {
	case w == nil && p.Now().Sub(r.Seen) >= p.Boot && !p.reads:
		// A worker that was not seen because the bucket could not be read works all the same.
		if _, err := p.Mirror.Pull(ctx); err != nil || slices.ContainsFunc(p.Mirror.Workers(), func(s mirror.WorkerSeen) bool { return s.Unit == u.ID }) {
			return f, err
		}
		return jobs.Fate{Over: true, Cause: record.CauseLaunch, Word: noWorker, Reason: fmt.Sprintf("the machine has run for %s and no worker has come up on it", p.Boot.Round(time.Second))}, nil
	case w == nil, w.Phase != record.WorkerDead && (w.Since.IsZero() || p.Now().Sub(w.Since) < most):
		return f, nil
	}
	silence := fmt.Sprintf("no sign of life for %s", most.Round(time.Second))
	if w.Phase != record.WorkerDead {
		if p.reads {
			f.Reason = silence
			return f, nil
		}
		if dead, err := p.Mirror.Bury(ctx, u.ID); err != nil || !dead {
			return f, err
		}
	}
	return jobs.Fate{Over: true, Cause: record.CauseNode, Word: silent, Reason: silence}, nil
}

func (p *Pool) resource(unit string) (record.Resource, error) {
	var r record.Resource
	err := fsx.ReadJSON(p.Dir.Resource(unit), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return record.Resource{Schema: record.Schema, Unit: unit, Chips: p.Chips}, nil
	}
	return r, err
}

// end puts the end of a machine on record, once.
func (p *Pool) end(r record.Resource, f jobs.Fate) error {
	if !r.Ended.IsZero() {
		return nil
	}
	r.Ended, r.Cause, r.State, r.Reason = p.Now().UTC(), f.Cause, f.Word, f.Reason
	return p.write(r)
}

func (p *Pool) write(r record.Resource) error {
	if p.reads {
		return nil
	}
	return fsx.PublishJSON(p.Dir.Resource(r.Unit), r)
}
