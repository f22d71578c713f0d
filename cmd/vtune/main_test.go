package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// programs is where TestMain builds the commands under test: the real ones, not functions of the test binary, because a run
// copies its own executable and starts it again.
var programs string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "vtune-programs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every program under test lingers for a second
	code := 1
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// build makes vtune with the race detector, the simulator without (its time is scaled; the detector would distort it), and a
// vtune that can be killed at every step.
func build(dir string) error {
	for _, args := range [][]string{
		{"-race", "-o", filepath.Join(dir, "vtune"), "."},
		{"-o", filepath.Join(dir, "vllm-sim"), "../vllm-sim"},
		{"-tags", "crashpoints", "-o", filepath.Join(dir, "vtune-crash"), "."},
	} {
		if out, err := exec.Command("go", append([]string{"build"}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("VLLM_SIM_GPU_DIR", filepath.Join(env.WorkDir, "gpus"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("PROGRAMS", programs)
			env.Setenv("VTUNE", filepath.Join(programs, "vtune"))
			demo, err := filepath.Abs("../../testdata/runs/demo")
			env.Setenv("DEMO", demo)
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":          exitCodeIs,
			"last":          lastRun,
			"waitfor":       waitFor,
			"interrupted":   interrupted,
			"killscheduler": killScheduler,
			"awaitidle":     awaitIdle,
			"oneRun":        oneRun,
		},
	})
}

// exitCodeIs runs `code N program args...` and fails unless the exit code is N.
func exitCodeIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// lastRun sets the variable RUN to the newest run directory under the given base.
func lastRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: last BASE")
	}
	dirs, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "auto-benchmark", "*"))
	ts.Check(err)
	if len(dirs) == 0 {
		ts.Fatalf("no run under %s", args[0])
	}
	ts.Setenv("RUN", dirs[len(dirs)-1])
}

func TestEveryExitCodeIsInTheHelp(t *testing.T) {
	out, err := exec.Command(filepath.Join(programs, "vtune"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "130"} {
		if !bytes.Contains(out, []byte(fmt.Sprintf("\n  %3s  ", code))) {
			t.Errorf("--help does not explain exit code %s", code)
		}
	}
}

// waitFor awaits a file.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	await(ts, func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	}, args[0])
}

func await(ts *testscript.TestScript, done func() bool, what string) {
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("waited a minute for %s", what)
		}
	}
}

// interrupted runs `vtune collect --watch RUN`, interrupts it once it has the lease, and checks what it says and its exit code.
func interrupted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: interrupted RUN")
	}
	var stderr bytes.Buffer
	c := exec.Command(filepath.Join(programs, "vtune"), "collect", "--watch", args[0])
	c.Stderr = &stderr
	c.Env = append(os.Environ(), "PATH="+ts.Getenv("PATH"), "VLLM_SIM_GPU_DIR="+ts.Getenv("VLLM_SIM_GPU_DIR"))
	ts.Check(c.Start())
	await(ts, func() bool {
		_, err := os.Stat(filepath.Join(args[0], "state.json"))
		return err == nil
	}, "the first pass")
	ts.Check(c.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		ts.Fatalf("interrupted: %v\n%s", err, stderr.String())
	}
	if !strings.Contains(stderr.String(), "hint: the jobs go on") {
		ts.Fatalf("it said\n%s", stderr.String())
	}
}

// killScheduler kills the local scheduler of a run with SIGKILL as soon as a job of the run has started, and awaits its death.
func killScheduler(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: killscheduler RUN")
	}
	dir := record.Dir(args[0])
	await(ts, func() bool {
		names, _ := filepath.Glob(filepath.Join(dir.Events(), "*started*"))
		return len(names) > 0
	}, "the first job")
	var daemon proc.Identity
	ts.Check(fsx.ReadJSON(filepath.Join(dir.Scheduler(), "daemons", "1.json"), &daemon))
	ts.Check(daemon.Signal(syscall.SIGKILL))
	await(ts, func() bool { return !daemon.Alive() }, "the scheduler's end")
}

// awaitIdle waits until a run's first cell has its result and its local scheduler has retired: what follows is the collector's.
func awaitIdle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaitidle RUN")
	}
	dir := record.Dir(args[0])
	await(ts, func() bool {
		results, _ := filepath.Glob(filepath.Join(dir.Cells(), "*", "1", "result.json"))
		retired, _ := filepath.Glob(filepath.Join(dir.Scheduler(), "daemons", "*.retired"))
		return len(results) > 0 && len(retired) > 0
	}, "the scheduler to retire")
}

// oneRun fails unless there is one run directory below a base, whole or not.
func oneRun(ts *testscript.TestScript, neg bool, args []string) {
	dirs, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "auto-benchmark", "[0-9]*"))
	ts.Check(err)
	if neg || len(dirs) != 1 {
		ts.Fatalf("run directories: %v", dirs)
	}
}
