package agent_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/agent"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/need"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/search"
)

// slow makes loads long enough to interrupt them, and many: no rate meets its limit.
func (r *run) slow(a record.Assignment) record.Assignment {
	a.Server.Environment["VLLM_SIM_TIME_SCALE"] = "20"
	a.Policy.LimitMS, a.Policy.InfRequests = 1, 40
	return a
}

func TestAStopIsContinuedByTheNextAttemptWithExactlyWhatIsLeft(t *testing.T) {
	for sig, cause := range map[syscall.Signal]record.Cause{syscall.SIGTERM: record.CauseStopped, syscall.SIGUSR2: record.CauseTimeLimit} {
		t.Run(string(cause), func(t *testing.T) {
			r := newRun(t)
			first := r.slow(r.assignment(record.KindCell, 1))
			j := r.begin(first)
			j.await("load", 3)
			j.cmd.Process.Signal(sig)
			if code := j.wait(); code != agent.Stopped {
				t.Fatalf("exit code %d:\n%s", code, j.out)
			}
			res := j.result()
			if res.Outcome != record.OutcomeContinue || res.Cause != cause {
				t.Errorf("%+v", res)
			}
			known := j.observations()
			for _, o := range known {
				if o.Verdict == record.Invalid {
					t.Errorf("a load that was cut off is recorded: %+v", o)
				}
			}

			second := r.assignment(record.KindCell, 2)
			second.Policy, second.Known = first.Policy, known
			if res := r.do(second, diag.OK); res.Outcome != record.OutcomeDone {
				t.Errorf("%+v", res)
			}
			all := append(known, r.observed(second)...)
			seen := map[record.Load]bool{}
			for _, o := range all {
				if seen[o.Load] {
					t.Errorf("%s was measured twice", o.Load)
				}
				seen[o.Load] = true
			}
			if d := search.Next(search.Question{Policy: second.Policy, Observed: all}); d.Action != search.GiveUp || !seen[record.Load{Rate: 1, Requests: 10}] {
				t.Errorf("%+v after %v", d, seen)
			}
		})
	}
}

func TestAStopDuringTheStartLeavesNoServer(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProbe, 1)
	a.Server.Environment["VLLM_SIM_FAIL"] = "hang-at-start"
	j := r.begin(a)
	j.await("server-starting", 1)
	j.cmd.Process.Signal(syscall.SIGTERM)
	if code := j.wait(); code != agent.Stopped {
		t.Errorf("exit code %d:\n%s", code, j.out)
	}
	if res := j.result(); res.Outcome != record.OutcomeContinue || res.Cause != record.CauseStopped || len(res.Starts) != 0 {
		t.Errorf("%+v", res)
	}
}

// A scheduler signals a whole job, and the server obeys before the agent has finished its work.
func TestAServerThatObeyedBeforeTheAgentDidNotCrash(t *testing.T) {
	r := newRun(t)
	j := r.begin(r.slow(r.assignment(record.KindCell, 1)))
	j.await("load", 2)
	for _, pid := range j.servers() {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	time.AfterFunc(300*time.Millisecond, func() { j.cmd.Process.Signal(syscall.SIGTERM) })
	if code := j.wait(); code != agent.Stopped {
		t.Errorf("exit code %d:\n%s", code, j.out)
	}
	for _, o := range j.observations() {
		if o.Verdict == record.Invalid {
			t.Errorf("%+v", o)
		}
	}
}

// servers are the API servers of a job: what runs `serve` and has the agent as its parent.
func (j *job) servers() (pids []int) {
	j.t.Helper()
	marked, err := proc.Marked(agent.Mark(j.dir, j.a.Job))
	if err != nil {
		j.t.Fatal(err)
	}
	for _, id := range marked {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id.PID))
		if err == nil && bytes.Contains(argv, []byte("\x00serve\x00meta")) {
			pids = append(pids, id.PID)
		}
	}
	return pids
}

func TestAnEngineThatOutlivesItsServerIsSwept(t *testing.T) {
	r := newRun(t)
	j := r.begin(r.slow(r.assignment(record.KindCell, 1)))
	j.await("load", 2)
	for _, pid := range j.servers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	if code := j.wait(); code != agent.Failed {
		t.Errorf("exit code %d:\n%s", code, j.out)
	}
	if res := j.result(); res.Cause != record.CauseCrash || !strings.Contains(res.Message, "SIGKILL") {
		t.Errorf("%+v", res)
	}
}

func TestAProcessThatLeftTheServersGroupIsSweptToo(t *testing.T) {
	r := newRun(t)
	wrapper := filepath.Join(filepath.Dir(string(r.dir)), "wrapper")
	script := "#!/bin/sh\nif [ \"$1\" = serve ]; then setsid sleep 1000 & fi\nexec vllm \"$@\"\n"
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	a := r.assignment(record.KindCell, 1)
	a.Server.Command, a.Policy.LimitMS = []string{wrapper}, 0
	j := r.begin(a)
	if code := j.wait(); code != diag.OK {
		t.Errorf("exit code %d:\n%s", code, j.out)
	}
	if !strings.Contains(j.out.String(), "had left their group") {
		t.Errorf("there was nothing to sweep:\n%s", j.out)
	}
}

func TestAKilledAgentTakesItsServerAlong(t *testing.T) {
	r := newRun(t)
	j := r.begin(r.slow(r.assignment(record.KindCell, 1)))
	j.await("load", 2)
	if len(j.servers()) == 0 {
		t.Fatal("no server to begin with")
	}
	j.cmd.Process.Kill()
	<-j.code
	j.alone(20 * time.Second)
	if _, err := os.Stat(j.attempt().Result()); err == nil {
		t.Error("a killed agent left a result")
	}
}

func TestAnAttemptIsNeverBegunTwice(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProbe, 1)
	r.do(a, diag.OK)
	before := r.snapshot(r.dir.Work(record.KindProbe, ""))
	if code := r.begin(a).wait(); code != agent.Refused {
		t.Errorf("exit code %d", code)
	}
	if after := r.snapshot(r.dir.Work(record.KindProbe, "")); after != before {
		t.Errorf("files changed from\n%s\nto\n%s", before, after)
	}
	if n, err := filepath.Glob(filepath.Join(r.dir.Events(), a.Job+".restart-*.json")); err != nil || len(n) != 1 {
		t.Errorf("%v, %v", n, err)
	}
}

// snapshot is every file below dir with its size and time.
func (r *run) snapshot(dir string) string {
	r.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintln(&b, path, info.Size(), info.ModTime())
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return b.String()
}

func TestACancelledRunIsNotWorkedOn(t *testing.T) {
	r := newRun(t)
	r.publish(r.dir.Cancelled(), record.Cancelled{Schema: record.Schema})
	if code := r.begin(r.assignment(record.KindCell, 1)).wait(); code != diag.OK {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(r.dir.Cells()); err == nil {
		t.Error("the attempt was begun")
	}
}

func TestACellWaitsForTheProbesWord(t *testing.T) {
	probe := func(attempt int, o record.Outcome) record.Result {
		return record.Result{Schema: record.Schema, Kind: record.KindProbe, Attempt: attempt, Outcome: o, Message: "too big", Utilization: 0.95, Complete: true}
	}
	for _, c := range []struct {
		name    string
		probes  []record.Result
		outcome record.Outcome
		cause   record.Cause
	}{
		{"failed", []record.Result{probe(1, record.OutcomeFailed)}, record.OutcomeSkipped, record.CauseProbe},
		{"none", nil, record.OutcomeContinue, record.CauseProbe},
		{"cut off", []record.Result{probe(1, record.OutcomeContinue)}, record.OutcomeContinue, record.CauseProbe},
		{"cut off, then failed", []record.Result{probe(1, record.OutcomeContinue), probe(2, record.OutcomeFailed)}, record.OutcomeSkipped, record.CauseProbe},
		{"cut off, then done", []record.Result{probe(1, record.OutcomeContinue), probe(2, record.OutcomeDone)}, record.OutcomeDone, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			for _, p := range c.probes {
				r.publish(r.dir.Attempt(record.KindProbe, "", p.Attempt).Result(), p)
			}
			a := r.assignment(record.KindCell, 1)
			a.Utilization, a.Policy.LimitMS = 0, 0
			if res := r.do(a, diag.OK); res.Outcome != c.outcome || res.Cause != c.cause {
				t.Errorf("%+v", res)
			}
		})
	}
}

func TestTheKeyOfAServerIsInNoFile(t *testing.T) {
	r := newRun(t)
	j := r.begin(r.slow(r.assignment(record.KindCell, 1)))
	j.await("load", 1)
	key := ""
	for _, pid := range j.servers() {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		for entry := range strings.SplitSeq(string(env), "\x00") {
			if k, ok := strings.CutPrefix(entry, "VLLM_API_KEY="); ok {
				key = k
			}
		}
	}
	if len(key) < 20 {
		t.Fatalf("the server's key is %q", key)
	}
	j.await("load", 2)
	for _, pid := range j.servers() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	j.wait()
	err := filepath.WalkDir(string(r.dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(key)) {
			t.Errorf("the key is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(j.out.String(), key) {
		t.Error("the key is in the job's log")
	}
}

func TestAFullDiskEndsTheJobWithoutHalfARecord(t *testing.T) {
	disk := need.SmallDisk(t, "1m")
	t.Parallel()
	r := adopt(t, disk)
	r.gpu = t.TempDir()
	j := r.begin(r.slow(r.assignment(record.KindCell, 1)))
	j.await("load", 2)
	fill, err := os.Create(filepath.Join(disk, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()
	if code := j.wait(); code != agent.Failed {
		t.Errorf("exit code %d:\n%s", code, j.out)
	}
	if !strings.Contains(j.out.String(), "no space left on device") {
		t.Errorf("the job's log does not say why:\n%s", j.out)
	}
	if _, err := os.Stat(j.attempt().Result()); err == nil {
		t.Error("there is a result")
	}
	left, err := os.ReadDir(j.attempt().Observations())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		var o record.Observation
		if err := fsx.ReadJSON(filepath.Join(j.attempt().Observations(), f.Name()), &o); err != nil || !o.Complete {
			t.Errorf("%s is half a record: %v", f.Name(), err)
		}
	}
}
