package agent_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/agent"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// An agent supervises its whole process for the rest of its life, and some tests kill it. So this binary is run again as the
// agent of a test when the variable is set.
const beAgent = "VTUNE_TEST_AGENT"

// firstPort is the port that the test's agent tries first.
const firstPort = "VTUNE_TEST_FIRST_PORT"

func TestMain(m *testing.M) {
	if os.Getenv(beAgent) != "" {
		os.Exit(agentMain())
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("/tmp", "vtune-agent-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "vllm"), "vtune/cmd/vllm-sim")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build vllm-sim: %v\n%s", err, out)
		return 1
	}
	os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return m.Run()
}

// agentMain is what cmd/vtune does around the agent, in small.
func agentMain() int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM)
	stop := make(chan record.Cause, 2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR2 {
				stop <- record.CauseTimeLimit
			} else {
				stop <- record.CauseStopped
			}
		}
	}()
	c := agent.Config{
		Dir: record.Dir(os.Args[1]), Assignment: os.Args[2], SchedulerID: "4711", Env: os.Environ(), Log: os.Stdout, Stop: stop,
		Grace: 5 * time.Second, Drain: 20 * time.Second, Load: time.Minute, Trace: 20 * time.Second, Warm: 50 * time.Millisecond,
	}
	if first, err := strconv.Atoi(os.Getenv(firstPort)); err == nil {
		c.Port = func() (int, error) {
			port := first
			first = 0
			if port != 0 {
				return port, nil
			}
			return free()
		}
	}
	code, err := agent.Run(context.Background(), c)
	if err != nil {
		fmt.Println("error:", err)
	}
	return int(code)
}

func free() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// run is a run directory with the servers of a test.
type run struct {
	t   *testing.T
	dir record.Dir
	gpu string // where vllm-sim books memory
	env []string
}

func newRun(t *testing.T) *run {
	t.Helper()
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "vtune-run-")
	if err != nil {
		t.Fatal(err)
	}
	return adopt(t, dir)
}

func adopt(t *testing.T, dir string) *run {
	t.Helper()
	r := &run{t: t, dir: record.Dir(filepath.Join(dir, "run")), gpu: filepath.Join(dir, "gpu")}
	if err := os.MkdirAll(r.dir.Events(), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("kept: %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return r
}

// assignment is a job that ends well on an untroubled server: a limit between the P99 at inf and that of every walk.
func (r *run) assignment(k record.Kind, attempt int) record.Assignment {
	cell := record.Cell{ID: "s4-t512", MaxNumSeqs: 4, MaxNumBatchedTokens: 512}
	name := cell.ID
	if k != record.KindCell {
		name = string(k)
	}
	a := record.Assignment{
		Schema: record.Schema, Run: "test", Job: fmt.Sprintf("%s-%d", name, attempt), Kind: k, Cell: cell, Attempt: attempt,
		Server: record.Server{
			Command: []string{"vllm"}, Model: "meta-llama/Llama-3.1-8B-Instruct", System: "GPU", TensorParallel: 1, MaxModelLen: 2048,
			StartTimeoutSeconds: 30,
			Environment:         map[string]string{"VLLM_SIM_TIME_SCALE": "200", "VLLM_SIM_GPU_DIR": r.gpu, "VLLM_SIM_NOISE": "0"},
		},
		Workload: record.Workload{InputLen: 512, OutputLen: 64, CacheHitPct: 50},
		Policy:   record.Policy{Method: "auto_tune", LimitMS: limit, InfRequests: 200, RateRequests: 10},
		Client:   "vllm",
	}
	if k != record.KindProbe {
		a.Utilization = 0.9
	}
	return a
}

// limit in ms. At the simulation's pace a real millisecond is a fifth of a second, so a busy machine makes P99 worse by seconds;
// but 200 requests at once take 20 s however quiet it is.
const limit = 10_000

func (r *run) publish(path string, v any) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := fsx.PublishJSON(path, v); err != nil {
		r.t.Fatal(err)
	}
}

// job is an agent under way.
type job struct {
	*run
	a    record.Assignment
	cmd  *exec.Cmd
	out  *strings.Builder
	code chan diag.Code
}

func (r *run) begin(a record.Assignment) *job {
	r.t.Helper()
	r.publish(r.dir.Assignment(a.Job), a)
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	j := &job{run: r, a: a, out: &strings.Builder{}, code: make(chan diag.Code, 1)}
	j.cmd = exec.Command(self, string(r.dir), r.dir.Assignment(a.Job))
	j.cmd.Env = append(append(os.Environ(), beAgent+"=1"), r.env...)
	j.cmd.Stdout, j.cmd.Stderr = j.out, j.out
	j.cmd.WaitDelay = 10 * time.Second
	if err := j.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		j.cmd.Wait() // the code says it all
		j.code <- diag.Code(j.cmd.ProcessState.ExitCode())
		close(ended)
	}()
	r.t.Cleanup(func() { // does nothing to one that has ended
		j.cmd.Process.Kill()
		<-ended
	})
	return j
}

// wait returns the agent's exit code, and holds that nothing of the job is left.
func (j *job) wait() diag.Code {
	j.t.Helper()
	select {
	case code := <-j.code:
		j.alone(0)
		return code
	case <-time.After(time.Minute):
		j.cmd.Process.Kill()
		j.t.Fatalf("the agent does not end:\n%s", j.out)
		return 0
	}
}

// alone holds that no process of the job lives, at the latest after patience.
func (j *job) alone(patience time.Duration) {
	j.t.Helper()
	var left []proc.Identity
	j.until(patience, func() bool {
		var err error
		if left, err = proc.Marked(agent.Mark(j.dir, j.a.Job)); err != nil {
			j.t.Fatal(err)
		}
		return len(left) == 0
	})
	if len(left) > 0 {
		j.t.Errorf("left behind: %v", left)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		proc.SweepMarked(ctx, agent.Mark(j.dir, j.a.Job), 0)
	}
}

// until polls a condition; the last word on it is the caller's.
func (j *job) until(patience time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// await waits for the nth event of a kind.
func (j *job) await(what string, nth int) {
	j.t.Helper()
	if !j.until(30*time.Second, func() bool { return len(j.events(what)) >= nth }) {
		j.t.Fatalf("no %d events %q", nth, what)
	}
}

func (r *run) events(what string) []string {
	found, err := filepath.Glob(filepath.Join(r.dir.Events(), "*."+what+".json"))
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// do runs a job to its end and returns its result.
func (r *run) do(a record.Assignment, code diag.Code) record.Result {
	r.t.Helper()
	j := r.begin(a)
	if got := j.wait(); got != code {
		r.t.Fatalf("exit code %d, want %d:\n%s", got, code, j.out)
	}
	return j.result()
}

// result of the job, with what holds for every result held.
func (j *job) result() record.Result {
	j.t.Helper()
	var res record.Result
	if err := fsx.ReadJSON(j.attempt().Result(), &res); err != nil {
		j.t.Fatalf("%v\n%s", err, j.out)
	}
	sum := 0.0
	for activity, s := range res.Ledger {
		if s < 0 {
			j.t.Errorf("%v s of %s", s, activity)
		}
		sum += s
	}
	if wall := res.Ended.Sub(res.Started).Seconds(); sum < wall-1e-3 || sum > wall+1e-3 {
		j.t.Errorf("the ledger has %.4f of %.4f s", sum, wall)
	}
	if !res.Complete || res.Job != j.a.Job || res.Attempt != j.a.Attempt || res.SchedulerID != "4711" {
		j.t.Errorf("result %+v", res)
	}
	if (res.Outcome == record.OutcomeFailed) != (res.Cause != "" && res.Outcome == record.OutcomeFailed && res.Message != "") {
		j.t.Errorf("a failure without cause or message: %+v", res)
	}
	if n := len(j.observations()); n != res.Observations {
		j.t.Errorf("%d observations, the result says %d", n, res.Observations)
	}
	return res
}

func (j *job) attempt() record.AttemptDir { return j.dir.Attempt(j.a.Kind, j.a.Cell.ID, j.a.Attempt) }

func (j *job) observations() []record.Observation {
	j.t.Helper()
	return j.observed(j.a)
}

func (r *run) observed(a record.Assignment) []record.Observation {
	r.t.Helper()
	var all []record.Observation
	for n := 1; ; n++ {
		var o record.Observation
		err := fsx.ReadJSON(r.dir.Attempt(a.Kind, a.Cell.ID, a.Attempt).Observation(n), &o)
		if errors.Is(err, os.ErrNotExist) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if !o.Complete || o.Seq != n || o.Attempt != a.Attempt {
			r.t.Errorf("observation %d: %+v", n, o)
		}
		all = append(all, o)
	}
}
