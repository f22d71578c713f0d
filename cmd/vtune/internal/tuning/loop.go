package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// This file closes the loop: the collector decides, and what it decided becomes jobs here.

// Submit puts the planned units out that are not out yet.
func (t *Tuning) Submit(ctx context.Context) (jobs.Report, error) {
	s, err := t.submitter(ctx)
	if err != nil {
		return jobs.Report{}, t.schedulerError(err)
	}
	rep, err := s.Units(ctx, t.Plan.Units)
	return rep, t.schedulerError(err)
}

// Collector of the run; see collect.Config for grace. The caller holds the lease.
func (t *Tuning) Collector(grace time.Duration) *collect.Collector {
	return collect.New(collect.Config{
		Dir: t.Dir, Look: t.Seen, Submit: t.submitAll, Cancel: t.cancelJobs, Now: t.world.Now, Grace: grace,
	})
}

// Cancel marks the run as cancelled and ends those of its recorded jobs that are not over; it returns how many. The mark comes
// first: from then on no collector submits a follow-up, and an agent that starts all the same skips its work. A job that was
// accepted before the mark and recorded after it is ended by the next collector. A run that is over stays as it is, unmarked.
func (t *Tuning) Cancel(ctx context.Context) (ended int, err error) {
	scan := collect.Scanner{Dir: t.Dir}
	snap, err := scan.Scan()
	if err != nil {
		return 0, err
	}
	if collect.Derive(snap).Phase == record.PhaseOver {
		return 0, nil
	}
	data, err := fsx.JSON(record.Cancelled{Schema: record.Schema, By: userName(), At: t.world.Now().UTC()})
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
	return len(living), t.cancelJobs(ctx, living)
}

// submitAll puts recorded units out again and new follow-ups in. It is what collect is handed as Submit.
func (t *Tuning) submitAll(ctx context.Context, units []record.Unit, follow []collect.FollowUp) error {
	s, err := t.submitter(ctx)
	if err != nil {
		return t.schedulerError(err)
	}
	for _, f := range follow {
		j := jobs.Job(t.spec, f.Kind, f.Cell, f.Attempt)
		j.Emulates = f.Emulates
		u := record.Unit{ID: j.ID, Jobs: []record.Job{j}}
		if err := t.writeUnit(u, &f); err != nil {
			return fmt.Errorf("follow-up %s: %w", j.ID, err)
		}
		units = append(units, u)
	}
	_, err = s.Units(ctx, units)
	return t.schedulerError(err)
}

// assignment is what job j's agent is told, with what a follow-up knows on top.
func (t *Tuning) assignment(j record.Job, f *collect.FollowUp) record.Assignment {
	a := jobs.Assignment(t.spec, t.Plan, t.Run.ID, j)
	if a.Server.Nodes > 1 {
		a.Server.Launch = t.Dir.Launch()
	}
	if f == nil {
		return a
	}
	a.Known, a.Utilization, a.Hint = f.Known, f.Utilization, f.Hint
	// Those that rode on an attempt that ended without them are followed up by jobs of their own.
	a.Riders = nil
	a.StopAfterInf = a.StopAfterInf && len(f.Known) == 0 // a cell that has its inf run gets a job for the walk
	if f.Profile != nil {
		a.Cell, a.Profile = f.Profile.Cell, &f.Profile.Load
	}
	return a
}

// Seen maps the scheduler's answer to the run's jobs. It is what collect is handed as Look. A status counts only with the id
// that was recorded for its unit: a duplicate under the same name, left by an answer that was lost, is not the job.
func (t *Tuning) Seen(ctx context.Context) ([]collect.Seen, error) {
	list, err := t.scheduler.List(ctx, t.Run.ID)
	if err != nil {
		return nil, t.schedulerError(err)
	}
	units, err := t.recorded()
	if err != nil {
		return nil, err
	}
	var seen []collect.Seen
	for _, s := range list {
		u, ok := units[s.ID]
		task := max(s.Task, 0)
		if !ok || task >= len(u.Jobs) {
			continue
		}
		v := collect.Seen{
			Job: u.Jobs[task].ID, Over: s.State.Ended(), Stuck: s.State == jobs.Stuck, Cause: s.State.Cause(),
			Word: s.Word, Reason: s.Reason, Exit: s.ExitCode, Node: s.Node,
		}
		seen = append(seen, v)
		for _, rider := range u.Riders {
			v.Job = rider.ID
			seen = append(seen, v)
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
	units, err := t.recorded()
	if err != nil {
		return err
	}
	var handles []jobs.Handle
	for id, u := range units {
		for i, j := range u.Jobs {
			if !wanted[j.ID] {
				continue
			}
			h := jobs.Handle{ID: id, Cluster: u.cluster}
			if u.Array() {
				h.ID = fmt.Sprintf("%s_%d", id, i)
			}
			handles = append(handles, h)
		}
		// A rider is ended with its carrier, whose own work is over when the rider's has begun.
		if slices.ContainsFunc(u.Riders, func(j record.Job) bool { return wanted[j.ID] }) && !wanted[u.Jobs[0].ID] {
			handles = append(handles, jobs.Handle{ID: id, Cluster: u.cluster})
		}
	}
	if len(handles) == 0 {
		return nil
	}
	return t.schedulerError(t.scheduler.Cancel(ctx, handles))
}
