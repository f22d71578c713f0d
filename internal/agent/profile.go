package agent

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/vllm"
)

const (
	traceEvery = 250 * time.Millisecond
	// traceQuiet ends the wait for a trace that nobody writes any more: the client was told that it is written.
	traceQuiet = 2 * time.Minute
	// traceProgress is how often a person is told that a trace is still being written.
	traceProgress = 30 * time.Second
)

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
	trace, err := filepath.Abs(w.dir.Trace())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(trace, 0o755); err != nil {
		return err
	}
	srv, err := w.start(ctx, vllm.Serve{
		Server: w.a.Server, Cell: w.a.Cell, Utilization: utilization,
		Profiler: &vllm.Profiler{Dir: trace, Iterations: w.a.ProfileIterations, Version: version},
	}, w.dir.ServerLog())
	if err != nil {
		return err
	}
	defer srv.stop(ctx)
	w.result.ServerVersion = srv.version
	w.event("profile", "tracing "+w.a.Profile.String())
	o, err := w.observe(ctx, srv, watchedClient{c, w, trace}, *w.a.Profile, w.c.Load+w.c.Trace)
	if err != nil {
		return err
	}
	if o.Verdict == record.Invalid {
		return &ending{record.OutcomeFailed, o.Cause, o.Detail}
	}
	if err := w.awaitTrace(ctx, srv, trace); err != nil {
		return err
	}
	srv.stop(ctx) // before the files are moved: now nobody writes to them
	return w.keepTrace(trace)
}

// watchedClient tells how a trace grows while the client waits for it.
type watchedClient struct {
	client
	w     *work
	trace string
}

func (c watchedClient) Measure(ctx context.Context, t target) (measurement, error) {
	watching, cancel := context.WithCancel(ctx)
	idleSince := make(chan time.Time, 1)
	go func() { idleSince <- c.watch(watching, t.Server) }()
	m, err := c.client.Measure(ctx, t)
	cancel()
	if since := <-idleSince; m.Writing == 0 && !since.IsZero() {
		m.Writing = c.w.c.Now().Sub(since)
	}
	return m, err
}

// watch returns when the server last became idle after it had been busy: since then it writes its trace. Zero: not seen.
func (c watchedClient) watch(ctx context.Context, srv *server) (idleSince time.Time) {
	tick := time.NewTicker(traceEvery)
	defer tick.Stop()
	busy, told := false, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return idleSince
		case <-tick.C:
		}
		m, err := srv.api.Metrics(ctx)
		now := c.w.c.Now()
		switch {
		case err != nil: // a server that writes a trace may be slow to answer
		case !m.Idle():
			busy, idleSince = true, time.Time{}
		case busy && idleSince.IsZero():
			idleSince = now
		}
		if !idleSince.IsZero() && now.Sub(cmp.Or(told, idleSince)) >= traceProgress {
			told = now
			text := fmt.Sprintf("the trace is being written for %.0f s, %.1f MB so far", now.Sub(idleSince).Seconds(), size(c.trace)/1e6)
			c.w.event("profile", text)
			c.w.say("%s", text)
		}
	}
}

// awaitTrace waits until there is a trace, nothing in its folder grows, and every file can be read to its end.
func (w *work) awaitTrace(ctx context.Context, srv *server, dir string) error {
	defer w.spending(record.SpendProfile)()
	patience := time.NewTimer(w.c.Trace)
	defer patience.Stop()
	quiet := time.NewTimer(min(traceQuiet, w.c.Trace))
	defer quiet.Stop()
	tick := time.NewTicker(traceEvery)
	defer tick.Stop()
	last, checked, lacks := -1.0, -1.0, errors.New("no trace file")
	for {
		now := size(dir)
		if now != last {
			quiet.Reset(min(traceQuiet, w.c.Trace))
		} else if now != checked { // reading hundreds of megabytes once for each size is enough
			if lacks = whole(dir); lacks == nil {
				return nil
			}
			checked = now
		}
		last = now
		select {
		case <-srv.alive.Done():
			return srv.ended(ctx)
		case <-patience.C:
			return late("the trace is not complete after %v: %v", w.c.Trace, lacks)
		case <-quiet.C:
			return late("the profiler writes nothing more: %v", lacks)
		case <-tick.C:
		}
	}
}

func late(format string, args ...any) error {
	return &ending{record.OutcomeFailed, record.CauseTimeout, fmt.Sprintf(format, args...)}
}

// whole is nil when dir holds a trace and no file in it is cut short.
func whole(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	traces := 0
	for _, f := range files {
		if !strings.Contains(f.Name(), ".trace.json") {
			continue
		}
		traces++
		if err := readable(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	if traces == 0 {
		return errors.New("no trace file")
	}
	return nil
}

// readable reads a compressed file to its end, which its checksum stands at.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		return nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, z)
	return err
}

// size of the files in dir, in bytes; what cannot be read counts as nothing.
func size(dir string) float64 {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	sum := 0.0
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			sum += float64(info.Size())
		}
	}
	return sum
}

// keepTrace moves the files to the run's profile folder, under their own names: the profiler puts the time into them.
func (w *work) keepTrace(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.c.Dir.Profile(), 0o755); err != nil {
		return err
	}
	for _, f := range files {
		to := filepath.Join(w.c.Dir.Profile(), f.Name())
		if err := os.Rename(filepath.Join(dir, f.Name()), to); err != nil {
			return err
		}
		w.result.Profile = append(w.result.Profile, w.c.Dir.Rel(to))
	}
	w.say("%d trace files, %.1f MB", len(files), size(w.c.Dir.Profile())/1e6)
	return nil
}
