package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is what to start.
type Spec struct {
	Argv   []string
	Env    []string  // nil: the caller's
	Dir    string    // "": the caller's
	Stdin  io.Reader // nil: /dev/null
	Stdout io.Writer
	Stderr io.Writer

	// Mark is the token of the attempt that the process and all its descendants belong to; "" marks nothing.
	Mark string
	// Session puts the process into a session of its own, away from any terminal; without it, into a process group of its own.
	Session bool
	// DieWithCaller has the kernel send SIGTERM to the process (not to its children) when the caller dies, even by SIGKILL.
	DieWithCaller bool
}

// pipeDelay bounds how long output is read after the process has ended, when a descendant has inherited its pipes.
const pipeDelay = 5 * time.Second

// killDelay bounds how long Stop and the sweeps wait for a SIGKILL to take effect: only the kernel can delay it.
const killDelay = 10 * time.Second

// pause between two looks at the process table.
const pause = 20 * time.Millisecond

// Process is a child with a process group of its own. Its methods may be called from any goroutine.
type Process struct {
	id   Identity
	exit Exit
	done chan struct{}
}

// Exit is how a process ended: with a code, or by a signal. Code -1: not known, as when the caller inherited an ignored SIGCHLD.
type Exit struct {
	Code   int
	Signal syscall.Signal
}

// OK reports whether the process ended by itself with code 0.
func (e Exit) OK() bool { return e == Exit{} }

// String is "code:signal", as schedulers write it.
func (e Exit) String() string { return fmt.Sprintf("%d:%d", e.Code, int(e.Signal)) }

// Start starts a process. A context is not taken: ending a process takes steps and time, which is what Stop is for.
func Start(s Spec) (*Process, error) {
	if len(s.Argv) == 0 {
		return nil, errors.New("start a process: no command")
	}
	if err := able(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Argv[0], err)
	}
	cmd := exec.Command(s.Argv[0], s.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Dir, s.Env, s.Stdin, s.Stdout, s.Stderr
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	if s.Mark != "" {
		cmd.Env = marked(cmd.Env, s.Mark)
	}
	cmd.WaitDelay = pipeDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !s.Session, Setsid: s.Session}
	if s.DieWithCaller {
		dieWithCaller(cmd.SysProcAttr)
	}
	p := &Process{done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(cmd, s.DieWithCaller, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Argv[0], err)
	}
	return p, nil
}

// run starts and awaits the command on one goroutine. For the kernel the "caller" of DieWithCaller is the thread that forked,
// and Go ends idle threads, so that thread is kept until the child has ended.
func (p *Process) run(cmd *exec.Cmd, dieWithCaller bool, started chan<- error) {
	if dieWithCaller {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
	}
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	// Until Wait the child is at least a zombie, so its identity can be read.
	id, err := Of(cmd.Process.Pid)
	if err != nil {
		_, _ = cmd.Process.Kill(), cmd.Wait()
		started <- err
		return
	}
	p.id = id
	started <- nil
	// Wait's error repeats the exit status, or tells of a pipe that a descendant kept open.
	_ = cmd.Wait()
	p.exit = exitOf(cmd.ProcessState)
	close(p.done)
}

func exitOf(state *os.ProcessState) Exit {
	if state == nil {
		return Exit{Code: -1}
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return Exit{Signal: status.Signal()}
	}
	return Exit{Code: state.ExitCode()}
}

// Identity of the child, also after its end.
func (p *Process) Identity() Identity { return p.id }

// Done is closed when the child (not necessarily its group) has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the child and says how it ended.
func (p *Process) Wait() Exit {
	<-p.done
	return p.exit
}

// Signal sends sig to the child alone; os.ErrProcessDone when it has ended.
func (p *Process) Signal(sig syscall.Signal) error { return p.id.Signal(sig) }

// SignalGroup sends sig to everything in the child's group, which may outlive the child; os.ErrProcessDone when it is empty.
func (p *Process) SignalGroup(sig syscall.Signal) error {
	alive, err := p.groupAlive()
	if err != nil {
		return err
	}
	if !alive {
		return os.ErrProcessDone
	}
	return gone(unix.Kill(-p.id.PID, sig))
}

// groupAlive looks for living members. Linux does not give the child's number to a new process while a group bears it; so when
// another process has the number, the group has ended.
func (p *Process) groupAlive() (bool, error) {
	all, err := table()
	if err != nil {
		return false, err
	}
	alive := false
	for _, e := range all {
		if e.pid == p.id.PID && e.start != p.id.StartTicks {
			return false, nil
		}
		alive = alive || e.group == p.id.PID && !e.dead()
	}
	return alive, nil
}

// Stop ends the child's whole group: SIGTERM, up to grace for it to end, SIGKILL. The end of ctx cuts the grace short, it does
// not leave the group alive. An error means that something is still there.
func (p *Process) Stop(ctx context.Context, grace time.Duration) (Exit, error) {
	if err := p.endGroup(ctx, syscall.SIGTERM, grace); err != nil {
		if err := p.endGroup(context.WithoutCancel(ctx), syscall.SIGKILL, killDelay); err != nil {
			return Exit{}, fmt.Errorf("stop process group %d: %w", p.id.PID, err)
		}
	}
	return p.Wait(), nil
}

var errLingers = errors.New("it does not end")

func (p *Process) endGroup(ctx context.Context, sig syscall.Signal, patience time.Duration) error {
	if err := p.SignalGroup(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		switch alive, err := p.groupAlive(); {
		case err != nil:
			return err
		case !alive:
			return nil
		}
		select {
		case <-ctx.Done():
			return errLingers
		case <-time.After(pause):
		}
	}
}
