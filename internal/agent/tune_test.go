package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
)

// tuned is an assignment of method vtune that ends well on an untroubled server. The limit is far above what a request takes alone
// and far below what it takes in a queue that grows.
func (r *run) tuned(k record.Kind, attempt int) record.Assignment {
	a := r.assignment(k, attempt)
	a.Client, a.Seed = "vtune", 7
	a.Workload.VocabSize = 32_000
	a.Server.Environment["VLLM_SIM_TIME_SCALE"] = "50"
	a.Policy = record.Policy{
		Method: search.Vtune, Limits: []record.Limit{{Metric: record.E2EL, Percentile: 90, MS: 3000}}, Tolerance: 0.2, RateRequests: 20,
		Test:  record.Test{Zone: 0.9, FalsePass: 0.1, FalseMiss: 0.1, MaxRequests: 600, MaxSeconds: 600},
		Prune: record.PruneBound, Emulate: record.EmulateAuto,
	}
	return a
}

// unlimited asks for the throughput only: one load a cell.
func unlimited(a record.Assignment) record.Assignment {
	a.Policy.Limits, a.Policy.Test.MaxRequests = nil, 200
	return a
}

func TestMethodVtuneSearchesACellToItsAnswer(t *testing.T) {
	r := newRun(t)
	a := r.tuned(record.KindCell, 1)
	j := r.begin(a)
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	t.Logf("%s", j.out)
	res := j.result()
	all := j.observations()
	d := search.Next(search.Question{Policy: a.Policy, Observed: all})
	if res.Outcome != record.OutcomeDone || d.Action != search.Accept {
		t.Fatalf("%+v, %+v", res, d)
	}
	seeds := map[int64]bool{}
	for _, o := range all {
		if seeds[o.Seed] || o.Seed < 0 || o.Seed > 1<<32 {
			t.Errorf("seed %d", o.Seed)
		}
		seeds[o.Seed] = true
		if o.Steady == nil || o.Timelines == "" || len(o.Histograms) != 4 || o.Metrics.Completed == 0 || o.Detail == "" {
			t.Errorf("%+v", o)
		}
	}
	early := slices.ContainsFunc(all, func(o record.Observation) bool {
		return o.Steady.Early && o.Metrics.Completed < o.Load.Requests && o.Metrics.Failed == 0 && o.Verdict != record.Invalid
	})
	if !early {
		t.Error("no load ended early")
	}
	var told record.Feasible
	if err := fsx.ReadJSON(r.dir.Best(a.Job), &told); err != nil || !told.Confirmed || told.Cell != a.Cell.ID || told.Rate != float64(d.Best.Load.Rate) {
		t.Errorf("told %+v, %v", told, err)
	}
	if res.Ledger[record.SpendDraining] <= 0 || res.Ledger[record.SpendMeasured] <= 0 {
		t.Errorf("%v", res.Ledger)
	}
	if len(res.Starts) != 1 || !strings.Contains(string(r.read(res.Starts[0].LogFile)), "unix:") {
		t.Errorf("the server does not listen at a socket: %+v", res.Starts)
	}
}

func (r *run) read(rel string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(string(r.dir), rel))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

func TestWithoutAVocabularyNoServerIsStarted(t *testing.T) {
	for _, kind := range []record.Kind{record.KindProbe, record.KindCell} {
		t.Run(string(kind), func(t *testing.T) {
			r := newRun(t)
			a := r.tuned(kind, 1)
			a.Workload.VocabSize, a.Server.Model = 0, "/nonexistent/model"
			res := r.do(a, agentFailed)
			if res.Cause != record.CauseFlags || len(res.Starts) != 0 || !strings.Contains(res.Message, "vocab_size") {
				t.Errorf("%+v", res)
			}
		})
	}
}

// rider is a probe that carries a cell's job, and that job.
func (r *run) rider() (probe, cell record.Assignment) {
	probe, cell = r.tuned(record.KindProbe, 1), unlimited(r.tuned(record.KindCell, 1))
	probe.Riders, cell.Utilization = []string{cell.Job}, 0
	r.publish(r.dir.Assignment(cell.Job), cell)
	return probe, cell
}

func TestARiderGoesOnOnTheProbesServer(t *testing.T) {
	r := newRun(t)
	probe, cell := r.rider()
	j := r.begin(probe)
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	first := j.result()
	rode := (&job{run: r, a: cell, out: j.out}).result()
	if len(first.Starts) != 1 || len(rode.Starts) != 0 || len(r.events("server-up")) != 1 {
		t.Errorf("started %+v and %+v", first.Starts, rode.Starts)
	}
	if first.Utilization != 0.98 || rode.Utilization != 0.98 || rode.Outcome != record.OutcomeDone || rode.Observations == 0 {
		t.Errorf("%+v\n%+v", first, rode)
	}
	if rode.Started.Before(first.Ended) {
		t.Error("the rider began before the probe was over")
	}
}

func TestARiderThatNeedsOtherFlagsStartsItsOwnServer(t *testing.T) {
	r := newRun(t)
	probe, cell := r.rider()
	cell.Cell = record.Cell{ID: "s2-t512", MaxNumSeqs: 2, MaxNumBatchedTokens: 512}
	r.publish(r.dir.Assignment(cell.Job), cell)
	j := r.begin(probe)
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	if rode := (&job{run: r, a: cell, out: j.out}).result(); len(rode.Starts) != 1 || rode.Outcome != record.OutcomeDone {
		t.Errorf("%+v", rode)
	}
}

// What depends on the probe must not wait for ever because the first cell failed.
func TestARidersFailureIsNotTheProbes(t *testing.T) {
	r := newRun(t)
	probe, cell := r.rider()
	probe.Server.Environment["VLLM_SIM_FAIL"] = "drop=0.5"
	cell.Server.Environment["VLLM_SIM_FAIL"] = "drop=0.5"
	r.publish(r.dir.Assignment(cell.Job), cell)
	j := r.begin(probe)
	if code := j.wait(); code != diag.OK {
		t.Errorf("exit code %d:\n%s", code, j.out)
	}
	rode := (&job{run: r, a: cell, out: j.out}).result()
	if rode.Outcome != record.OutcomeFailed || rode.Cause != record.CauseRequests {
		t.Errorf("%+v", rode)
	}
}

func TestARiderThatIsCutOffIsContinuedByItsFollowUp(t *testing.T) {
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			r := newRun(t)
			probe, cell := r.rider()
			cell.Policy = r.tuned(record.KindCell, 1).Policy
			// One load is soon over, the next is slow enough to be cut off: a test that is never sure.
			cell.Policy.Test.FalsePass, cell.Policy.Test.FalseMiss = 1e-9, 1e-9
			probe.Server.Environment["VLLM_SIM_TIME_SCALE"] = "5"
			cell.Server.Environment["VLLM_SIM_TIME_SCALE"] = "5"
			r.publish(r.dir.Assignment(cell.Job), cell)
			j := r.begin(probe)
			j.await("observation", 1)
			j.await("load", 2)
			j.cmd.Process.Signal(how)
			code := <-j.code
			j.alone(20 * time.Second)
			if how == syscall.SIGTERM && code != diag.OK {
				t.Errorf("exit code %d:\n%s", code, j.out)
			}
			known := r.observed(cell)
			if len(known) == 0 {
				t.Fatalf("nothing is known:\n%s", j.out)
			}
			if how == syscall.SIGTERM {
				if rode := (&job{run: r, a: cell, out: j.out}).result(); rode.Outcome != record.OutcomeContinue || rode.Cause != record.CauseStopped {
					t.Errorf("%+v", rode)
				}
			}
			next := r.tuned(record.KindCell, 2)
			next.Known = known
			if res := r.do(next, diag.OK); res.Outcome != record.OutcomeDone {
				t.Errorf("%+v", res)
			}
			for _, o := range r.observed(next) {
				if o.Load.Purpose == record.Bound {
					t.Error("the follow-up asked again what was known")
				}
			}
		})
	}
}

func TestAColumnAnswersForSmallerCellsByEmulation(t *testing.T) {
	r := newRun(t)
	a := unlimited(r.tuned(record.KindCell, 1))
	a.Emulates = []record.Cell{{ID: "s2-t512", MaxNumSeqs: 2, MaxNumBatchedTokens: 512}, {ID: "s1-t512", MaxNumSeqs: 1, MaxNumBatchedTokens: 512}}
	res := r.do(a, diag.OK)
	throughput := map[string]float64{}
	for _, o := range r.observed(a) {
		if emulated := o.Cell != a.Cell.ID; o.Emulated != emulated || emulated != (o.Load.LetIn > 0) {
			t.Errorf("%+v", o)
		}
		throughput[o.Cell] = search.Objective(o)
	}
	if len(res.Starts) != 1 || len(throughput) != 3 || !(throughput["s1-t512"] < throughput["s2-t512"] && throughput["s2-t512"] < throughput["s4-t512"]) {
		t.Errorf("%+v after %+v", throughput, res.Starts)
	}
}

func TestACellLeavesWhenAnotherHoldsMore(t *testing.T) {
	for _, c := range []struct {
		name string
		told record.Feasible
		left bool
	}{
		{"more", record.Feasible{Cell: "s8-t512", Rate: 1000, Confirmed: true}, true},
		{"more, perhaps", record.Feasible{Cell: "s8-t512", Rate: 1, Likely: 1000, Confirmed: true}, true},
		{"less", record.Feasible{Cell: "s8-t512", Rate: 0.1, Confirmed: true}, false},
		{"not sure", record.Feasible{Cell: "s8-t512", Rate: 1000}, false},
		{"its own", record.Feasible{Cell: "s4-t512", Rate: 1000, Confirmed: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRun(t)
			r.publish(r.dir.Best("s8-t512-1"), c.told)
			res := r.do(unlimited(r.tuned(record.KindCell, 1)), diag.OK)
			_, err := os.Stat(r.dir.Best("s4-t512-1"))
			if left := err != nil; left != c.left || left != (res.Message != "") || res.Outcome != record.OutcomeDone {
				t.Errorf("left: %t, %+v", left, res)
			}
		})
	}
}

// The probe's server starts well and dies in the first full step: its budget leaves nothing for what steps need beyond it.
// One prompt, as it is sent before a load, does not fill a step, and of those that wait at any time two do.
func TestMemoryThatRunsOutUnderLoadIsAskedForLess(t *testing.T) {
	r := newRun(t)
	r.hold(2.2)
	a := unlimited(r.tuned(record.KindCell, 1))
	a.Server.MaxModelLen, a.Workload.InputLen, a.Workload.OutputLen, a.Workload.CacheHitPct = 8192, 5000, 4, 0
	a.Cell = record.Cell{ID: "s64-t8192", MaxNumSeqs: 64, MaxNumBatchedTokens: 8192}
	a.Job, a.Utilization = "s64-t8192-1", 0.98
	res := r.do(a, diag.OK)
	all := r.observed(a)
	if res.Outcome != record.OutcomeDone || res.Utilization != 0.96 || len(res.Starts) != 2 || !strings.Contains(res.Message, "0.96") {
		t.Errorf("%+v", res)
	}
	if len(all) != 2 || all[0].Cause != record.CauseOOM || all[1].Verdict != record.Pass || all[0].Load != all[1].Load {
		t.Errorf("%+v", all)
	}
}

func TestMemoryThatRunsOutAtEveryUtilizationFailsTheCell(t *testing.T) {
	r := newRun(t)
	a := unlimited(r.tuned(record.KindCell, 1))
	a.Server.Environment["VLLM_SIM_FAIL"] = "oom-under-load"
	if res := r.do(a, agentFailed); res.Cause != record.CauseOOM || len(res.Starts) != 6 && res.Utilization < 0.8 {
		t.Errorf("%+v", res)
	}
}

// A server with less memory is not the one that the claim is about.
func TestAClaimWhoseServerRunsOutOfMemoryIsNotMeasuredWithLess(t *testing.T) {
	r := newRun(t)
	a := unlimited(r.tuned(record.KindCell, 1))
	a.Server.Environment["VLLM_SIM_FAIL"] = "oom-under-load"
	a.Policy.Verify, a.Utilization = record.Verification{Rate: 5, Seconds: 10, Utilization: 0.9}, 0.9
	if res := r.do(a, agentFailed); res.Cause != record.CauseOOM || len(res.Starts) != 1 || res.Utilization != 0.9 {
		t.Errorf("%+v", res)
	}
}

// A claim's load goes on although its verdict would be clear long before: far below the capacity, far within the limit.
func TestAClaimsLoadIsNotEndedEarly(t *testing.T) {
	r := newRun(t)
	a := r.tuned(record.KindCell, 1)
	a.Policy.Verify, a.Utilization = record.Verification{Rate: 1, Seconds: 120, Utilization: 0.9}, 0.9
	a.Policy.Limits[0].MS = 60_000
	res := r.do(a, diag.OK)
	all := r.observed(a)
	if len(all) != 2 || all[0].Load.Purpose != record.Bound || res.Utilization != 0.9 || len(res.Starts) != 1 {
		t.Fatalf("%+v, %+v", res, all)
	}
	// Whether so few requests show it is this machine's affair: where it stood still for a moment, they count for fewer yet.
	if o := all[1]; o.Load.Purpose != record.Verify || o.Metrics.Completed != 120 || o.Steady.Early || o.Verdict != record.Pass && o.Verdict != record.Unsure {
		t.Errorf("%+v", o)
	}
}

func TestTheWinnersOwnServerTracesALoad(t *testing.T) {
	for _, rides := range []bool{false, true} {
		t.Run(fmt.Sprint("rides: ", rides), func(t *testing.T) {
			r := newRun(t)
			probe, a := r.rider()
			a.TraceWinner = true
			r.publish(r.dir.Assignment(a.Job), a)
			var j *job
			if rides {
				j = r.begin(probe)
			} else {
				a.Utilization = 0.9
				j = r.begin(a)
			}
			if code := j.wait(); code != diag.OK {
				t.Fatalf("exit code %d:\n%s", code, j.out)
			}
			res := (&job{run: r, a: a, out: j.out}).result()
			if res.Outcome != record.OutcomeDone || len(res.Profile) == 0 || res.Ledger[record.SpendProfile] <= 0 || res.Message != "" {
				t.Fatalf("%+v", res)
			}
			for _, name := range res.Profile {
				if !strings.Contains(name, "/trace/") || len(r.read(name)) == 0 {
					t.Errorf("%s", name)
				}
			}
			if n := len(r.events("server-up")); n != 1 {
				t.Errorf("%d starts", n)
			}
		})
	}
}

func TestACellThatIsNotTheBestIsNotTraced(t *testing.T) {
	r := newRun(t)
	r.publish(r.dir.Best("s8-t512-1"), record.Feasible{Cell: "s8-t512", Rate: 1000, Confirmed: true})
	a := unlimited(r.tuned(record.KindCell, 1))
	a.TraceWinner, a.Policy.Prune = true, record.PruneNone
	if res := r.do(a, diag.OK); len(res.Profile) != 0 || res.Message != "" {
		t.Errorf("%+v", res)
	}
}

// wrapped starts the server through a script that stands for a vLLM of another age.
func (r *run) wrapped(a record.Assignment, script string) record.Assignment {
	r.t.Helper()
	wrapper := filepath.Join(filepath.Dir(string(r.dir)), "wrapper")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\n"+script+"\nexec vllm \"$@\"\n"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	a.Server.Command = []string{wrapper}
	return a
}

const refuses = `for word; do case $word in %s) echo "vllm: error: unrecognized arguments: $word" >&2; exit 2;; esac; done`

func TestAServerThatKnowsNoSocketIsServedByItsPort(t *testing.T) {
	r := newRun(t)
	a := r.wrapped(unlimited(r.tuned(record.KindCell, 1)), fmt.Sprintf(refuses, "--uds"))
	res := r.do(a, diag.OK)
	if res.Outcome != record.OutcomeDone || len(res.Starts) != 2 || res.Starts[0].Cause != record.CauseFlags || !res.Starts[1].OK {
		t.Errorf("%+v", res)
	}
}

// The probe must not take a flag that can be done without for one that every start fails of.
func TestAProbeGoesOnWithoutTheFlagsThatItCanDoWithout(t *testing.T) {
	r := newRun(t)
	probe, cell := r.rider()
	cell.TraceWinner = true
	probe = r.wrapped(probe, fmt.Sprintf(refuses, "--uds|--profiler-config"))
	cell.Server.Command = probe.Server.Command
	r.publish(r.dir.Assignment(cell.Job), cell)
	j := r.begin(probe)
	if code := j.wait(); code != diag.OK {
		t.Fatalf("exit code %d:\n%s", code, j.out)
	}
	first, rode := j.result(), (&job{run: r, a: cell, out: j.out}).result()
	if first.Utilization != 0.98 || len(first.Starts) != 3 || len(rode.Starts) != 0 || !strings.Contains(rode.Message, "no trace: the server has no profiler") {
		t.Errorf("%+v\n%+v", first, rode)
	}
}

func TestNothingIsLeftOfASocket(t *testing.T) {
	r := newRun(t)
	tmp := t.TempDir()
	r.env = append(r.env, "TMPDIR="+tmp)
	r.do(unlimited(r.tuned(record.KindCell, 1)), diag.OK)
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestMethodVtuneNeedsItsOwnClient(t *testing.T) {
	r := newRun(t)
	a := r.tuned(record.KindCell, 1)
	a.Client = "vllm"
	if res := r.do(a, agentFailed); res.Cause != record.CauseFlags || len(res.Starts) != 0 {
		t.Errorf("%+v", res)
	}
}
