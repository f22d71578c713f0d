package tuning

import (
	"context"

	"vtune/cmd/vtune/internal/scripts"
	"vtune/internal/record"
	"vtune/jobs"
)

// This file is what a run that collects itself needs of an open run; see package handsfree.

// PutOut submits units that are not out yet, whose scripts are written.
func (t *Tuning) PutOut(ctx context.Context, units []record.Unit) (jobs.Report, error) {
	s, err := t.submitter(ctx)
	if err != nil {
		return jobs.Report{}, err
	}
	return s.Units(ctx, units)
}

// Patiently does what the scheduler is needed for, and waits for it as long as a person allowed.
func (t *Tuning) Patiently(ctx context.Context, act func() error) error {
	return t.schedulerError(t.world.patiently(ctx, t.Run.Scheduler, act))
}

// CancelJobs ends jobs of the run at the scheduler.
func (t *Tuning) CancelJobs(ctx context.Context, ids []string) error { return t.cancelJobs(ctx, ids) }

// Foreign reports whether nobody here can act on the run.
func (t *Tuning) Foreign() bool { return t.foreign != nil }

// WriteLink writes the script of a link of the chain.
func (t *Tuning) WriteLink(j record.Job) error { return t.scripts().Link(j) }

// ServeCommand is the command line that serves the winner; empty without one.
func (t *Tuning) ServeCommand(st record.State) (string, error) { return t.scripts().ServeCommand(st) }

// scripts writes what the run's jobs begin with.
func (t *Tuning) scripts() *scripts.Writer {
	return &scripts.Writer{Dir: t.Dir, Run: t.Run, Plan: t.Plan, Spec: t.spec, Templates: t.templates, Env: t.world.Getenv, Progress: t.world.Progress}
}
