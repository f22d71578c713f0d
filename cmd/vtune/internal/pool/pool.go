// Package pool is a run whose jobs wait in one queue, in a bucket, for machines that come and go. It puts jobs into the queue, asks for
// machines within what was approved, tells from claims and signs of life how each job fares, and sees to it that no machine is left.
// What a job's fate follows from is decided in package jobs; what the machines are is their Scheduler's.
package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/mirror"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/tpu"
)

// Mirror is the run's directory here and in the bucket.
type Mirror interface {
	Pull(context.Context) (mirror.Pulled, error)
	Push(context.Context) error
	Workers() []mirror.WorkerSeen
	Bury(ctx context.Context, unit string) (bool, error)
	GiveUp(ctx context.Context, job string) (record.Claim, error)
}

// Machines is the scheduler of machines, one for each unit.
type Machines interface {
	jobs.Scheduler
	// Orphans are the resources that carry the run's label and are there, deleted ones until they are gone.
	Orphans(ctx context.Context, run string) ([]tpu.Orphan, error)
}

// Config of a Pool.
type Config struct {
	Dir      record.Dir
	Run      record.Run
	Spec     *spec.Spec
	Chips    int // of a machine
	Planned  int // machines of the plan
	Mirror   Mirror
	Machines Machines
	Now      func() time.Time
	// Recorded are the units that are out, Over whether the records say that a job has ended, and Write writes what a unit begins with.
	Recorded func() ([]Unit, error)
	Over     func(record.Job) bool
	Write    func(record.Unit, map[string]collect.FollowUp) error
	// Silence is how long a worker may show no sign of life, and Boot how long a machine may run without any.
	Silence, Boot time.Duration
}

// Pool is one run's. As a jobs.Scheduler it is its machines, except that a machine is asked for when its jobs are in the queue and all
// that it needs is in the bucket, and is known to the run from then on.
type Pool struct {
	Config
	reads   bool  // nothing is written or ended: somebody else has the run in hands
	full    error // what was said when a quota was used up, at fullAt; nil: it is not, as far as is known
	fullAt  time.Time
	removed map[string]time.Time // machines whose deletion was asked for: when
}

// New is the pool of c.
func New(c Config) *Pool {
	return &Pool{Config: c, removed: map[string]time.Time{}}
}

// Capabilities implements jobs.Scheduler.
func (p *Pool) Capabilities(ctx context.Context) (jobs.Capabilities, error) {
	return p.Machines.Capabilities(ctx)
}

// List implements jobs.Scheduler.
func (p *Pool) List(ctx context.Context, run string) ([]jobs.Status, error) {
	return p.Machines.List(ctx, run)
}

// Cancel implements jobs.Scheduler.
func (p *Pool) Cancel(ctx context.Context, ids []jobs.Handle) error {
	return p.Machines.Cancel(ctx, ids)
}

// Submit implements jobs.Scheduler.
func (p *Pool) Submit(ctx context.Context, r jobs.Request) (jobs.Handle, error) {
	unit := strings.TrimPrefix(r.Name, record.NamePrefix(p.Run.ID))
	var in record.Intent
	if err := fsx.ReadJSON(p.Dir.Intent(unit), &in); err != nil {
		return jobs.Handle{}, err
	}
	if err := p.approve(unit, r.Resources.Seconds); err != nil {
		return jobs.Handle{}, err
	}
	if err := p.enqueue(in.Unit.Jobs); err != nil {
		return jobs.Handle{}, err
	}
	if err := p.Mirror.Push(ctx); err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	return p.Machines.Submit(ctx, r)
}

// enqueue puts jobs into the queue, after what is there; those that are there already stay where they are.
func (p *Pool) enqueue(js []record.Job) error {
	queue := p.Dir.Queue(record.Pool)
	if err := os.MkdirAll(queue, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(queue)
	if err != nil {
		return err
	}
	there, last := map[string]bool{}, 0
	for _, e := range entries {
		var n int
		number, job, _ := strings.Cut(strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())), "-")
		if _, err := fmt.Sscanf(number, "%d", &n); err == nil && !fsx.Temporary(e.Name()) {
			there[job], last = true, max(last, n)
		}
	}
	for _, j := range js {
		if there[j.ID] {
			continue
		}
		last++
		if err := fsx.PublishJSON(p.Dir.Queued(record.Pool, last, j.ID), j); err != nil {
			return err
		}
	}
	return nil
}

// Unit is a unit that is out: a machine, or a job that was put into the queue for the machine named Of.
type Unit struct {
	record.Unit
	At jobs.Handle
	Of string
}

func (u Unit) machine() bool { return u.Of == "" }

func (u Unit) own() string {
	if u.machine() {
		return u.ID
	}
	return u.Of
}

// claim is who has a job, as far as can be seen here; nil: nobody.
func (p *Pool) claim(job string) (*record.Claim, error) {
	var c record.Claim
	switch err := fsx.ReadJSON(p.Dir.Claim(job), &c); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &c, nil
}
