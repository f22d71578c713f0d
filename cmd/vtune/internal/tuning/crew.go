package tuning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// This file is the part of an open run that has to do with crews: allocations that work off several jobs (see record.Crew).

// crewFollowUps writes what goes on in crews, or alone where nothing is to share an allocation with. While a crew is fed, each
// job is a unit of its own, for it to take.
func (t *Tuning) crewFollowUps(cells, others []record.Job, known map[string]collect.FollowUp, fed bool) ([]record.Unit, error) {
	var units []record.Unit
	alone := func(js []record.Job) {
		for _, j := range js {
			units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
		}
	}
	all := append(others, cells...)
	switch {
	case fed:
		alone(all)
	case jobs.OneJob(t.spec) && len(all) > 0:
		units = append(units, jobs.WholeCrew(t.spec, t.freeNumber("crew", 0), all, nil))
	case len(cells) > 1:
		alone(others)
		units = append(units, jobs.Crews(t.spec, t.freeNumber("pack", 0), cells)...)
	default:
		alone(all)
	}
	for _, u := range units {
		if err := t.scripts().Unit(u, known); err != nil {
			return nil, fmt.Errorf("follow-up %s: %w", u.ID, err)
		}
	}
	return units, nil
}

// freeNumber is the first number of a kind of unit that none has gone out with, past those that are about to be made. A unit that was
// written and never intended has not gone out: it is written anew.
func (t *Tuning) freeNumber(kind string, past int) int {
	for n := 1; ; n++ {
		if _, err := os.Stat(t.Dir.Intent(fmt.Sprintf("%s-%d", kind, n))); errors.Is(err, fs.ErrNotExist) {
			if past == 0 {
				return n
			}
			past--
		}
	}
}

// feeder is the crew that takes on further jobs now, if any does.
func (t *Tuning) feeder(ctx context.Context) (*outUnit, error) {
	if !jobs.OneJob(t.spec) {
		return nil, nil
	}
	units, err := t.recorded()
	if err != nil {
		return nil, err
	}
	list, err := t.scheduler.List(ctx, t.Run.ID)
	if err != nil {
		return nil, err
	}
	living := map[string]bool{}
	for _, s := range list {
		living[s.ID+" "+s.Name] = !s.State.Ended() && s.State != jobs.Stuck && s.State != jobs.Held
	}
	for _, u := range units {
		if u.Crew != nil && u.Crew.Feed && living[u.at.ID+" "+u.name] && !t.closed(u.ID) {
			return &u, nil
		}
	}
	return nil, nil
}

// closed reports whether a crew begins nothing more.
func (t *Tuning) closed(crew string) bool {
	var a record.Aboard
	return fsx.ReadJSON(t.Dir.Aboard(crew), &a) == nil && a.Closed
}

// feed puts units into a crew's queue and records them as out; crews are not fed to a crew. It returns the units that are left to the
// scheduler: without a crew, all of them. One that the crew does not come to is found unbegun when the allocation is over.
func (t *Tuning) feed(crew *outUnit, units []record.Unit) (rest []record.Unit, err error) {
	if crew == nil {
		return units, nil
	}
	queue := t.Dir.Queue(crew.ID)
	if err := os.MkdirAll(queue, 0o755); err != nil {
		return nil, err
	}
	there, err := os.ReadDir(queue)
	if err != nil {
		return nil, err
	}
	for i, u := range units {
		if u.Crew != nil {
			rest = append(rest, u)
			continue
		}
		in := record.Intent{Schema: record.Schema, Name: record.JobName(t.Run.ID, u.ID), Unit: u, At: t.world.Now()}
		out := record.Submitted{Schema: record.Schema, Name: in.Name, ID: crew.at.ID, Cluster: crew.at.Cluster, Crew: crew.ID, At: in.At}
		err := fsx.PublishJSON(t.Dir.Intent(u.ID), in)
		if err == nil {
			err = fsx.PublishJSON(t.Dir.Queued(crew.ID, len(there)+i+1, u.ID), u.Jobs[0])
		}
		if err == nil {
			err = fsx.PublishJSON(t.Dir.Submitted(u.ID), out)
		}
		if err != nil {
			return nil, fmt.Errorf("feed %s to %s: %w", u.ID, crew.ID, err)
		}
	}
	return rest, nil
}

// members are the jobs of a unit, with those that ride on the first.
func (u outUnit) members() []record.Job { return slices.Concat(u.Jobs, u.Riders) }

// inCrew reports whether the unit's jobs are worked off by a crew, its own or the one it was fed to.
func (u outUnit) inCrew() bool { return u.Crew != nil || u.crew != "" }

// seenInCrew says of each job of a unit how it fares, by the scheduler's word v on the allocation and by the crew's on the job.
func (t *Tuning) seenInCrew(u outUnit, v collect.Seen) []collect.Seen {
	whole := jobs.Fate{Over: v.Over, Cause: v.Cause, Word: v.Word, Reason: v.Reason, Exit: v.Exit}
	var seen []collect.Seen
	for i, j := range u.members() {
		of := j
		if i >= len(u.Jobs) {
			of = u.Jobs[0] // a rider shares its carrier's step
		}
		fate := jobs.FateInCrew(t.Dir, cmp.Or(u.crew, u.ID), of, j, whole)
		v.Job, v.Over, v.Cause, v.Word, v.Reason, v.Exit = j.ID, fate.Over, fate.Cause, fate.Word, fate.Reason, fate.Exit
		seen = append(seen, v)
	}
	return seen
}

// cancelInCrews ends jobs of crews. The crew is told of single ones, and goes on with the others; an allocation of which nothing else
// is wanted is returned, to be ended as a whole. One that is fed lives on for what may come, unless the run was cancelled.
func (t *Tuning) cancelInCrews(units []outUnit, wanted map[string]bool) ([]jobs.Handle, error) {
	members := map[jobs.Handle][]record.Job{}
	fed := map[jobs.Handle]bool{}
	var unwanted []string
	for _, u := range units {
		if !u.inCrew() {
			continue
		}
		h := u.at
		members[h] = append(members[h], u.members()...)
		fed[h] = fed[h] || u.Crew != nil && u.Crew.Feed
		for i, j := range u.members() {
			if wanted[j.ID] && i < len(u.Jobs) {
				unwanted = append(unwanted, j.ID)
			} else if wanted[j.ID] && !wanted[u.Jobs[0].ID] {
				unwanted = append(unwanted, u.Jobs[0].ID) // a rider ends with its carrier, as outside of crews
			}
		}
	}
	_, err := os.Stat(t.Dir.Cancelled())
	cancelled := err == nil
	var whole []jobs.Handle
	for h, js := range members {
		any := slices.ContainsFunc(js, func(j record.Job) bool { return wanted[j.ID] })
		needed := slices.ContainsFunc(js, func(j record.Job) bool { return !wanted[j.ID] && !t.through(j) })
		if any && !needed && (cancelled || !fed[h]) {
			whole = append(whole, h)
		}
	}
	for _, id := range unwanted {
		// Also where the whole allocation is ended: a crew that begins at this moment reads it.
		if _, err := os.Stat(t.Dir.Unwanted(id)); err == nil {
			continue
		}
		if err := fsx.PublishJSON(t.Dir.Unwanted(id), struct{}{}); err != nil {
			return nil, err
		}
	}
	return whole, nil
}

// through reports whether a job of a crew can add nothing more.
func (t *Tuning) through(j record.Job) bool {
	var s record.Step
	return t.over(j) || fsx.ReadJSON(t.Dir.Step(j.ID), &s) == nil && s.Over()
}
