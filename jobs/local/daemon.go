package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/jobs"
)

const (
	poll = 150 * time.Millisecond // between two looks at the folder; a job's end is seen at once
	idle = time.Second            // with nothing unfinished, until a daemon retires
	// failures in a row until a daemon gives up; the next Submit or List starts another.
	maxFailures = 100
	// spawns of one job that end before the runner's claim, until the job is given up.
	maxSpawns = 3
	// leftoverGrace is for what a job leaves behind when its script has ended.
	leftoverGrace = 5 * time.Second
	// sweepPatience bounds a sweep beyond its grace: only the kernel can keep a killed process.
	sweepPatience = 20 * time.Second
)

// daemon is the one process that decides. What it remembers beyond the folder is about its own children, and may be lost.
type daemon struct {
	dir      folder
	settings settings
	program  []string
	queue    *queue
	children map[int]*proc.Process // runners that this daemon started, by job
	spawns   map[int]int
	ended    chan struct{} // rings when a runner has ended
	burials  map[int]*burial
}

// burial of a job whose runner died.
type burial struct{ done chan struct{} }

func (b *burial) over() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// Daemon schedules the jobs of a folder until nothing is left to do, and returns at once when another daemon does. program is
// the argv prefix that runs RunnerCommand. When ctx ends it returns too: the jobs go on, and so will the next daemon.
func Daemon(ctx context.Context, dir string, program []string) error {
	d := &daemon{
		dir: folder(dir), program: program, queue: newQueue(folder(dir)),
		children: map[int]*proc.Process{}, spawns: map[int]int{}, ended: make(chan struct{}, 1), burials: map[int]*burial{},
	}
	if err := fsx.ReadJSON(d.dir.settings(), &d.settings); err != nil {
		return fmt.Errorf("local scheduler: %w", err)
	}
	for {
		number, err := d.dir.claim()
		if errors.Is(err, errTaken) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("local scheduler: %w", err)
		}
		if err := d.serve(ctx, number); err != nil || ctx.Err() != nil {
			return err
		}
		if again, err := d.retire(number); err != nil || !again {
			return err
		}
	}
}

// retire gives the office up, and reports whether a job came in while it did: whoever submitted that one saw a living daemon.
func (d *daemon) retire(number int) (again bool, err error) {
	if err := publishOnce(d.dir.retired(number), struct{}{}); err != nil {
		return false, fmt.Errorf("local scheduler: %w", err)
	}
	if err := d.queue.refresh(); err != nil {
		return false, fmt.Errorf("local scheduler: %w", err)
	}
	return d.queue.unfinished(), nil
}

// errRemoved ends a daemon, and a job, that somebody has removed the folder of: nobody could ever hear of it again.
var errRemoved = errors.New("the run directory was removed")

// serve works until nothing was unfinished for a while, or ctx ends.
func (d *daemon) serve(ctx context.Context, number int) error {
	defer func() {
		for _, b := range d.burials {
			<-b.done
		}
	}()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	busy, failures := time.Now(), 0
	for {
		if _, err := os.Stat(d.dir.daemon(number)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("local scheduler: %w", errRemoved)
		}
		if err := d.step(ctx); err != nil {
			// A full disk or a hung mount may pass; giving up is for what does not.
			if failures++; failures == maxFailures {
				return fmt.Errorf("local scheduler: %w", err)
			}
			busy = time.Now()
		} else {
			failures = 0
		}
		if d.queue.unfinished() {
			busy = time.Now()
		} else if time.Since(busy) >= idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-d.ended:
		}
	}
}

func (d *daemon) step(ctx context.Context) error {
	if err := d.queue.refresh(); err != nil {
		return err
	}
	for _, j := range d.queue.order {
		if j.running() {
			if err := d.watch(ctx, j); err != nil {
				return err
			}
		}
	}
	for _, s := range decide(d.queue.order, d.settings.Slots) {
		if s.reason != "" {
			if err := d.end(s.job, exit{State: unrun(s.reason), Reason: s.reason}); err != nil {
				return err
			}
			continue
		}
		s.job.start = &start{Schema: schema, Slots: s.slots, Token: rand.Text(), At: time.Now().UTC()}
		if err := publishOnce(d.dir.start(s.job.id), s.job.start); err != nil {
			s.job.start = nil
			return err
		}
		if err := d.spawn(s.job); err != nil {
			return err
		}
	}
	return nil
}

// watch sees to it that a job that was told to start has a living runner, or an end.
func (d *daemon) watch(ctx context.Context, j *job) error {
	switch {
	case j.runner != nil:
		if !j.runner.Identity.Alive() {
			d.bury(ctx, j)
		}
		return nil
	case d.children[j.id] != nil && d.children[j.id].Identity().Alive():
		return nil // it has yet to make its claim
	case d.spawns[j.id] >= maxSpawns:
		return d.abandon(j)
	default:
		// The first daemon to think of this job may have died before it started a runner, or just after: then two runners
		// compete, on the same slots, and one of them gets the claim.
		return d.spawn(j)
	}
}

// spawn starts a runner. It is a child only so that its end is noticed at once; nothing depends on that.
func (d *daemon) spawn(j *job) error {
	d.spawns[j.id]++
	argv := append(slices.Clone(d.program), RunnerCommand, string(d.dir), strconv.Itoa(j.id))
	child, err := proc.Start(proc.Spec{Argv: argv, Dir: string(d.dir), Stdout: os.Stderr, Stderr: os.Stderr, Session: true})
	if err != nil {
		return fmt.Errorf("start a runner for job %d: %w", j.id, err)
	}
	fsx.Point("local.spawned", d.dir.start(j.id))
	d.children[j.id] = child
	go func() {
		child.Wait()
		select {
		case d.ended <- struct{}{}:
		default: // it is ringing already
		}
	}()
	return nil
}

// abandon gives up a job whose runners end before they claim it. The claim is taken first, so that none of them comes late.
func (d *daemon) abandon(j *job) error {
	self, err := proc.Self()
	if err != nil {
		return err
	}
	if err := publishOnce(d.dir.runner(j.id), runner{Schema: schema, Identity: self, At: time.Now().UTC()}); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	return d.end(j, exit{State: jobs.NodeFail, Reason: "its runner could not be started; see " + d.dir.log()})
}

// bury ends a job whose runner was killed: first everything that it left, then the record, which frees the slots. It may take
// as long as the grace, so the others do not wait for it. One that failed is repeated.
func (d *daemon) bury(ctx context.Context, j *job) {
	if b := d.burials[j.id]; b != nil && !b.over() {
		return
	}
	b := &burial{done: make(chan struct{})}
	d.burials[j.id] = b
	e := exit{State: jobs.NodeFail, Reason: "the job's runner died"}
	if j.cancel != nil {
		e = exit{State: jobs.Cancelled, Reason: "cancelled; the job's runner died"}
	}
	id, token := j.id, j.start.Token
	go func() {
		defer close(b.done)
		if _, err := os.Stat(d.dir.exit(id)); err == nil {
			return // it ended well, after the folder was read and before the process table was
		}
		sweeping, stop := context.WithTimeout(ctx, leftoverGrace+sweepPatience)
		defer stop()
		if _, err := proc.SweepMarked(sweeping, token, min(leftoverGrace, d.settings.grace())); err != nil {
			if ctx.Err() != nil {
				return // the next daemon does it
			}
			e.Reason += "; " + err.Error()
		}
		// When this fails the job stays as it was found, and is found again.
		_ = publishExit(d.dir, id, e)
	}()
}

func (d *daemon) end(j *job, e exit) error {
	if err := publishExit(d.dir, j.id, e); err != nil {
		return err
	}
	j.exit = &e
	return nil
}

// publishExit records the end of a job; the first record stands.
func publishExit(dir folder, id int, e exit) error {
	e.Schema, e.At = schema, time.Now().UTC()
	if err := publishOnce(dir.exit(id), e); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
