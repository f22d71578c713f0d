package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"

	"vtune/internal/aboard"
	"vtune/internal/bucket"
	"vtune/internal/crew"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/worker/porter"
	"vtune/internal/worker/remote"
)

// pool is the bucket's queue as a crew sees it, and how this machine begins jobs of it: a crew.Pool and a crew.Starter.
type pool struct {
	*worker
	ctx  context.Context // ends when nothing more shall be begun; the crew's questions have none
	mine map[string]bool // claimed in this start, and not begun
	open map[string]bool // asked for without an answer
}

// Claim takes a job by creating its claim, and brings what its agent will read. A claim of an earlier start of this machine is not
// enough: what became of the job then nobody knows.
func (p *pool) Claim(j record.Job) error {
	if !remote.Plain(j.ID) {
		return fmt.Errorf("a job cannot have the name %q", j.ID)
	}
	if !p.mine[j.ID] {
		err := p.create(j.ID)
		p.open[j.ID] = err != nil && !errors.Is(err, crew.ErrTaken)
		if err != nil {
			return err
		}
		p.mine[j.ID] = true
	}
	return p.fetch(j.ID)
}

func (p *pool) create(job string) error {
	if err := p.supply.refresh(p.ctx); err != nil {
		return err
	}
	if p.supply.isTaken(job) {
		return crew.ErrTaken
	}
	c := record.Claim{Schema: record.Schema, Job: job, Unit: p.Unit, Boot: p.life.boot(), At: p.Now()}
	data, err := fsx.JSON(c)
	if err != nil {
		return err
	}
	path := p.Rel(p.Dir.Claim(job))
	_, err = p.Put(p.ctx, path, data, 0, map[string]string{"unit": c.Unit, "boot": strconv.Itoa(c.Boot)})
	if errors.Is(err, bucket.ErrChanged) {
		var mine bool
		if mine, c, err = p.isMine(p.ctx, job); err != nil { // it may be: an answer was lost
			return err
		}
		if !mine {
			p.supply.take(job)
			return crew.ErrTaken
		}
	} else if err != nil {
		return err
	}
	return p.Publish(path, c)
}

// isMine reports whether the claim that stands is of this start of this machine.
func (p *pool) isMine(ctx context.Context, job string) (mine bool, c record.Claim, err error) {
	_, err = p.GetJSON(ctx, p.Rel(p.Dir.Claim(job)), &c)
	return c.Unit == p.Unit && c.Boot == p.life.boot(), c, err
}

// fetch brings the job's assignment, those of its riders, and the wish that it not be done, if there is one. An assignment that is not
// there will not come any more: then the job's start fails.
func (p *pool) fetch(job string) error {
	if err := os.MkdirAll(p.Dir.Job(job), 0o755); err != nil {
		return err
	}
	c, err := porter.Of(p.Dir, job, func(job string) (record.Assignment, error) {
		a, err := p.assignment(job)
		if errors.Is(err, fs.ErrNotExist) {
			p.say("%v", err)
		}
		return a, err
	})
	if err != nil {
		return err
	}
	if err := p.supply.wish(p.ctx, p.Rel(p.Dir.Unwanted(job))); err != nil {
		return err
	}
	p.porter.Carry(c)
	return nil
}

// assignment brings one. What is not what it should be is as good as not there.
func (p *pool) assignment(job string) (a record.Assignment, err error) {
	path := p.Rel(p.Dir.Assignment(job))
	data, _, err := p.Get(p.ctx, path)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(data, &a); err != nil || a.Job != job || !remote.Plain("x"+a.Cell.ID) {
		return a, fmt.Errorf("%s is of job %q in cell %q: %w", path, a.Job, a.Cell.ID, fs.ErrNotExist)
	}
	return a, p.Keep(path, data, 0o644)
}

// Taken is what the last look has shown. What this machine has claimed and not begun is its own.
func (p *pool) Taken(job string) bool { return !p.mine[job] && p.supply.isTaken(job) }

// Close tells that nothing more is begun here, and then brings the queue: what was put into it before that can be seen is seen. It is
// told by the sign of life; the crew's own word follows when it comes, and counts for nothing before it.
func (p *pool) Close() error {
	p.life.tell(func(w *record.Worker) { w.Phase = record.WorkerClosed })
	if err := p.life.beat(p.ctx); err != nil {
		return err
	}
	return p.supply.look(p.ctx, "")
}

// abandon says of what was claimed and not begun that it will not be.
func (p *pool) abandon(ctx context.Context) error {
	for job, open := range p.open {
		if open {
			mine, _, err := p.isMine(ctx, job)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			p.mine[job] = mine
		}
	}
	for job, mine := range p.mine {
		if mine {
			if err := p.strand(ctx, job); err != nil {
				return err
			}
		}
	}
	return nil
}

// Start begins a job with the script that carries the site.
func (p *pool) Start(j record.Job) (crew.Step, error) {
	delete(p.mine, j.ID)
	p.supply.take(j.ID)
	if !p.Has(p.Rel(p.Dir.Assignment(j.ID))) {
		return nil, fmt.Errorf("%s: it has no assignment", j.ID)
	}
	step, err := p.begin(j)
	if err != nil {
		return nil, err
	}
	p.working(j.ID)
	return watched{step, func() { p.working("") }}, nil
}

// watched is a step whose end is told.
type watched struct {
	crew.Step
	over func()
}

func (w watched) Wait() string {
	exit := w.Step.Wait()
	w.over()
	return exit
}

// script begins a job's process.
func (w *worker) script(j record.Job) (crew.Step, error) {
	log, err := os.OpenFile(w.Dir.JobLog(j.ID), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p, err := proc.Start(proc.Spec{
		Argv:   []string{"/bin/bash", w.Dir.JobScript(w.Unit), w.Dir.Agent(), w.Dir.Assignment(j.ID)},
		Env:    append(slices.Clone(w.Env), aboard.CrewVariable+"="+w.Unit, aboard.JobVariable+"="+j.ID),
		Stdout: log, Stderr: log, Mark: w.mark(), DieWithCaller: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", j.ID, err)
	}
	return crew.StepOf(p), nil
}
