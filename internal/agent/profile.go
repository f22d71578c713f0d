package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"vtune/internal/client"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/serving"
	"vtune/internal/vllm"
)

// tracedSteps bound the trace of a cell's own server where the assignment does not: it must not cost what the search saved.
const tracedSteps = 20

// profile puts one load on a server with its profiler on, and moves the trace to where the run keeps it. Writing it takes
// minutes, so it comes last in the server's life and is waited for.
func (w *work) profile(ctx context.Context) error {
	if w.a.Profile == nil {
		return errors.New("an assignment to profile without a load")
	}
	utilization, version, err := w.utilization()
	if err != nil {
		return err
	}
	c, err := w.client()
	if err != nil {
		return err
	}
	profiler, err := w.profiler(version, w.a.ProfileIterations)
	if err != nil {
		return err
	}
	srv, err := w.start(ctx, vllm.Serve{Server: w.a.Server, Cell: w.a.Cell, Utilization: utilization, Profiler: profiler}, w.dir.ServerLog())
	if err != nil {
		return err
	}
	defer w.stop(ctx, srv)
	w.event("profile", "tracing "+w.a.Profile.String())
	o := record.Observation{Cell: w.a.Cell.ID, Load: *w.a.Profile, Seed: w.a.Seed}
	if o, err = w.observe(ctx, srv, w.traced(c), o, w.c.Load+w.c.Trace); err != nil {
		return err
	}
	if o.Verdict == record.Invalid {
		return &ending{record.OutcomeFailed, o.Cause, o.Detail}
	}
	if err := w.awaitTrace(ctx, srv); err != nil {
		return err
	}
	w.stop(ctx, srv) // before the files are moved: now nobody writes to them
	return w.keepTrace(srv.TraceDir())
}

// profiler writes to the attempt's folder of traces, which is made here.
func (w *work) profiler(version string, iterations int) (*vllm.Profiler, error) {
	dir, err := filepath.Abs(w.dir.Trace())
	if err != nil {
		return nil, err
	}
	if w.a.Kind != record.KindProfile {
		iterations = cmp.Or(iterations, tracedSteps)
	}
	return &vllm.Profiler{Dir: dir, Iterations: iterations, Version: version}, os.MkdirAll(dir, 0o755)
}

func (w *work) awaitTrace(ctx context.Context, srv *serving.Server) error {
	defer w.spending(record.SpendProfile)()
	return srv.AwaitTrace(ctx, w.c.Trace)
}

// traceWinner has the server of a cell that is the best so far trace a load, as its last act. The files stay with the attempt.
// Whatever goes wrong with it is told, and spoils nothing: the cell's answer is there.
func (t *tuning) traceWinner(ctx context.Context, native search.Decision) {
	w := t.w
	if !w.a.TraceWinner || native.Action != search.Accept || t.srv == nil || t.client.IDs == nil || !t.leads(*native.Best) {
		return
	}
	err := t.trace(ctx, native.Best.Load.Rate)
	switch {
	case err != nil && ctx.Err() != nil:
		t.notes = append(t.notes, "no trace: "+context.Cause(ctx).Error())
	case err != nil:
		t.notes = append(t.notes, "no trace: "+err.Error())
		w.say("no trace: %v", err)
	}
}

func (t *tuning) trace(ctx context.Context, rate record.Rate) error {
	w, srv := t.w, t.srv
	if srv.TraceDir() == "" {
		return errors.New("the server has no profiler")
	}
	if err := w.settle(ctx, srv, record.SpendDraining); err != nil {
		return err
	}
	l := record.Load{Rate: rate, Requests: w.a.Policy.RateRequests}
	if w.a.Server.System == "TPU" {
		l.Requests = min(l.Requests, tracedSteps) // its profiler counts no steps: the trace is as long as its load
	}
	target := w.target(srv, w.result.Observations+1, l, w.a.Seed)
	target.Profile = true
	w.event("profile", "tracing "+l.String())
	m, err := w.measure(srv, w.traced(t.client), target, w.c.Load+w.c.Trace+w.arrivals(l))
	switch {
	case err != nil:
		return err
	case m.Metrics.Failed > 0:
		return fmt.Errorf("%d requests of its load failed: %s", m.Metrics.Failed, m.Note)
	}
	if err := w.awaitTrace(ctx, srv); err != nil {
		return err
	}
	w.stop(ctx, srv) // now nobody writes to them
	files, err := serving.Traces(srv.TraceDir())
	if err != nil {
		return err
	}
	for _, f := range files {
		w.result.Profile = append(w.result.Profile, w.c.Dir.Rel(filepath.Join(srv.TraceDir(), f)))
	}
	w.say("%d trace files, %.1f MB", len(files), serving.Size(srv.TraceDir())/1e6)
	return nil
}

// traced is a client whose load the server traces: the wait for the trace is told as it grows.
func (w *work) traced(c measurer) client.Traced {
	return client.Traced{Client: c, Now: w.c.Now, Tell: func(text string) {
		w.event("profile", text)
		w.say("%s", text)
	}}
}

// keepTrace moves the files to the run's profile folder.
func (w *work) keepTrace(dir string) error {
	size := serving.Size(dir)
	files, err := serving.Keep(dir, w.c.Dir.Profile())
	for _, f := range files {
		w.result.Profile = append(w.result.Profile, w.c.Dir.Rel(f))
	}
	w.say("%d trace files, %.1f MB", len(files), size/1e6)
	return err
}
