package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// What happens to runs on clusters that other people run. Each test is a row of the table in docs/faults.md.

func TestThePagesOnFaultsNameTestsThatExist(t *testing.T) {
	var sources bytes.Buffer
	for _, pattern := range []string{
		"*_test.go", "internal/*/*_test.go", "../../e2e/*_test.go", "../../jobs/*_test.go", "../../jobs/*/*_test.go", "../../internal/*/*_test.go", "../../internal/*/*/*_test.go", "../../templates/*_test.go",
	} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources.Write(text)
		}
	}
	for _, path := range []string{"../../docs/faults.md", "../../docs/tpu.md", "../../docs/from-auto_tune.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllSubmatch(page, -1)
		if len(named) < 20 {
			t.Errorf("%s names %d tests", path, len(named))
		}
		for _, m := range named {
			if !bytes.Contains(sources.Bytes(), []byte("func "+string(m[1])+"(")) {
				t.Errorf("%s: there is no %s", path, m[1])
			}
		}
	}
}

// controller sends the cluster's controller a signal.
func (c cluster) controller(t *testing.T, s syscall.Signal) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, "slurmctld.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// restart starts what of the cluster is not running.
func (c cluster) restart(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(c.up[0], c.up[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("slurm-up: %v\n%s", err, out)
	}
}

// saved waits until the controller has written its state down: what it acknowledged before is not lost when it is killed.
func (c cluster) saved(t *testing.T, since time.Time) {
	t.Helper()
	eventually(t, "the controller to save its state", func() bool {
		info, err := os.Stat(filepath.Join(c.dir, "state", "job_state"))
		return err == nil && info.ModTime().After(since)
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// command is a vtune that goes on while the test does something to its world.
type command struct {
	t      *testing.T
	c      *exec.Cmd
	stdout bytes.Buffer
	stderr syncBuffer
	ended  chan error
}

func start(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	v := &command{t: t, c: exec.Command(filepath.Join(programs, "vtune"), args...), ended: make(chan error, 1)}
	v.c.Env, v.c.Stdout, v.c.Stderr = env, &v.stdout, &v.stderr
	if err := v.c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { v.ended <- v.c.Wait() }()
	t.Cleanup(func() { v.c.Process.Kill() })
	return v
}

// says waits until the command has said something.
func (v *command) says(what string) {
	v.t.Helper()
	eventually(v.t, "it to say "+what, func() bool { return strings.Contains(v.stderr.String(), what) })
}

// ends waits for the end and returns stdout.
func (v *command) ends() string {
	v.t.Helper()
	select {
	case err := <-v.ended:
		if err != nil {
			v.t.Fatalf("%s: %v\n%s%s", strings.Join(v.c.Args[1:], " "), err, &v.stdout, v.stderr.String())
		}
	case <-time.After(4 * time.Minute):
		v.t.Fatalf("%s does not end\n%s%s", strings.Join(v.c.Args[1:], " "), &v.stdout, v.stderr.String())
	}
	return strings.TrimSpace(v.stdout.String())
}

func writeSpec(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// queue is every job that the scheduler knows, as "name state", sorted.
func queue(t *testing.T, env []string) []string {
	t.Helper()
	jobs := strings.Fields(slurm(t, env, "squeue", "-h", "-r", "-t", "all", "-o", "%j:%T"))
	slices.Sort(jobs)
	return jobs
}

// The controller may be away when submit begins, and come back: submit waits, says so, and every job is there once.
func TestSubmitWaitsForAControllerThatIsAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.controller(t, syscall.SIGKILL)
	v := start(t, c.env, "submit", writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job")))
	v.says("waiting up to 5m0s for slurm")
	c.restart(t)
	dir := record.Dir(v.ends())
	oneOfEach(t, c, dir)
	vtune(t, c.env, "cancel", string(dir))
}

// Without patience it says how to go on, and has begun nothing.
func TestSubmitWithoutPatienceSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.controller(t, syscall.SIGKILL)
	spec := writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job"))
	x := exec.Command(filepath.Join(programs, "vtune"), "submit", "--patience", "0", spec)
	x.Env = c.env
	out, _ := x.CombinedOutput()
	if x.ProcessState.ExitCode() != 4 || !bytes.Contains(out, []byte("Unable to contact slurm controller")) || !bytes.Contains(out, []byte("hint: nothing was submitted")) {
		t.Errorf("exit code %d\n%s", x.ProcessState.ExitCode(), out)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(spec), "auto-benchmark")); err == nil {
		t.Error("a run was made")
	}
}

// A controller that hangs while sbatch talks to it takes the job and gives no answer. What became of it is looked up, not guessed.
func TestAnAnswerThatIsLostInTheMiddleOfSubmitLeavesOneJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t, "MessageTimeout=5")
	slurm(t, c.env, "scontrol", "update", "PartitionName=gpu", "State=DOWN")
	bin, env := c.beforeSecond(t, "kill -STOP $controller", "touch $here/gave-up")
	v := start(t, env, "submit", writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job")))
	awaitPath(t, filepath.Join(bin, "gave-up"))
	c.controller(t, syscall.SIGCONT)
	dir := record.Dir(v.ends())
	oneOfEach(t, c, dir)
	vtune(t, c.env, "cancel", string(dir))
}

// The controller dies in the middle of submit, with one unit out and one not. submit waits for it and goes on where it was.
func TestAControllerMayDieInTheMiddleOfSubmit(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	slurm(t, c.env, "scontrol", "update", "PartitionName=gpu", "State=DOWN")
	// A further job makes the controller save its state once more, and with it what it acknowledged before. One is not always enough:
	// once, on a busy machine, nothing was saved after it.
	saves := filepath.Join(c.dir, "state", "job_state")
	saved := "touch $here/now; until $sbatch --output=/dev/null --wrap true >/dev/null; sleep 1; [ " + saves + " -nt $here/now ]; do :; done; "
	_, env := c.beforeSecond(t, saved+"kill -KILL $controller", "true")
	v := start(t, env, "submit", writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job")))
	v.says("waiting up to 5m0s for slurm")
	c.restart(t)
	dir := record.Dir(v.ends())
	oneOfEach(t, c, dir)
	vtune(t, c.env, "cancel", string(dir))
}

// Whoever cancels while submit is talking to the scheduler cannot know of the jobs that are on their way. They end all the same.
func TestCancelEndsWhatSubmitIsAboutToHandOver(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	bin, env := c.beforeSecond(t, "touch $here/second; until [ -e $here/cancelled ]; do sleep 0.1; done", "true")
	spec := writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job"))
	v := start(t, env, "submit", spec)
	awaitPath(t, filepath.Join(bin, "second"))
	runs, err := filepath.Glob(filepath.Join(filepath.Dir(spec), "auto-benchmark", "*", "run.json"))
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs %v, %v", runs, err)
	}
	dir := record.Dir(filepath.Dir(runs[0]))
	vtune(t, c.env, "cancel", string(dir))
	if err := os.WriteFile(filepath.Join(bin, "cancelled"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	v.ends()
	began := time.Now()
	eventually(t, "the queue to be empty", func() bool {
		return strings.TrimSpace(slurm(t, c.env, "squeue", "-h", "-t", "PENDING,RUNNING,COMPLETING")) == ""
	})
	t.Logf("empty %.1f s after submit ended", time.Since(began).Seconds())
	nothingLeft(t, "after cancel beside submit", dir)
}

// beforeSecond is an environment whose sbatch is the real one with something done before and after its second call: a stand-in for
// nothing but the right moment. $here is its folder, $controller the controller's pid, $sbatch the real one.
func (c cluster) beforeSecond(t *testing.T, before, after string) (bin string, env []string) {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(c.dir, "slurmctld.pid"))
	if err != nil {
		t.Fatal(err)
	}
	sbatch, err := exec.LookPath("sbatch")
	if err != nil {
		t.Fatal(err)
	}
	bin = t.TempDir()
	script := fmt.Sprintf(`#!/bin/bash
here=%s controller=%s sbatch=%s
echo >>$here/calls
if [ "$(wc -l <$here/calls)" != 2 ]; then exec %[3]s "$@"; fi
%[4]s
%[3]s "$@"; code=$?
%[5]s
exit $code
`, bin, bytes.TrimSpace(pid), sbatch, before, after)
	if err := os.WriteFile(filepath.Join(bin, "sbatch"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return bin, append(slices.Clone(c.env), "PATH="+bin+":"+programs+":"+os.Getenv("PATH"))
}

func awaitPath(t *testing.T, path string) {
	t.Helper()
	eventually(t, path, func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// syncBuffer is a buffer that one goroutine fills and another reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// oneOfEach fails unless the queue holds the probe once and each of two cells once, all recorded.
func oneOfEach(t *testing.T, c cluster, dir record.Dir) {
	t.Helper()
	var names []string
	for _, job := range queue(t, c.env) {
		if name, ours := strings.CutPrefix(strings.SplitN(job, ":", 2)[0], record.NamePrefix(runOf(t, dir).ID)); ours {
			names = append(names, name)
		}
	}
	if want := []string{"cells", "cells", "probe-1"}; !slices.Equal(names, want) {
		t.Errorf("in the queue: %v, want %v", names, want)
	}
	for _, unit := range []string{"probe-1", "cells"} {
		if _, err := os.Stat(dir.Submitted(unit)); err != nil {
			t.Error(err)
		}
	}
}

func runOf(t *testing.T, dir record.Dir) record.Run {
	t.Helper()
	var run record.Run
	readRecord(t, dir.Run(), &run)
	return run
}

func readRecord(t *testing.T, path string, into any) {
	t.Helper()
	if err := fsx.ReadJSON(path, into); err != nil {
		t.Fatal(err)
	}
}

// A controller that dies while a run is watched, and comes back, costs the run nothing.
func TestAControllerMayDieWhileARunIsWatched(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	dir := submitSpec(t, c.env, "slurm", "in-job")
	v := start(t, c.env, "collect", "--watch", "--grace", "5s", string(dir))
	awaitEvent(t, dir, "s2-t2048-1", "started")
	awaitEvent(t, dir, "s4-t2048-1", "started")
	c.saved(t, time.Now())
	c.controller(t, syscall.SIGKILL)
	awaitEvent(t, dir, "s4-t2048-1", "observation")
	c.restart(t)
	v.ends()
	for _, cell := range state(t, dir).Cells {
		if cell.Accepted == nil || len(cell.Attempts) != 1 {
			t.Errorf("%s: accepted %v in %d attempts", cell.ID, cell.Accepted, len(cell.Attempts))
		}
	}
	nothingLeft(t, "after the controller's death", dir)
}

// A controller that is killed forgets its last seconds: jobs that it acknowledged are unknown to it, run on without it or are killed,
// and their ids are given to others. The run goes on from what its directory says.
func TestAControllerMayLoseItsLastSeconds(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	dir := submitSpec(t, c.env, "slurm", "in-job")
	v := start(t, c.env, "collect", "--watch", "--grace", "2s", string(dir))
	awaitEvent(t, dir, "s4-t2048-1", "started")
	c.controller(t, syscall.SIGKILL)
	awaitEvent(t, dir, "s4-t2048-1", "observation")
	c.restart(t)
	v.ends()
	for i, cell := range state(t, dir).Cells {
		if want := []record.Rate{1, 2}[i]; cell.Accepted == nil || cell.Accepted.Load.Rate != want {
			t.Errorf("%s: %s (%s), accepted %v", cell.ID, cell.Phase, cell.Message, cell.Accepted)
		}
	}
	nothingLeft(t, "after the controller forgot", dir)
}

// cancel waits for a controller that is away, and ends the jobs when it is back.
func TestCancelWaitsForAControllerThatIsAway(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	began := time.Now()
	dir := submitSpec(t, c.env, "slurm", "in-job")
	awaitEvent(t, dir, "probe-1", "started")
	c.saved(t, began)
	c.controller(t, syscall.SIGKILL)
	v := start(t, c.env, "cancel", string(dir))
	v.says("waiting up to 1m0s for slurm")
	c.restart(t)
	v.ends()
	eventually(t, "the queue to be empty", func() bool {
		return strings.TrimSpace(slurm(t, c.env, "squeue", "-h", "-t", "PENDING,RUNNING,COMPLETING")) == ""
	})
	nothingLeft(t, "after cancel without a controller", dir)
}

// submit that is killed at any step on a real cluster, and run again, gives exactly the same jobs.
func TestSubmitMayBeKilledAtEveryStepOnSlurm(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	slurm(t, c.env, "scontrol", "update", "PartitionName=gpu", "State=DOWN")
	steps := 0
	for more := true; more; {
		spec := writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job"))
		once := filepath.Join(filepath.Dir(spec), "killed")
		x := exec.Command(filepath.Join(programs, "vtune-crash"), "submit", spec)
		x.Env = append(slices.Clone(c.env), fmt.Sprintf("VTUNE_CRASH_AT=%d", steps+1), "VTUNE_CRASH_ONCE="+once)
		x.Run()
		_, err := os.Stat(once)
		if more = err == nil; more {
			steps++
		}
		dir := record.Dir(vtune(t, c.env, "submit", spec))
		oneOfEach(t, c, dir)
		ids := slurm(t, c.env, "squeue", "-h", "-o", "%A")
		slurm(t, c.env, "scancel", strings.Fields(ids)...)
		if t.Failed() {
			t.Fatalf("killed at step %d", steps)
		}
	}
	if steps < 10 {
		t.Errorf("only %d steps: the crash points are gone", steps)
	}
	t.Logf("%d steps", steps)
}
