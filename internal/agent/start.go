package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/serving"
	"vtune/internal/vllm"
)

// portTries bounds how often a start is repeated because somebody else took the port between its choice and its use.
const portTries = 3

// Flags that vtune would like a server to have and can do without. Servers of other ages than it knows do not have them.
const (
	flagSocket   = "--uds"
	flagProfiler = "--profiler-config"
)

// host is what this attempt is to its servers.
func (w *work) host() serving.Host {
	return serving.Host{
		Env: w.c.Env, Dir: string(w.dir), Mark: w.mark, Supervisor: w.supervisor, LogMode: w.logMode(),
		Now: w.c.Now, Port: w.c.Port, Grace: w.c.Grace, Drain: w.c.Drain,
		Say: w.say, Redact: w.redact, Secret: func(s string) { w.secrets = append(w.secrets, s) },
	}
}

// start starts a server and waits until it is healthy. A taken port is not the cell's fault, so it costs another try.
func (w *work) start(ctx context.Context, s vllm.Serve, logPath string) (*serving.Server, error) {
	for try := 1; ; try++ {
		srv, err := w.startLean(ctx, s, logPath)
		if f := serving.AsFailure(err); try < portTries && f != nil && f.Cause == record.CausePort {
			w.say("the port was taken meanwhile, trying another")
			continue
		}
		return srv, err
	}
}

// startLean starts again without a flag that the server refuses and that can be done without, and remembers it for the attempt.
func (w *work) startLean(ctx context.Context, s vllm.Serve, logPath string) (*serving.Server, error) {
	for {
		uds := w.byUDS() && !w.lacks[flagSocket]
		if w.lacks[flagProfiler] {
			s.Profiler = nil
		}
		srv, err := w.startOnce(ctx, s, uds, logPath)
		f := serving.AsFailure(err)
		if f == nil || f.Cause != record.CauseFlags {
			return srv, err
		}
		again := false
		for flag, used := range map[string]bool{flagSocket: uds, flagProfiler: s.Profiler != nil && w.a.Kind != record.KindProfile} {
			if used && strings.Contains(f.Message, flag) {
				w.lacks[flag], again = true, true
				w.say("the server knows no %s: going on without it", flag)
			}
		}
		if !again {
			return nil, err
		}
	}
}

// byUDS: a socket in a folder of one's own can be neither taken nor reached by others, and costs a client less than TCP. The
// script's client knows ports only.
func (w *work) byUDS() bool {
	return w.a.Policy.Method == search.Vtune && w.a.Client == clientVtune && w.a.Kind != record.KindProfile
}

// startOnce is one try, recorded among the result's starts. A *vllm.Failure says why the server does not serve; then nothing
// of it is left.
func (w *work) startOnce(ctx context.Context, s vllm.Serve, uds bool, logPath string) (*serving.Server, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	defer w.spending(record.SpendStarting)()
	w.event("server-starting", fmt.Sprintf("gpu-memory-utilization %.2f", s.Utilization))
	srv, err := serving.Launch(ctx, w.host(), s, uds, logPath)
	if err == nil {
		err = srv.BecomeHealthy(ctx, seconds(w.a.Server.StartTimeoutSeconds))
	}
	start := record.Start{Utilization: s.Utilization, OK: err == nil, LogFile: w.c.Dir.Rel(logPath)}
	if srv != nil {
		start.Seconds = srv.Age().Seconds()
		if err != nil {
			w.stop(ctx, srv)
		}
	}
	f := serving.AsFailure(err)
	if f != nil {
		start.Cause, start.Message, start.Free = f.Cause, w.redact(f.Message), f.Free
	}
	if err == nil || f != nil { // anything else was not the server's doing
		w.result.Starts = append(w.result.Starts, start)
	}
	if err != nil {
		return nil, err
	}
	w.result.ServerVersion = srv.Version
	w.event("server-up", fmt.Sprintf("%.1f s", start.Seconds))
	w.say("server is up after %.1f s (%s)", start.Seconds, srv.Describe())
	return srv, nil
}

func (w *work) stop(ctx context.Context, srv *serving.Server) {
	defer w.spending(record.SpendStopping)()
	srv.Stop(ctx)
}

// settle empties the server before the next load.
func (w *work) settle(ctx context.Context, srv *serving.Server, activity string) error {
	defer w.spending(activity)()
	return srv.Settle(ctx)
}

func seconds(s float64) time.Duration {
	const otherwise = 10 * time.Minute // the script's patience
	if s <= 0 {
		return otherwise
	}
	return time.Duration(s * float64(time.Second))
}
