package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vtune/jobs"
)

// crashing is a folder whose processes die at a given step.
type crashing struct {
	*testing.T
	program, dir string
}

func newCrashing(t *testing.T, program string) crashing {
	t.Helper()
	work, err := os.MkdirTemp("", "crash")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	for _, name := range []string{"a", "b"} {
		script := fmt.Sprintf("#!/bin/bash\necho %s >> ran\n", name)
		if err := os.WriteFile(filepath.Join(work, name+".sh"), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(work, "scheduler")
	t.Cleanup(func() { clear(t, dir) })
	return crashing{t, program, dir}
}

func (c crashing) work(file string) string { return filepath.Join(filepath.Dir(c.dir), file) }

// handOver submits both jobs with every process of a role dying at step n; 0: nobody dies.
func (c crashing) handOver(role string, n int) error {
	cmd := exec.Command(c.program, "hand-over", c.dir)
	cmd.Env = append(os.Environ(), "VTUNE_CRASH_LOG="+c.work("points"), "VTUNE_CRASH_ROLE="+role, fmt.Sprintf("VTUNE_CRASH_AT=%d", n))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// repaired hands over without crashes until it works, and waits until both jobs, and where its last steps count the daemon, are
// through.
func (c crashing) repaired(role string) map[string]jobs.Status {
	c.Helper()
	cmd := func() error {
		out, err := exec.Command(c.program, "hand-over", c.dir).CombinedOutput()
		if err != nil {
			c.Logf("repair: %v: %s", err, out)
		}
		return err
	}
	eventually(c.T, "the same command works again", func() bool { return cmd() == nil })
	s := New(Config{Dir: c.dir, Program: []string{c.program}})
	named := map[string]jobs.Status{}
	eventually(c.T, "both jobs have ended", func() bool {
		all, err := s.List(c.Context(), "run")
		if err != nil || len(all) != 2 {
			return false // a daemon that dies as it starts
		}
		for _, j := range all {
			named[j.Name] = j
		}
		return named["a"].State.Ended() && named["b"].State.Ended()
	})
	if role == DaemonCommand {
		eventually(c.T, "no daemon is left", func() bool { r, err := s.queue.dir.reign(); return err == nil && r.over })
	}
	return named
}

func (c crashing) ran() string {
	data, _ := os.ReadFile(c.work("ran"))
	return string(data)
}

// points that the first process of the role went through.
func (c crashing) points() []string {
	c.Helper()
	data, err := os.ReadFile(c.work("points"))
	if err != nil {
		c.Fatal(err)
	}
	var first string
	var points []string
	for line := range strings.Lines(string(data)) {
		pid, point, _ := strings.Cut(strings.TrimSpace(line), " ")
		if first == "" {
			first = pid
		}
		if pid == first {
			points = append(points, point)
		}
	}
	return points
}

func buildCrashing(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "crash")
	build := exec.Command("go", "build", "-tags", "crashpoints", "-o", program, "./testdata/crash")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func TestKilledAtAnyStepEveryJobStillRunsExactlyOnce(t *testing.T) {
	program := buildCrashing(t)
	for role, fewest := range map[string]int{"hand-over": 9, DaemonCommand: 14} {
		whole := newCrashing(t, program)
		if err := whole.handOver(role, 0); err != nil {
			t.Fatal(err)
		}
		whole.repaired(role)
		points := whole.points()
		if len(points) < fewest {
			t.Fatalf("%s goes through %d points, at least %d are known: %q", role, len(points), fewest, points)
		}
		for i := range points {
			t.Run(fmt.Sprintf("%s killed at step %d", role, i+1), func(t *testing.T) {
				t.Parallel()
				c := newCrashing(t, program)
				if err := c.handOver(role, i+1); err != nil && !strings.Contains(err.Error(), "killed") && role == "hand-over" {
					t.Fatal(err)
				}
				for name, s := range c.repaired(role) {
					if s.State != jobs.Completed {
						t.Errorf("%s is %s (%s)", name, s.State, s.Reason)
					}
				}
				if got := c.ran(); got != "a\nb\n" {
					t.Errorf("ran %q", got)
				}
				if reached := c.points(); len(reached) != i+1 {
					t.Errorf("the first process went through %d points, and should have died at %d: %q", len(reached), i+1, reached)
				}
			})
		}
	}
}

// A runner that dies has no successor: its job may have begun, so it must not run again.
func TestAJobWhoseRunnerIsKilledAtAnyStepRunsAtMostOnce(t *testing.T) {
	program := buildCrashing(t)
	whole := newCrashing(t, program)
	if err := whole.handOver(RunnerCommand, 0); err != nil {
		t.Fatal(err)
	}
	whole.repaired(RunnerCommand)
	points := whole.points()
	if len(points) < 7 {
		t.Fatalf("a runner goes through %q", points)
	}
	for i := range points {
		t.Run(fmt.Sprintf("step %d", i+1), func(t *testing.T) {
			t.Parallel()
			c := newCrashing(t, program)
			if err := c.handOver(RunnerCommand, i+1); err != nil {
				t.Fatal(err)
			}
			named := c.repaired(RunnerCommand)
			ran := c.ran()
			if strings.Count(ran, "a") > 1 || strings.Count(ran, "b") > 1 {
				t.Errorf("ran %q", ran)
			}
			if a := named["a"].State; a != jobs.NodeFail && (a != jobs.Completed || !strings.Contains(ran, "a")) {
				t.Errorf("a is %s after %q", a, ran)
			}
			if b := named["b"].State; named["a"].State == jobs.NodeFail && b != jobs.Orphaned {
				t.Errorf("b is %s although it depends on a, which was lost", b)
			}
		})
	}
}
