package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"vtune/cmd/vtune/internal/depot"
	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// This file closes the loop: the collector decides, and what it decided becomes jobs here.

// Submit puts the planned units out that are not out yet, and puts on record, wherever the run is, what is out and what was approved:
// whoever collects may be elsewhere.
func (t *Tuning) Submit(ctx context.Context) (jobs.Report, error) {
	var rep jobs.Report
	err := t.world.patiently(ctx, t.Run.Scheduler, func() error {
		s, err := t.submitter(ctx)
		if err == nil {
			rep, err = s.Units(ctx, t.Plan.Units)
		}
		return err
	})
	return rep, errors.Join(t.schedulerError(err), t.Push(ctx))
}

// Collector of the run; see collect.Config for grace. The caller holds the lease.
func (t *Tuning) Collector(grace time.Duration) *collect.Collector { return t.CollectorIn("", grace) }

// CollectorIn is a collector that runs in a job of the run.
func (t *Tuning) CollectorIn(self string, grace time.Duration) *collect.Collector {
	c := collect.Config{Dir: t.Dir, Look: t.Seen, Submit: t.submitAll, Cancel: t.cancelJobs, Now: t.world.Now, Grace: grace, Self: self, Serve: t.ServeCommand}
	if t.depot != nil {
		t.depot.Silence = max(grace, depot.MinSilence)
		c.Look = func(ctx context.Context) ([]collect.Seen, error) {
			seen, err := t.depot.Look(ctx)
			return seen, t.schedulerError(err)
		}
		c.Pull, c.Push = t.depot.Pull, t.depot.Push
	}
	return collect.New(c)
}

// Cancel marks the run as cancelled and ends those of its recorded jobs that are not over; it returns how many. The mark comes
// first: from then on no collector submits a follow-up, and an agent that starts all the same skips its work. A job that was
// accepted before the mark and recorded after it is ended by the next collector. A run that is over stays as it is, unmarked.
func (t *Tuning) Cancel(ctx context.Context) (ended int, err error) {
	if t.foreign != nil {
		return 0, t.foreign
	}
	scan := collect.Scanner{Dir: t.Dir}
	snap, err := scan.Scan()
	if err != nil {
		return 0, err
	}
	if collect.Derive(snap).Phase == record.PhaseOver {
		return 0, nil
	}
	data, err := fsx.JSON(record.Cancelled{Schema: record.Schema, By: UserName(), At: t.world.Now().UTC()})
	if err != nil {
		return 0, err
	}
	if err := fsx.PublishNew(t.Dir.Cancelled(), data, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return 0, err
	}
	if snap, err = scan.Scan(); err != nil {
		return 0, err
	}
	living := collect.Decide(snap, collect.Derive(snap)).Cancel
	err = t.world.patiently(ctx, t.Run.Scheduler, func() error {
		unheard, err := t.unheard(ctx, snap)
		if err != nil {
			return err
		}
		if err := t.cancelJobs(ctx, living); err != nil {
			return err
		}
		ended = len(living) + len(unheard)
		return t.scheduler.Cancel(ctx, unheard)
	})
	if err == nil && t.depot != nil {
		err = t.depot.Withdraw(ctx) // nobody will need them any more, and nobody may ever collect
	}
	return ended, t.schedulerError(err)
}

// unheard are jobs of units whose answer from the scheduler was never recorded, because submit was killed before it came or is
// waiting for it now. They are found as submit itself would find them: by the exact name of a unit that was intended.
func (t *Tuning) unheard(ctx context.Context, snap collect.Snapshot) ([]jobs.Handle, error) {
	names := map[string]bool{}
	for _, u := range snap.Units {
		if _, err := os.Stat(t.Dir.Intent(u.ID)); err == nil && u.Submitted == nil {
			names[record.JobName(t.Run.ID, u.ID)] = true
		}
	}
	for _, l := range snap.Links {
		if l.Submitted == nil {
			names[record.JobName(t.Run.ID, l.ID())] = true
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	list, err := t.scheduler.List(ctx, t.Run.ID)
	if err != nil {
		return nil, err
	}
	var handles []jobs.Handle
	for _, s := range list {
		if names[s.Name] && !s.State.Ended() && !slices.Contains(handles, s.Handle) {
			handles = append(handles, s.Handle)
		}
	}
	return handles, nil
}

// submitAll puts recorded units out again and new follow-ups in. It is what collect is handed as Submit.
func (t *Tuning) submitAll(ctx context.Context, units []record.Unit, follow []collect.FollowUp) error {
	s, err := t.submitter(ctx)
	if err != nil {
		return t.schedulerError(err)
	}
	if t.depot != nil {
		cells, others, known := t.followed(follow)
		return t.schedulerError(t.depot.Follow(ctx, s, units, append(others, cells...), known))
	}
	crew, err := t.feeder(ctx)
	if err != nil {
		return t.schedulerError(err)
	}
	more, err := t.followUps(follow, s.Caps.MaxArray, crew != nil)
	if err != nil {
		return err
	}
	if units, err = t.feed(crew, append(units, more...)); err != nil {
		return err
	}
	_, err = s.Units(ctx, units)
	return t.schedulerError(err)
}

// followUps writes what the collector decided on. Cells that go on at the same time go out as arrays: when a node takes forty of
// them along, the controller shall not be asked forty times.
func (t *Tuning) followUps(follow []collect.FollowUp, maxArray int, fed bool) ([]record.Unit, error) {
	cells, others, known := t.followed(follow)
	if jobs.OneJob(t.spec) || jobs.Packs(t.spec) {
		return t.crewFollowUps(cells, others, known, fed)
	}
	var units []record.Unit
	for _, j := range others {
		units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
	}
	arrays := 0
	for chunk := range slices.Chunk(cells, max(maxArray, 1)) {
		u := record.Unit{ID: chunk[0].ID, Jobs: chunk}
		if len(chunk) > 1 {
			u.ID = fmt.Sprintf("again-%d", t.freeNumber("again", arrays))
			arrays++
		}
		units = append(units, u)
	}
	for _, u := range units {
		if err := t.scripts().Unit(u, known); err != nil {
			return nil, fmt.Errorf("follow-up %s: %w", u.ID, err)
		}
	}
	return units, nil
}

// followed are the jobs that follow, cells and others, and what is known for each.
func (t *Tuning) followed(follow []collect.FollowUp) (cells, others []record.Job, known map[string]collect.FollowUp) {
	known = map[string]collect.FollowUp{}
	for _, f := range follow {
		j := jobs.Job(t.spec, f.Kind, f.Cell, f.Attempt)
		j.Emulates, j.Avoid = f.Emulates, f.Avoid
		known[j.ID] = f
		if f.Kind == record.KindCell {
			cells = append(cells, j)
		} else {
			others = append(others, j)
		}
	}
	return cells, others, known
}

// Seen maps the scheduler's answer to the run's jobs. Collect is handed it as Look, but where a pool has to act on what it sees. A status
// counts only with the id that was recorded for its unit: a duplicate under the same name, left by an answer that was lost, is not the job.
func (t *Tuning) Seen(ctx context.Context) ([]collect.Seen, error) {
	if t.depot != nil {
		seen, err := t.depot.See(ctx)
		return seen, t.schedulerError(err)
	}
	list, err := t.scheduler.List(ctx, t.Run.ID)
	if err != nil {
		return nil, t.schedulerError(err)
	}
	units, err := t.recorded()
	if err != nil {
		return nil, err
	}
	known := map[string][]outUnit{}
	for _, u := range units {
		known[u.at.ID+" "+u.name] = append(known[u.at.ID+" "+u.name], u)
	}
	var seen []collect.Seen
	for _, s := range list {
		v := collect.Seen{
			Over: s.State.Ended(), Stuck: s.State == jobs.Stuck || s.State == jobs.Held, Cause: s.State.Cause(),
			Word: s.Word, Reason: s.Reason, Exit: s.ExitCode, Node: s.Node, Again: s.Restarts > 0,
		}
		task := max(s.Task, 0)
		for _, u := range known[s.ID+" "+s.Name] {
			switch {
			case u.inCrew():
				seen = append(seen, t.seenInCrew(u, v)...)
				continue
			case task >= len(u.Jobs):
				continue
			}
			v.Job = u.Jobs[task].ID
			seen = append(seen, v)
			for _, rider := range u.Riders {
				v.Job = rider.ID
				seen = append(seen, v)
			}
		}
	}
	return seen, nil
}

// cancelJobs ends jobs at the scheduler by their recorded ids. It is what collect is handed as Cancel.
func (t *Tuning) cancelJobs(ctx context.Context, ids []string) error {
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	if t.depot != nil {
		return t.schedulerError(t.depot.End(ctx, wanted))
	}
	units, err := t.recorded()
	if err != nil {
		return err
	}
	handles, err := t.cancelInCrews(units, wanted)
	if err != nil {
		return err
	}
	for _, u := range units {
		if u.inCrew() {
			continue
		}
		handles = append(handles, t.handles(u, wanted)...)
		// A rider is ended with its carrier, whose own work is over when the rider's has begun.
		if slices.ContainsFunc(u.Riders, func(j record.Job) bool { return wanted[j.ID] }) && !wanted[u.Jobs[0].ID] {
			handles = append(handles, u.at)
		}
	}
	if len(handles) == 0 {
		return nil
	}
	return t.schedulerError(t.scheduler.Cancel(ctx, handles))
}

// handles of a unit's wanted jobs: one for all of an array, if what is not wanted of it is over anyway.
func (t *Tuning) handles(u outUnit, wanted map[string]bool) (tasks []jobs.Handle) {
	all := true
	for i, j := range u.Jobs {
		if wanted[j.ID] {
			tasks = append(tasks, jobs.Handle{ID: fmt.Sprintf("%s_%d", u.at.ID, i), Cluster: u.at.Cluster})
			continue
		}
		all = all && t.over(j)
	}
	if len(tasks) > 0 && (all || !u.Array()) {
		return []jobs.Handle{u.at}
	}
	return tasks
}

// over reports whether the records say that a job has ended.
func (t *Tuning) over(j record.Job) bool {
	for _, path := range []string{t.Dir.Ended(j.ID), t.Dir.Attempt(j.Kind, j.Cell, j.Attempt).Result()} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}
