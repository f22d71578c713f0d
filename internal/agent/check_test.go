package agent_test

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// checked is a cell's job that compares its node with others, on a node with a (fake) nvidia-smi.
func (r *run) checked(play string) record.Assignment {
	r.t.Helper()
	bin, err := filepath.Abs("../hardware/testdata/bin")
	if err != nil {
		r.t.Fatal(err)
	}
	r.env = append(r.env, "PATH="+bin+":"+os.Getenv("PATH"), "FAKE_SMI="+play, "CUDA_VISIBLE_DEVICES=1", "SLURMD_NODENAME=n7")
	a := unlimited(r.tuned(record.KindCell, 1))
	a.Server.Environment["VLLM_SIM_TIME_SCALE"] = "20"
	a.Check = &record.CheckLoad{Requests: 8, InputLen: 512, OutputLen: 32}
	return a
}

func (j *job) health() (h record.Health) {
	j.t.Helper()
	if err := fsx.ReadJSON(j.attempt().Health(), &h); err != nil {
		j.t.Fatalf("%v\n%s", err, j.out)
	}
	return h
}

func TestAnAttemptRecordsWhatItsNodeIsAndHowItDoes(t *testing.T) {
	r := newRun(t)
	j := r.begin(r.checked("hot"))
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	var claim record.Attempt
	if err := fsx.ReadJSON(j.attempt().Attempt(), &claim); err != nil {
		t.Fatal(err)
	}
	if h := claim.Hardware; h == nil || len(h.GPUs) != 1 || h.GPUs[0].Index != 1 || h.Driver != "580.159.04" || h.Cores < 1 || h.Kernel == "" {
		t.Errorf("hardware %+v", h)
	}
	h := j.health()
	if len(h.Loaded) != 1 || !slices.Contains(h.Loaded[0].Throttle, record.ThrottleHotHardware) || h.Node != "n7" || h.Job != "s4-t512-1" {
		t.Errorf("health %+v", h)
	}
	// Of an 8B model on the simulated H200 a token takes 5.9 ms alone, and the computing of a prompt of 512 tokens 15 ms. The upper
	// bounds are a busy machine's.
	if c := h.Check; c == nil || c.Requests < 4 || c.TPOT < 5 || c.TPOT > 30 || c.TTFT < 10 || c.TTFT > 300 || c.Seconds <= 0 {
		t.Errorf("self-check %+v", c)
	}
	res := j.result()
	if s := res.Ledger[record.SpendCheck]; s <= 0 || s > res.Ended.Sub(res.Started).Seconds()/2 {
		t.Errorf("the self-check took %v s of %v", s, res.Ledger)
	}
	for _, o := range j.observations() {
		if o.Load.Requests == 8 {
			t.Errorf("the self-check is an observation: %+v", o)
		}
	}
}

// A bad node may well be what kills an attempt; then its check is the evidence.
func TestAnAttemptThatIsKilledLeavesItsCheck(t *testing.T) {
	r := newRun(t)
	j := r.begin(r.checked(""))
	j.await("load", 1)
	if err := j.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-j.code
	j.alone(20 * time.Second)
	if h := j.health(); h.Check == nil || h.Check.TPOT <= 0 {
		t.Errorf("%+v", h)
	}
}

// The work that rides on the probe's server is the first to load it, so the check is its part.
func TestARiderChecksTheServerThatItWasLeft(t *testing.T) {
	r := newRun(t)
	probe, cell := r.rider()
	cell.Check = &record.CheckLoad{Requests: 2, InputLen: 64, OutputLen: 8}
	r.publish(r.dir.Assignment(cell.Job), cell)
	j := r.begin(probe)
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	if h := (&job{run: r, a: cell, out: j.out}).health(); h.Check == nil || h.Check.Requests != 2 {
		t.Errorf("%+v", h)
	}
	if _, err := os.Stat(j.attempt().Health()); err == nil {
		t.Error("the probe has a record of a load")
	}
}

// A server on a GPU that the scheduler did not give would share it with whoever has it: the job ends before it starts one, and goes out
// again.
func TestAJobThatWasGivenNoneOfItsGPUsStartsNoServer(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProbe, 1)
	a.GPUs = 1
	res := r.do(a, agentFailed)
	if res.Cause != record.CauseLaunch || len(res.Starts) > 0 {
		t.Errorf("%s (%s), starts %+v", res.Outcome, res.Cause, res.Starts)
	}
}
