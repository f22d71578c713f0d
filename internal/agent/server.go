package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

const (
	healthEvery = 250 * time.Millisecond
	idleEvery   = 50 * time.Millisecond
	// portTries bounds how often a start is repeated because somebody else took the port between its choice and its use.
	portTries = 3
	// hurry is a server's grace when the job is being ended: schedulers kill after some 30 s, and the result must be out by then.
	hurry = 8 * time.Second
	// signalSpread bounds the wait for this process's own signal, when another of the job ended as if it had got one.
	signalSpread = 2 * time.Second
	// dyingTime bounds the wait for a server that stopped answering to be gone.
	dyingTime = 10 * time.Second
	// logTail is how much of a server's log is searched for the cause of its end.
	logTail = 1 << 20
)

// server is one running server.
type server struct {
	w       *work
	process *proc.Process
	api     *vllm.API
	port    int
	key     string
	logPath string
	logFrom int64 // where this start begins in its log
	began   time.Time
	healthy bool
	stopped bool
	version string
	// alive ends with the process, and with the context that the server was started under.
	alive context.Context
	let   context.CancelCauseFunc
}

// errEnded is the cause of server.alive's end when the process ended by itself.
var errEnded = errors.New("the server has ended")

// start starts a server and waits until it is healthy. A taken port is not the cell's fault, so it costs another try.
func (w *work) start(ctx context.Context, s vllm.Serve, logPath string) (*server, error) {
	for try := 1; ; try++ {
		srv, err := w.startOnce(ctx, s, logPath)
		if f := asFailure(err); try < portTries && f != nil && f.Cause == record.CausePort {
			w.say("the port was taken meanwhile, trying another")
			continue
		}
		return srv, err
	}
}

// startOnce is one try, recorded among the result's starts. A *vllm.Failure says why the server does not serve; then nothing
// of it is left.
func (w *work) startOnce(ctx context.Context, s vllm.Serve, logPath string) (*server, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	defer w.spending(record.SpendStarting)()
	port, err := w.c.Port()
	if err != nil {
		return nil, err
	}
	s.Port = port
	srv, err := w.launch(ctx, s, logPath)
	if err == nil {
		err = srv.becomeHealthy(ctx, seconds(w.a.Server.StartTimeoutSeconds))
	}
	start := record.Start{Utilization: s.Utilization, OK: err == nil, LogFile: w.c.Dir.Rel(logPath)}
	if srv != nil {
		start.Seconds = w.c.Now().Sub(srv.began).Seconds()
		if err != nil {
			srv.stop(ctx)
		}
	}
	f := asFailure(err)
	if f != nil {
		start.Cause, start.Message = f.Cause, w.redact(f.Message)
	}
	if err == nil || f != nil { // anything else was not the server's doing
		w.result.Starts = append(w.result.Starts, start)
	}
	if err != nil {
		return nil, err
	}
	w.event("server-up", fmt.Sprintf("%.1f s", start.Seconds))
	w.say("server is up after %.1f s (%s)", start.Seconds, srv.describe())
	return srv, nil
}

func (w *work) launch(ctx context.Context, s vllm.Serve, logPath string) (*server, error) {
	log, err := os.OpenFile(logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, w.logMode())
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	key := rand.Text()
	w.secrets = append(w.secrets, key)
	w.event("server-starting", fmt.Sprintf("gpu-memory-utilization %.2f", s.Utilization))
	srv := &server{w: w, port: s.Port, key: key, logPath: logPath, logFrom: from, began: w.c.Now(), api: vllm.NewAPI(s.Port, key)}
	srv.process, err = proc.Start(proc.Spec{
		Argv: s.Argv(), Env: slices.Concat(w.c.Env, s.Env(key)), Dir: string(w.dir),
		Stdout: log, Stderr: log, Mark: w.mark, DieWithCaller: true,
	})
	if err != nil {
		// The command is not there or not executable: what the user wrote cannot be started, now or later.
		return nil, &vllm.Failure{Cause: record.CauseFlags, Message: err.Error()}
	}
	srv.alive, srv.let = context.WithCancelCause(ctx)
	go func() {
		select {
		case <-srv.process.Done():
			srv.let(errEnded)
		case <-srv.alive.Done():
		}
	}()
	return srv, nil
}

// becomeHealthy waits for the first good /health, the end of the process, or the end of patience, whichever is first.
func (s *server) becomeHealthy(ctx context.Context, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		if s.api.Health(s.alive) == nil {
			err := s.api.Ours(s.alive)
			if errors.Is(err, vllm.ErrForeign) {
				return &vllm.Failure{Cause: record.CausePort, Message: err.Error()}
			}
			if err == nil {
				s.healthy = true
				s.version, _ = s.api.Version(s.alive) // one that cannot be had is left empty
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

// ended says why server.alive is over: the attempt's end, or else a *vllm.Failure. A scheduler signals a whole job at once, and
// the server may be quicker than this process; so an end that looks like obedience waits a moment for the order.
func (s *server) ended(ctx context.Context) error {
	select {
	case <-s.process.Done():
	default:
		return context.Cause(ctx)
	}
	exit := s.process.Wait()
	if obedient(exit) && ordered(ctx) {
		return context.Cause(ctx)
	}
	e := vllm.Exit{Healthy: s.healthy, Waited: s.w.c.Now().Sub(s.began), Code: exit.Code}
	if exit.Signal != 0 {
		e.Code, e.Signal = -1, signalName(exit.Signal)
	}
	return s.classify(e)
}

// obedient reports whether a process ended as it would on a scheduler's signal. SIGUSR2 is a warning to this process, but it
// ends those that do not know it.
func obedient(e proc.Exit) bool {
	signal := e.Signal
	if signal == 0 && e.Code > 128 { // as a shell reports its child's end
		signal = syscall.Signal(e.Code - 128)
	}
	return e.OK() || slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}, signal)
}

func ordered(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(signalSpread):
		return false
	}
}

func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGSEGV: "SIGSEGV",
		syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGHUP: "SIGHUP",
	}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("signal %d (%s)", int(s), s)
}

func (s *server) classify(e vllm.Exit) *vllm.Failure {
	log, err := tail(s.logPath, s.logFrom)
	if err != nil {
		log = []byte(err.Error())
	}
	e.Log = log
	f := vllm.Classify(e)
	f.Message = s.w.redact(f.Message)
	return f
}

// asFailure is err as a server's failure, or nil.
func asFailure(err error) *vllm.Failure {
	var f *vllm.Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// diagnose is asked when something that a good server does failed. It returns err if the server is well all the same, and
// otherwise why it is not.
func (s *server) diagnose(ctx context.Context, err error) error {
	health := s.api.Health(s.alive)
	if health == nil {
		return err
	}
	select {
	case <-s.alive.Done():
		return s.ended(ctx)
	case <-time.After(dyingTime):
	}
	// The engine is dead or hangs, and the process that should have noticed lives on.
	if f := s.classify(vllm.Exit{Healthy: true, Code: -1}); f.Cause == record.CauseOOM {
		return f
	}
	return &vllm.Failure{Cause: record.CauseCrash, Message: fmt.Sprintf("the server no longer answers: %v", health)}
}

// settle empties the server between two loads: no request running or waiting, then nothing in the prefix cache. The script
// sleeps for five seconds instead.
func (s *server) settle(ctx context.Context) error {
	defer s.w.spending(record.SpendWaiting)()
	patience, cancel := context.WithTimeoutCause(s.alive, s.w.c.Drain, errors.New("it is still busy"))
	defer cancel()
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for {
		m, err := s.api.Metrics(patience)
		if err != nil && patience.Err() == nil {
			return s.diagnose(ctx, err)
		}
		if err == nil && m.Idle() {
			break
		}
		select {
		case <-patience.Done():
			if s.alive.Err() != nil {
				return s.ended(ctx)
			}
			return &vllm.Failure{Cause: record.CauseTimeout,
				Message: fmt.Sprintf("%.0f requests run and %.0f wait %v after the load", m.Running, m.Waiting, s.w.c.Drain)}
		case <-tick.C:
		}
	}
	if err := s.api.ResetPrefixCache(s.alive); err != nil {
		return s.diagnose(ctx, &vllm.Failure{Cause: record.CauseClient, Message: err.Error()})
	}
	return nil
}

// stop ends the server and everything that belongs to it, however little is left of it; a second call does nothing. What cannot
// be ended is told; the attempt's result stands all the same.
func (s *server) stop(ctx context.Context) {
	if s.stopped {
		return
	}
	s.stopped = true
	defer s.w.spending(record.SpendStopping)()
	s.let(errEnded)
	s.api.Close()
	grace := s.w.c.Grace
	if ctx.Err() != nil {
		grace = min(grace, hurry)
	}
	ctx = context.WithoutCancel(ctx)
	if _, err := s.process.Stop(ctx, grace); err != nil {
		s.w.say("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, dyingTime)
	defer cancel()
	swept, err := s.w.supervisor.Sweep(ctx, 0)
	if err != nil {
		s.w.say("%v", err)
	}
	if len(swept) > 0 {
		s.w.say("ended %d processes that had left their group", len(swept))
	}
}

func (s *server) describe() string {
	if s.version == "" {
		return "it gives no version"
	}
	return "vLLM " + s.version
}

// tail is the end of a file, from no earlier than offset from.
func tail(path string, from int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(max(from, end-logTail), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, logTail))
}

func seconds(s float64) time.Duration {
	const otherwise = 10 * time.Minute // the script's patience
	if s <= 0 {
		return otherwise
	}
	return time.Duration(s * float64(time.Second))
}
