// Package agent is vtune on a compute node: it does the work of one assignment and leaves the records of it. It starts the
// server, puts load on it, asks internal/search what to do next, and publishes observations and a result.
//
// It decides nothing that search could decide, submits nothing, and never touches another attempt's files. Whatever way it
// ends, no process of its attempt may outlive it.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

// Config of Run. Zero values of the optional fields mean what stands beside them.
type Config struct {
	Dir        record.Dir
	Assignment string              // path
	Log        io.Writer           // lines of progress, for the job's log
	Stop       <-chan record.Cause // time-limit or stopped: end soon, keep what there is; optional

	Now    func() time.Time    // time.Now
	Getenv func(string) string // os.Getenv: what the scheduler told the job
	Port   func() (int, error) // a free loopback port

	Grace time.Duration // 30 s: for a server to end by itself
	Drain time.Duration // 5 min: for a server to become idle between two loads
	Load  time.Duration // 1 h: for a load to end, on top of the time its arrivals take
	Trace time.Duration // 30 min: for a profiler's trace to be written
}

// Code is the agent's exit code. A dependency "after-ok" on the job fires on Done alone.
type Code int

const (
	Done    Code = 0 // a result is published: done, continued by plan, or rightly skipped
	Failed  Code = 1 // a result is published: failed
	Stopped Code = 2 // a result is published: cut off by a time limit or a request to stop; a follow-up can go on
	Refused Code = 3 // this attempt was run before (a restarted or duplicated job); nothing was touched
	Broken  Code = 4 // the agent could not do its work (unreadable assignment, full disk); there may be no result
)

func (c *Config) setDefaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Getenv == nil {
		c.Getenv = os.Getenv
	}
	if c.Port == nil {
		c.Port = freePort
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&c.Grace, 30 * time.Second}, {&c.Drain, 5 * time.Minute}, {&c.Load, time.Hour}, {&c.Trace, 30 * time.Minute}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
}

// Mark is the token that every process of a job's attempt bears; proc.SweepMarked finds them by it. It differs between run
// directories, since two of them may well have the same run id.
func Mark(dir record.Dir, job string) string { return string(dir) + ":" + job }

// Run does the work of one assignment. The calling process becomes the supervisor of all it starts, for the rest of its life.
// The error is nil for every end that a result tells.
func Run(ctx context.Context, c Config) (Code, error) {
	c.setDefaults()
	var a record.Assignment
	if err := fsx.ReadJSON(c.Assignment, &a); err != nil {
		return Broken, fmt.Errorf("assignment: %w", err)
	}
	w := newWork(c, a)
	if _, err := os.Stat(c.Dir.Cancelled()); err == nil {
		w.event("skipped", "the run was cancelled")
		return Done, nil
	}
	if err := w.claim(); errors.Is(err, fsx.ErrTaken) {
		// The first execution's numbering of events is not known here, so this one stands outside of it.
		w.events = -1
		w.event("restart", err.Error())
		return Refused, fmt.Errorf("%s was started before and is left to its first execution: %w", a.Job, err)
	} else if err != nil {
		return Broken, err
	}
	supervisor, err := proc.Supervise(w.mark)
	if err != nil {
		return Broken, err
	}
	w.supervisor = supervisor

	ctx, cancel := stoppable(ctx, c.Stop)
	defer cancel()
	return w.finish(ctx, w.do(ctx))
}

// do runs the assignment; its error says how the attempt ended (see conclude).
func (w *work) do(ctx context.Context) error {
	switch w.a.Kind {
	case record.KindProbe:
		return w.probe(ctx)
	case record.KindCell:
		return w.cell(ctx)
	case record.KindProfile:
		return w.profile(ctx)
	}
	return fmt.Errorf("assignment of an unknown kind %q", w.a.Kind)
}

// stopError is the reason of a context that ended because the job was told to.
type stopError struct{ cause record.Cause }

func (e *stopError) Error() string {
	if e.cause == record.CauseTimeLimit {
		return "the job's time limit is near"
	}
	return "the job was told to stop"
}

func stoppable(ctx context.Context, stop <-chan record.Cause) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case cause := <-stop:
			cancel(&stopError{cause})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// ending is how an attempt ended, where it is neither plainly done nor a server's failure.
type ending struct {
	outcome record.Outcome
	cause   record.Cause
	message string
}

func (e *ending) Error() string { return e.message }

// conclude turns the error of an attempt into its outcome. A stop comes before everything else: once a job is being ended, its
// processes fail in ways that say nothing about the cell.
func conclude(ctx context.Context, err error) ending {
	var end *ending
	var failure *vllm.Failure
	var stop *stopError
	switch {
	case err == nil:
		return ending{outcome: record.OutcomeDone}
	case ctx.Err() != nil:
		if !errors.As(context.Cause(ctx), &stop) {
			stop = &stopError{record.CauseStopped}
		}
		return ending{record.OutcomeContinue, stop.cause, stop.Error()}
	case errors.As(err, &end):
		return *end
	case errors.As(err, &failure):
		return ending{record.OutcomeFailed, failure.Cause, failure.Message}
	}
	return ending{record.OutcomeFailed, record.CauseAgent, err.Error()}
}

// finish publishes the result. An error of the agent itself is returned beside it, for the job's log.
func (w *work) finish(ctx context.Context, err error) (Code, error) {
	end := conclude(ctx, err)
	r := &w.result
	r.Outcome, r.Cause, r.Message = end.outcome, end.cause, w.redact(end.message)
	r.Ended, r.Ledger, r.Complete = w.c.Now(), w.ledger.close(), true
	if perr := fsx.PublishJSON(w.dir.Result(), r); perr != nil {
		return Broken, errors.Join(err, perr)
	}
	w.event("result", fmt.Sprintf("%s %s", r.Outcome, r.Cause))
	w.say("%s", line(string(r.Outcome), string(r.Cause), r.Message))
	switch {
	case r.Cause == record.CauseAgent:
		return Broken, err
	case r.Outcome == record.OutcomeFailed:
		return Failed, nil
	case r.Cause == record.CauseTimeLimit || r.Cause == record.CauseStopped:
		return Stopped, nil
	case r.Kind == record.KindProbe && r.Outcome != record.OutcomeDone:
		return Stopped, nil
	}
	return Done, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(vllm.Loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// probed is the newest result of the probe: a done one, if there is any. found is false when no attempt left a result.
func probed(dir record.Dir) (newest record.Result, found bool) {
	paths, err := filepath.Glob(filepath.Join(dir.Work(record.KindProbe, ""), "*", "result.json"))
	if err != nil { // only a malformed pattern: a run directory with brackets in its name
		return newest, false
	}
	for _, path := range paths {
		var r record.Result
		if err := fsx.ReadJSON(path, &r); err != nil || !r.Complete {
			continue
		}
		better := r.Outcome == record.OutcomeDone || newest.Outcome != record.OutcomeDone
		if !found || better && (r.Attempt > newest.Attempt || newest.Outcome != record.OutcomeDone && r.Outcome == record.OutcomeDone) {
			newest, found = r, true
		}
	}
	return newest, found
}
