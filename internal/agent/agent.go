// Package agent is vtune on a compute node: it does the work of one assignment and leaves the records of it. It starts the
// server, puts load on it, asks internal/search what to do next, and publishes observations and a result.
//
// It decides nothing that search could decide, submits nothing, and never touches another attempt's files. Whatever way it
// ends, no process of its attempt may outlive it.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/hardware"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/vllm"
)

// Config of Run. Optional fields have the value behind them when they are zero.
type Config struct {
	Dir         record.Dir
	Assignment  string              // path
	Log         io.Writer           // lines of progress, for the job's log; optional
	Stop        <-chan record.Cause // time-limit or stopped: end soon and keep what there is; optional
	Env         []string            // os.Environ(): what server and load client inherit, and what the scheduler told the job
	SchedulerID string              // by Env: the id of the unit that the job belongs to, as submit records it

	Now  func() time.Time    // time.Now
	Port func() (int, error) // a free loopback port

	Grace time.Duration // 30 s: for a server to end by itself
	Drain time.Duration // 5 min: for a server to become idle between two loads
	Load  time.Duration // 1 h: for a load to end, on top of the time its arrivals take
	Trace time.Duration // 30 min: for a profiler's trace to be written, on top of its load
	Warm  time.Duration // 2 s: how long a load has gone on when the GPUs are looked at
}

// Exit codes of the agent; a dependency "after-ok" fires on diag.OK alone: done, continued by plan, or rightly skipped.
const (
	Failed  = diag.Internal   // the result says failed, or there is none because the agent itself could not work
	Refused = diag.Busy       // a restarted or duplicated job: this attempt was begun before, nothing of it was touched
	Stopped = diag.Unfinished // the result says continue: cut off by a time limit or a request to stop
)

func (c *Config) setDefaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Port == nil {
		c.Port = freePort
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.SchedulerID == "" {
		c.SchedulerID = schedulerID(c.Env)
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{{&c.Grace, 30 * time.Second}, {&c.Drain, 5 * time.Minute}, {&c.Load, time.Hour}, {&c.Trace, 30 * time.Minute}, {&c.Warm, 2 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
}

// schedulerID is the unit's id in each scheduler's own variable; the task of an array is not in it, since the unit is what was
// submitted.
func schedulerID(env []string) string {
	return cmp.Or(lookup(env, "SLURM_ARRAY_JOB_ID"), lookup(env, "SLURM_JOB_ID"), lookup(env, "VTUNE_LOCAL_JOB"))
}

// Mark is the token that every process of a job's attempt bears; proc.SweepMarked finds them by it. The run directory is in it
// because run ids are unique in one base directory only; a comma would end a token.
func Mark(dir record.Dir, job string) string {
	return strings.ReplaceAll(string(dir)+":"+job, ",", ";")
}

// Run does the work of one assignment. The calling process becomes the supervisor of all it starts, for the rest of its life.
// The exit code is one of the above; an error comes with it when there is more to say than a result does.
func Run(ctx context.Context, c Config) (diag.Code, error) {
	c.setDefaults()
	var a record.Assignment
	if err := fsx.ReadJSON(c.Assignment, &a); err != nil {
		return Failed, fmt.Errorf("assignment: %w", err)
	}
	w := newWork(c, a, Mark(c.Dir, a.Job))
	if _, err := os.Stat(c.Dir.Cancelled()); err == nil {
		w.say("skipped: the run was cancelled")
		w.event("skipped", "the run was cancelled")
		return diag.OK, nil
	}
	if err := w.claim(ctx); errors.Is(err, fsx.ErrTaken) {
		w.restarted()
		return Refused, fmt.Errorf("%s was begun before, and a job's work is done once: %w", a.Job, err)
	} else if err != nil {
		return Failed, err
	}
	ctx, cancel := stoppable(ctx, c.Stop)
	defer cancel()
	code, err := w.finish(conclude(ctx, w.supervised(ctx)))
	// The job's end is the probe's: what depends on it shall not wait for how its riders fare.
	w.carry(ctx, err == nil)
	return code, err
}

func (w *work) supervised(ctx context.Context) (err error) {
	if w.supervisor, err = proc.Supervise(w.mark); err != nil {
		return err
	}
	return w.do(ctx)
}

// do runs the assignment; its error says how the attempt ended (see conclude).
func (w *work) do(ctx context.Context) error {
	switch {
	case w.a.GPUs > 0 && !hardware.Given(w.c.Env):
		return &ending{record.OutcomeFailed, record.CauseLaunch, hardware.NotGiven}
	case w.a.Kind == record.KindProbe:
		return w.probe(ctx)
	case w.a.Kind == record.KindCell && w.a.Policy.Method == search.Vtune:
		return w.tune(ctx)
	case w.a.Kind == record.KindCell:
		return w.cell(ctx)
	case w.a.Kind == record.KindProfile:
		return w.profile(ctx)
	}
	return fmt.Errorf("an assignment of unknown kind %q", w.a.Kind)
}

// stopError is the reason of a context that ended because the job was told to end.
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

// ending is how an attempt ended. As an error it carries an ending that is neither plainly done nor a server's failure.
type ending struct {
	outcome record.Outcome
	cause   record.Cause
	message string
}

func (e *ending) Error() string { return e.message }

// conclude turns the error of an attempt into its ending. A stop comes before everything else: once a job is being ended, its
// processes fail in ways that say nothing about the cell.
func conclude(ctx context.Context, err error) ending {
	var end *ending
	var failure *vllm.Failure
	var stop *stopError
	switch {
	case err == nil:
		return ending{outcome: record.OutcomeDone}
	case errors.As(err, &end) && end.outcome == record.OutcomeDone: // and has something to say
		return *end
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

// finish publishes the result and turns it into the agent's exit code.
func (w *work) finish(end ending) (diag.Code, error) {
	message := w.redact(end.message)
	r := &w.result
	r.Outcome, r.Cause, r.Message = end.outcome, end.cause, message
	r.Ended = w.c.Now()
	r.Ledger = w.ledger.Close(r.Ended)
	r.Complete = true
	w.say("%s", strings.Join(slices.DeleteFunc([]string{string(r.Outcome), string(r.Cause), message}, blank), ": "))
	if err := fsx.PublishJSON(w.dir.Result(), r); err != nil {
		return Failed, err
	}
	w.event("result", string(r.Outcome)+" "+string(r.Cause))
	switch {
	case r.Outcome == record.OutcomeFailed:
		return Failed, nil
	case r.Cause == record.CauseTimeLimit || r.Cause == record.CauseStopped:
		return Stopped, nil
	}
	return diag.OK, nil
}

func blank(s string) bool { return s == "" }

func freePort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(vllm.Loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("look for a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
