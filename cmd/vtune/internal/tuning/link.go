package tuning

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/templates"
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

// Foreign reports whether the run is another user's.
func (t *Tuning) Foreign() bool { return t.foreign != nil }

// Link is link n of the chain, as a job. Minutes are plenty for a pass, and memory is said because a job that does not is given a
// node's whole at some sites.
func Link(n int) record.Job {
	return record.Job{
		ID: record.LinkID(n), Kind: record.KindCollect, Attempt: n,
		Resources: record.Resources{CPUs: 1, MemMB: 1024, Seconds: 15 * 60},
	}
}

// WriteLink writes the script of a link of the chain.
func (t *Tuning) WriteLink(j record.Job) error {
	if err := os.MkdirAll(t.Dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	return t.writeScript(j.ID, templates.Collect, t.linkView(j))
}

// linkView is a job's view without what only measuring needs: GPUs, the nodes that have them, a container, secrets.
func (t *Tuning) linkView(j record.Job) templates.View {
	v := t.view(j.ID, j)
	site, where := t.spec.Site, t.spec.Site.Collector
	v.Site = spec.Site{
		Partition: cmp.Or(where.Partition, site.Partition), Account: cmp.Or(where.Account, site.Account), QOS: cmp.Or(where.QOS, site.QOS),
		Time: fmt.Sprint(j.Resources.Seconds / 60), Memory: fmt.Sprintf("%dM", j.Resources.MemMB), CPUs: j.Resources.CPUs,
		GPUStyle: "none", Modules: site.Modules, Environment: site.Environment, Directives: maps.Clone(site.Directives),
	}
	if where.Partition == "" {
		v.Site.Reservation = site.Reservation // the partition may be closed without it
	}
	maps.DeleteFunc(v.Site.Directives, func(option, _ string) bool {
		return !slices.Contains([]string{"clusters", "exclude", "mcs-label", "wckey"}, option)
	})
	v.Link, v.Secrets, v.SignalLead = j.Attempt, "", 0
	return v
}
