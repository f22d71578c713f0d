package slurm_test

import (
	"bytes"
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

func (l lab) controller() int {
	l.Helper()
	data, err := os.ReadFile(filepath.Join(l.dir, "slurmctld.pid"))
	if err != nil {
		l.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		l.Fatal(err)
	}
	return pid
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
