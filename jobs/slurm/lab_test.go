package slurm_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/need"
	"vtune/internal/record"
	"vtune/jobs"
	"vtune/jobs/slurm"
)

// lab is a real Slurm of a test's own, 4 nodes with 8 GPUs each.
type lab struct {
	*testing.T
	dir string
	env []string
}

// startLab brings a Slurm up, with further lines for its configuration. There is no accounting.
func startLab(t *testing.T, conf ...string) lab {
	t.Helper()
	return upLab(t, conf)
}

// startAccountingLab brings a Slurm up that keeps accounts and limits. The caller has the account "lab", of those under "root".
func startAccountingLab(t *testing.T, conf ...string) lab {
	t.Helper()
	need.Program(t, "slurmdbd", "make deps")
	need.Program(t, "mariadbd", "make deps")
	return upLab(t, conf, "-b")
}

// upLab makes the lab's directory with a short name: Slurm's sockets are in it.
func upLab(t *testing.T, conf []string, flags ...string) lab {
	t.Helper()
	need.Program(t, "slurmctld", "make deps")
	need.Program(t, "slurmd", "make deps")
	need.Program(t, "sbatch", "make deps")
	need.Program(t, "munged", "make deps")
	dir, err := os.MkdirTemp("/tmp", "sl")
	if err != nil {
		t.Fatal(err)
	}
	extra := filepath.Join(dir, "extra")
	if err := os.WriteFile(extra, []byte(strings.Join(conf, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("../../lab/slurm-down", "-d", dir).CombinedOutput(); err != nil {
			t.Errorf("slurm-down: %v: %s", err, out)
		}
	})
	up := exec.Command("../../lab/slurm-up", append([]string{"-d", dir, "-n", "4", "-g", "8", "-x", extra}, flags...)...)
	var stderr bytes.Buffer
	up.Stderr = &stderr
	out, err := up.Output()
	config, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "export ")
	if err != nil || !ok {
		t.Fatalf("slurm-up: %v: %s%s", err, out, &stderr)
	}
	return lab{t, dir, append(os.Environ(), config)}
}

func (l lab) scheduler() *slurm.Scheduler { return slurm.New(slurm.Config{Env: l.env}) }

// slurm runs one of Slurm's commands, to see from outside what the adapter did.
func (l lab) slurm(name string, args ...string) string {
	l.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = l.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}

// in is the lab for a subtest.
func (l lab) in(t *testing.T) lab {
	l.T = t
	return l
}

// modify changes the accounts: an entity with what is to be set, as sacctmgr modify takes it.
func (l lab) modify(entity ...string) {
	l.Helper()
	l.slurm("sacctmgr", append([]string{"-i", "modify"}, entity...)...)
}

// limited is a scheduler that knows of a limit on the queue. The controller hears of one from the accountant, a moment later.
func (l lab) limited(c slurm.Config, want int) *slurm.Scheduler {
	l.Helper()
	c.Env = l.env
	s := slurm.New(c)
	caps, err := s.Capabilities(l.Context())
	if err != nil || caps.MaxSubmit != want {
		l.Fatalf("got %+v, %v, want %d jobs in the queue", caps, err, want)
	}
	return s
}

// clear cancels every job of run "r" and waits until none is left in the queue.
func (l lab) clear(s jobs.Scheduler) {
	l.Helper()
	all, err := s.List(l.Context(), "r")
	if err != nil {
		l.Fatal(err)
	}
	var handles []jobs.Handle
	for _, st := range all {
		handles = append(handles, st.Handle)
	}
	if err := s.Cancel(l.Context(), handles); err != nil {
		l.Fatal(err)
	}
	l.await("an empty queue", func() bool { return l.slurm("squeue", "-h") == "" })
}

// odd submits the array vt-r-odd, whose tasks are oddTasks, with a script of the given lines.
func (l lab) odd(lines ...string) jobs.Handle {
	l.Helper()
	var list []string
	for _, task := range oddTasks() {
		list = append(list, strconv.Itoa(task))
	}
	r := l.request("odd", append([]string{"#SBATCH --array=" + strings.Join(list, ",")}, lines...)...)
	return jobs.Handle{ID: strings.TrimSpace(l.slurm("sbatch", "--parsable", "--no-requeue", "--job-name="+r.Name, "--output="+r.Log, "--chdir="+l.dir, r.Script))}
}

// oddTasks are numbers whose list nothing shortens.
func oddTasks() (tasks []int) {
	for i := range 60 {
		tasks = append(tasks, 1+i*i+i)
	}
	return tasks
}

func (l lab) exists(name string) bool {
	_, err := os.Stat(filepath.Join(l.dir, name))
	return err == nil
}

func (l lab) controller() int {
	l.Helper()
	return l.pid("slurmctld.pid")
}

// pid is of one of the lab's daemons.
func (l lab) pid(file string) int {
	l.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, file))
	if err != nil {
		l.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		l.Fatal(err)
	}
	return pid
}

// end sends a signal to one of the lab's daemons and waits until it is gone.
func (l lab) end(file string, s syscall.Signal) {
	l.Helper()
	pid := l.pid(file)
	if err := syscall.Kill(pid, s); err != nil {
		l.Fatal(err)
	}
	l.await("the end of what has "+file, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

// up starts again what is not running.
func (l lab) up() {
	l.Helper()
	if out, err := exec.Command("../../lab/slurm-up", "-d", l.dir).CombinedOutput(); err != nil {
		l.Fatalf("slurm-up: %v: %s", err, out)
	}
}

func (l lab) signal(s syscall.Signal) {
	l.Helper()
	if err := syscall.Kill(l.controller(), s); err != nil {
		l.Fatal(err)
	}
}

// request is a job of run "r" with a script of the given lines.
func (l lab) request(unit string, lines ...string) jobs.Request {
	l.Helper()
	script := filepath.Join(l.dir, "jobs", unit, "script")
	if err := os.MkdirAll(filepath.Dir(script), 0o755); err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/bash\n"+strings.Join(lines, "\n")+"\n"), 0o755); err != nil {
		l.Fatal(err)
	}
	return jobs.Request{Run: "r", Name: record.JobName("r", unit), Script: script, Log: filepath.Join(filepath.Dir(script), "log"), WorkDir: l.dir}
}

func (l lab) await(what string, holds func() bool) {
	l.Helper()
	tooLong := time.After(60 * time.Second)
	for !holds() {
		select {
		case <-tooLong:
			l.Fatalf("%s: not within a minute\n%s", what, l.slurm("squeue", "-t", "all"))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// awaitEnd waits until all n jobs of a listing of run "r" are over.
func (l lab) awaitEnd(s jobs.Scheduler, n int) []jobs.Status {
	l.Helper()
	var all []jobs.Status
	l.await("the end of every job", func() bool {
		var err error
		if all, err = s.List(l.Context(), "r"); err != nil {
			l.Fatal(err)
		}
		for _, st := range all {
			if !st.State.Ended() {
				return false
			}
		}
		return len(all) == n
	})
	return all
}
