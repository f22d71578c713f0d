// Package serving is one vLLM server on this node, from its start to its end: a process that is healthy and provably the one that
// was started, empty between two loads, and gone afterwards with everything that belongs to it. It says why a server ended, and
// waits for the trace of one with a profiler. It books no time and measures nothing.
package serving

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

const (
	healthEvery = 250 * time.Millisecond
	idleEvery   = 50 * time.Millisecond
	// hurry is a server's grace when the job is being ended: schedulers kill after some 30 s, and the result must be out by then.
	hurry = 8 * time.Second
	// dyingTime bounds the wait for a server that stopped answering to be gone.
	dyingTime = 10 * time.Second
	// socketPath is the most that a Unix socket's address holds, with a margin.
	socketPath = 100
)

// Host is what a server needs of the attempt that it is started for.
type Host struct {
	Env        []string
	Dir        string // the server's working directory
	Mark       string
	Supervisor *proc.Supervisor
	LogMode    os.FileMode
	Now        func() time.Time
	Port       func() (int, error) // a free loopback port
	Grace      time.Duration       // for a server to end by itself
	Drain      time.Duration       // for a server to become idle between two loads
	Say        func(format string, args ...any)
	Secret     func(string) // is told the key, so that it can be kept out of records
	Redact     func(string) string
}

// Server is one server process.
type Server struct {
	API       *vllm.API
	Port      int
	Socket    string // its Unix socket, where it listens at one instead of the port
	Key       string
	Version   string
	TimeScale float64 // virtual seconds a real one, of a simulator; 1 of a server of this world

	host    Host
	serve   vllm.Serve
	process *proc.Process
	logPath string
	logFrom int64 // where this start begins in its log
	began   time.Time
	healthy bool
	stopped bool
	// alive ends with the process, and with the context that the server was started under.
	alive context.Context
	let   context.CancelCauseFunc
}

// errEnded is the cause of Server.alive's end when the process ended by itself.
var errEnded = errors.New("the server has ended")

// Launch starts the process of a server. With uds it listens at a Unix socket in a folder that only this user can enter, else at a
// free loopback port. A *vllm.Failure says that the command itself cannot be started.
func Launch(ctx context.Context, h Host, serve vllm.Serve, uds bool, logPath string) (s *Server, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s = &Server{host: h, logPath: logPath, Key: rand.Text(), TimeScale: 1}
	h.Secret(s.Key)
	if uds {
		folder, err := socketFolder()
		if err != nil {
			return nil, err
		}
		s.Socket = filepath.Join(folder, "s")
		s.API = vllm.NewAPIAt(s.Socket, s.Key)
	} else {
		if s.Port, err = h.Port(); err != nil {
			return nil, err
		}
		s.API = vllm.NewAPI(s.Port, s.Key)
	}
	serve.Port, serve.Socket = s.Port, s.Socket
	s.serve = serve
	meeting, err := s.meeting()
	if err != nil {
		s.removeSocket()
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, h.LogMode)
	if err != nil {
		s.removeSocket()
		return nil, err
	}
	defer log.Close() // the process has its own
	if s.logFrom, err = log.Seek(0, io.SeekEnd); err != nil {
		s.removeSocket()
		return nil, err
	}
	s.began = h.Now()
	s.process, err = proc.Start(proc.Spec{
		Argv: serve.Argv(), Env: slices.Concat(h.Env, serve.Env(s.Key), meeting), Dir: h.Dir,
		Stdout: log, Stderr: log, Mark: h.Mark, DieWithCaller: true,
	})
	if err != nil {
		s.removeSocket()
		// The command is not there or not executable: what the user wrote cannot be started, now or later.
		return nil, &vllm.Failure{Cause: record.CauseFlags, Message: err.Error()}
	}
	s.alive, s.let = context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.process.Done():
			s.let(errEnded)
		case <-s.alive.Done():
		}
	}()
	return s, nil
}

// socketFolder is fresh and short: a socket's address has room for some hundred bytes, and a temporary directory of a site may
// be longer.
func socketFolder() (string, error) {
	dir, err := os.MkdirTemp("", "vt-")
	if err == nil && len(dir) < socketPath {
		return dir, nil
	}
	if err == nil {
		os.Remove(dir)
	}
	dir, err = os.MkdirTemp("/tmp", "vt-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the server's socket: %w", err)
	}
	return dir, nil
}

func (s *Server) removeSocket() {
	if s.Socket == "" {
		return
	}
	if err := os.RemoveAll(filepath.Dir(s.Socket)); err != nil {
		s.host.Say("%v", err)
	}
}

// HandTo makes another attempt of this process the one that the server belongs to.
func (s *Server) HandTo(h Host) {
	h.Secret(s.Key)
	s.host = h
}

// Alive ends with the process, and with the context that the server was started under.
func (s *Server) Alive() context.Context { return s.alive }

// Age is how long ago the server was started.
func (s *Server) Age() time.Duration { return s.host.Now().Sub(s.began) }

// Good reports whether the server became healthy and has not ended since.
func (s *Server) Good() bool { return s.healthy && !s.stopped && s.alive.Err() == nil }

// Is reports whether a start with these flags would make the same server. A profiler is not among them: one that nobody starts
// changes nothing.
func (s *Server) Is(other vllm.Serve) bool {
	mine := s.serve
	for _, v := range []*vllm.Serve{&mine, &other} {
		v.Port, v.Socket, v.Profiler = 0, "", nil
	}
	return slices.Equal(mine.Argv(), other.Argv()) && slices.Equal(mine.Env(""), other.Env(""))
}

// BecomeHealthy waits for the first good /health, the end of the process, or the end of patience, whichever is first. A
// *vllm.Failure says why the server does not serve; it is then still to be stopped.
func (s *Server) BecomeHealthy(ctx context.Context, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		if s.API.Health(s.alive) == nil {
			err := s.API.Ours(s.alive)
			if errors.Is(err, vllm.ErrForeign) {
				return &vllm.Failure{Cause: record.CausePort, Message: err.Error()}
			}
			if err == nil {
				s.healthy = true
				// A version that cannot be had is left empty.
				if v, err := s.API.Version(s.alive); err == nil {
					s.Version, s.TimeScale = v.Version, v.TimeScale
				}
				return nil
			}
		}
		select {
		case <-s.alive.Done():
			return s.ended(ctx)
		case <-deadline.C:
			return s.classify(vllm.Exit{TimedOut: true, Waited: patience, Code: -1})
		case <-tick.C:
		}
	}
}

// Describe is the server's version as a sentence has it.
func (s *Server) Describe() string {
	if s.Version == "" {
		return "it gives no version"
	}
	return "vLLM " + s.Version
}

// Settle empties the server between two loads: no request running or waiting, then nothing in the prefix cache. The script
// sleeps for five seconds instead.
func (s *Server) Settle(ctx context.Context) error {
	patience, cancel := context.WithTimeoutCause(s.alive, s.host.Drain, errors.New("it is still busy"))
	defer cancel()
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for {
		m, err := s.API.Metrics(patience)
		if err != nil && patience.Err() == nil {
			return s.Diagnose(ctx, err)
		}
		if err == nil && m.Idle() {
			break
		}
		select {
		case <-patience.Done():
			if s.alive.Err() != nil {
				return s.ended(ctx)
			}
			return &vllm.Failure{
				Cause:   record.CauseTimeout,
				Message: fmt.Sprintf("%.0f requests run and %.0f wait %v after the load", m.Running, m.Waiting, s.host.Drain),
			}
		case <-tick.C:
		}
	}
	if err := s.API.ResetPrefixCache(s.alive); err != nil {
		return s.Diagnose(ctx, &vllm.Failure{Cause: record.CauseClient, Message: err.Error()})
	}
	return nil
}

// Stop ends the server and everything that belongs to it, however little is left of it; a second call does nothing. What cannot
// be ended is told; the attempt's result stands all the same.
func (s *Server) Stop(ctx context.Context) {
	if s.stopped {
		return
	}
	s.stopped = true
	s.let(errEnded)
	s.API.Close()
	grace := s.host.Grace
	if ctx.Err() != nil {
		grace = min(grace, hurry)
	}
	ctx = context.WithoutCancel(ctx)
	s.interrupt(ctx, grace)
	if _, err := s.process.Stop(ctx, grace); err != nil {
		s.host.Say("%v", err)
	}
	s.removeSocket()
	ctx, cancel := context.WithTimeout(ctx, dyingTime)
	defer cancel()
	swept, err := s.host.Supervisor.Sweep(ctx, 0)
	if err != nil {
		s.host.Say("%v", err)
	}
	if len(swept) > 0 {
		s.host.Say("ended %d processes that had left their group", len(swept))
	}
}
