package serving

import (
	"context"
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
	// signalSpread bounds the wait for this process's own signal, when another of the job ended as if it had got one.
	signalSpread = 2 * time.Second
	// logTail is how much of a server's log is searched for the cause of its end.
	logTail = 1 << 20
)

// ended says why Server.alive is over: the attempt's end, or else a *vllm.Failure. A scheduler signals a whole job at once, and
// the server may be quicker than this process; so an end that looks like obedience waits a moment for the order.
func (s *Server) ended(ctx context.Context) error {
	select {
	case <-s.process.Done():
	default:
		return context.Cause(ctx)
	}
	exit := s.process.Wait()
	if Obedient(ctx, exit) {
		return context.Cause(ctx)
	}
	e := vllm.Exit{Healthy: s.healthy, Waited: s.host.Now().Sub(s.began), Code: exit.Code}
	if exit.Signal != 0 {
		e.Code, e.Signal = -1, SignalName(exit.Signal)
	}
	return s.classify(e)
}

// Obedient reports whether a process of a job that is being ended did what it was told. SIGUSR2 is a warning to this process,
// but it ends those that do not know it.
func Obedient(ctx context.Context, e proc.Exit) bool {
	signal := e.Signal
	if signal == 0 && e.Code > 128 { // as a shell reports its child's end
		signal = syscall.Signal(e.Code - 128)
	}
	told := slices.Contains([]syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}, signal)
	if !e.OK() && !told {
		return false
	}
	select {
	case <-ctx.Done():
		return true
	case <-time.After(signalSpread):
		return false
	}
}

// SignalName is a signal as people write it.
func SignalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGSEGV: "SIGSEGV",
		syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGHUP: "SIGHUP",
	}
	if name, ok := names[s]; ok {
		return name
	}
	return fmt.Sprintf("signal %d (%s)", int(s), s)
}

func (s *Server) classify(e vllm.Exit) *vllm.Failure {
	log, err := Tail(s.logPath, s.logFrom)
	if err != nil {
		log = []byte(err.Error())
	}
	e.Log = log
	f := vllm.Classify(e)
	f.Message = s.host.Redact(f.Message)
	return f
}

// AsFailure is err as a server's failure, or nil.
func AsFailure(err error) *vllm.Failure {
	var f *vllm.Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}

// Diagnose is asked when something that a good server does failed. It returns err if the server is well all the same, and
// otherwise why it is not.
func (s *Server) Diagnose(ctx context.Context, err error) error {
	health := s.API.Health(s.alive)
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

// Tail is the end of a file, from no earlier than offset from.
func Tail(path string, from int64) ([]byte, error) {
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
