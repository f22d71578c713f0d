package local

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/jobs"
)

const patience = 60 * time.Second

// TestMain lets the test binary be the program with the hidden commands.
func TestMain(m *testing.M) {
	if is, err := hidden(os.Args[1:]); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// A process under the race detector sleeps for a second before it exits.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// hidden runs one of the hidden commands, as the vtune program does.
func hidden(args []string) (is bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	switch {
	case len(args) == 2 && args[0] == DaemonCommand:
		me, err := os.Executable()
		if err != nil {
			return true, err
		}
		return true, Daemon(ctx, args[1], []string{me})
	case len(args) == 3 && args[0] == RunnerCommand:
		id, err := strconv.Atoi(args[2])
		if err != nil {
			return true, err
		}
		return true, RunJob(ctx, args[1], id)
	}
	return false, nil
}

// pool is a scheduler under test, and a directory where its jobs meet.
type pool struct {
	*testing.T
	*Scheduler
	dir   string // work directory of all jobs
	after map[string]jobs.Handle
}

func newPool(t *testing.T, slots int, grace time.Duration) *pool {
	t.Helper()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return poolOf(t, slots, grace, me)
}

func poolOf(t *testing.T, slots int, grace time.Duration, program ...string) *pool {
	t.Helper()
	dir := t.TempDir()
	p := &pool{T: t, dir: dir, after: map[string]jobs.Handle{}}
	p.Scheduler = New(Config{Dir: filepath.Join(dir, "scheduler"), Program: program, Slots: slots, Grace: grace})
	t.Cleanup(func() { clear(t, filepath.Join(dir, "scheduler")) })
	return p
}

// clear ends what a test left behind. Jobs that ended must have left nothing; that is asserted, not repaired.
func clear(t *testing.T, dir string) {
	q := newQueue(folder(dir))
	if err := q.refresh(); err != nil {
		t.Error(err)
	}
	if r, err := q.dir.reign(); err != nil {
		t.Error(err)
	} else if !r.over {
		for _, j := range q.order {
			if j.exit == nil {
				_ = publishOnce(q.dir.cancel(j.id), cancel{})
			}
		}
		eventually(t, "all jobs have ended", func() bool { return q.refresh() == nil && !q.unfinished() })
		_ = r.owner.Signal(syscall.SIGTERM)
		eventually(t, "the daemon has ended", func() bool { return !r.owner.Alive() })
	}
	for _, j := range q.order {
		if j.start == nil {
			continue
		}
		if j.runner != nil && j.runner.Identity.PID != os.Getpid() {
			if j.exit == nil {
				_ = j.runner.Identity.Signal(syscall.SIGTERM)
			}
			eventually(t, "the runner has ended", func() bool { return !j.runner.Identity.Alive() })
		}
		left, err := proc.SweepMarked(context.Background(), j.start.Token, 0)
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			t.Errorf("job %d (%s) left %d processes: %v", j.id, j.request.Name, len(left), left)
		}
	}
	if t.Failed() {
		log, _ := os.ReadFile(q.dir.log())
		t.Logf("scheduler's log:\n%s", log)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// request is a single job of bash.
func (p *pool) request(name, script string) jobs.Request {
	p.Helper()
	path := filepath.Join(p.dir, name+".sh")
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+script+"\n"), 0o644); err != nil {
		p.Fatal(err)
	}
	return jobs.Request{Run: "run", Name: name, Script: path, Log: filepath.Join(p.dir, name+".log"), WorkDir: p.dir}
}

type option func(*jobs.Request)

func gpus(n int) option    { return func(r *jobs.Request) { r.Resources.GPUs = n } }
func seconds(n int) option { return func(r *jobs.Request) { r.Resources.Seconds = n } }

func (p *pool) behind(name string, when record.When) option {
	return func(r *jobs.Request) {
		r.After = append(r.After, jobs.Dependency{On: p.after[name], Task: -1, When: when})
	}
}

func (p *pool) submit(name, script string, options ...option) jobs.Handle {
	p.Helper()
	r := p.request(name, script)
	for _, o := range options {
		o(&r)
	}
	h, err := p.Submit(p.Context(), r)
	if err != nil {
		p.Fatal(err)
	}
	p.after[name] = h
	return h
}

func (p *pool) list() map[string]jobs.Status {
	p.Helper()
	all, err := p.List(p.Context(), "run")
	if err != nil {
		p.Fatal(err)
	}
	named := map[string]jobs.Status{}
	for _, s := range all {
		named[s.Name] = s
	}
	return named
}

// until waits for a job to be in a state; a job that ended in another will never be.
func (p *pool) until(name string, want jobs.JobState) jobs.Status {
	p.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s := p.list()[name]
		if s.State == want {
			return s
		}
		if s.State.Ended() || time.Now().After(end) {
			p.Fatalf("job %s is %s (%s, exit code %s), want %s", name, s.State, s.Reason, s.ExitCode, want)
		}
	}
}

func (p *pool) path(file string) string { return filepath.Join(p.dir, file) }

func (p *pool) read(file string) string {
	data, _ := os.ReadFile(p.path(file))
	return string(data)
}

func (p *pool) touch(file string) {
	p.Helper()
	if err := os.WriteFile(p.path(file), nil, 0o644); err != nil {
		p.Fatal(err)
	}
}

func (p *pool) exists(file string) {
	p.Helper()
	eventually(p.T, "there is "+file, func() bool { _, err := os.Stat(p.path(file)); return err == nil })
}

// wait is bash for: wait until there is a file.
func wait(file string) string { return fmt.Sprintf("until [ -e %s ]; do sleep 0.02; done", file) }

// pid is the identity of the process that wrote its pid into a file.
func (p *pool) pid(file string) proc.Identity {
	p.Helper()
	var id proc.Identity
	eventually(p.T, "there is a pid in "+file, func() bool {
		n, err := strconv.Atoi(strings.TrimSpace(p.read(file)))
		if err != nil {
			return false
		}
		id, err = proc.Of(n)
		return err == nil
	})
	return id
}

func (p *pool) daemon() proc.Identity {
	p.Helper()
	r, err := folder(p.config.Dir).reign()
	if err != nil || r.over {
		p.Fatalf("there is no daemon: %+v, %v", r, err)
	}
	return r.owner
}

func (p *pool) runner(name string) proc.Identity {
	p.Helper()
	var r runner
	id, err := strconv.Atoi(p.after[name].ID)
	if err != nil {
		p.Fatal(err)
	}
	if err := fsx.ReadJSON(folder(p.config.Dir).runner(id), &r); err != nil {
		p.Fatal(err)
	}
	return r.Identity
}

func (p *pool) kill(id proc.Identity, sig syscall.Signal) {
	p.Helper()
	if err := id.Signal(sig); err != nil {
		p.Fatal(err)
	}
	if sig == syscall.SIGKILL {
		eventually(p.T, "it is dead", func() bool { return !id.Alive() })
	}
}
