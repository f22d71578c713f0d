package agent_test

import (
	"os"
	"strings"
	"testing"

	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/search"
)

func TestACellIsSearchedToItsAnswer(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	res := r.do(a, diag.OK)
	if res.Outcome != record.OutcomeDone || res.Cause != "" || res.ServerVersion != "0.32.0+sim" {
		t.Errorf("%+v", res)
	}
	all := r.observed(a)
	if len(all) < 2 || !all[0].Load.Rate.IsInf() || all[0].Verdict != record.Miss || all[len(all)-1].Verdict != record.Pass {
		t.Fatalf("%+v", all)
	}
	if d := search.Next(search.Question{Policy: a.Policy, Observed: all}); d.Action != search.Accept {
		t.Errorf("the search wants to go on: %+v", d)
	}
	r.files(all)
	if n := len(r.events("observation")); n != len(all) {
		t.Errorf("%d events of %d observations", n, len(all))
	}
}

// The simulation's time is not this client's, so only its inf run is compared with anything.
func TestTheOwnClientMeasuresToo(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	a.Client, a.Policy.LimitMS = "vtune", 0
	if res := r.do(a, diag.OK); res.Outcome != record.OutcomeDone || res.Ledger[record.SpendMeasured] == 0 {
		t.Errorf("%+v", res)
	}
	all := r.observed(a)
	r.files(all)
	if m := all[0].Metrics; m.Completed != 200 || m.TotalInputTokens != 200*512 || m.TotalOutputTokens != 200*64 || m.E2EL.P99 < m.E2EL.P50 || m.E2EL.P50 < m.TTFT.P50 {
		t.Errorf("%+v", m)
	}
}

// files holds that the client's own files are where the observations say.
func (r *run) files(all []record.Observation) {
	r.t.Helper()
	for _, o := range all {
		for _, file := range []string{o.LogFile, o.RawFile} {
			if info, err := os.Stat(string(r.dir) + "/" + file); file == "" || err != nil || info.Size() == 0 {
				r.t.Errorf("%s: file %q: %v", o.Load, file, err)
			}
		}
	}
}

func TestWithRateSearchAsFollowUpTheJobEndsAfterTheInfRun(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	a.StopAfterInf = true
	res := r.do(a, diag.OK)
	if res.Outcome != record.OutcomeContinue || res.Cause != record.CauseRateLater || res.Observations != 1 {
		t.Fatalf("%+v", res)
	}
	next := r.assignment(record.KindCell, 2)
	next.Known = r.observed(a)
	if res := r.do(next, diag.OK); res.Outcome != record.OutcomeDone {
		t.Errorf("%+v", res)
	}
	for _, o := range r.observed(next) {
		if o.Load.Rate.IsInf() {
			t.Errorf("the follow-up made %s again", o.Load)
		}
	}
}

func TestAnInfRunWithinTheLimitEndsTheCell(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	a.StopAfterInf = true
	a.Policy.LimitMS = 0
	if res := r.do(a, diag.OK); res.Outcome != record.OutcomeDone || res.Observations != 1 {
		t.Errorf("%+v", res)
	}
}

func TestACellThatMeetsNoLimitIsDoneAndSaysSo(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	a.Policy.LimitMS = 1
	if res := r.do(a, diag.OK); res.Outcome != record.OutcomeDone || !strings.Contains(res.Message, "limit") {
		t.Errorf("%+v", res)
	}
}

func TestWhatIsKnownToBeOverStartsNoServer(t *testing.T) {
	r := newRun(t)
	first := r.assignment(record.KindCell, 1)
	first.Policy.LimitMS = 0
	r.do(first, diag.OK)
	second := r.assignment(record.KindCell, 2)
	second.Policy, second.Known = first.Policy, r.observed(first)
	if res := r.do(second, diag.OK); res.Outcome != record.OutcomeDone || len(res.Starts) != 0 {
		t.Errorf("%+v", res)
	}
}

func TestTheUtilizationIsTheProbesWhenTheAssignmentHasNone(t *testing.T) {
	r := newRun(t)
	probe := r.do(r.assignment(record.KindProbe, 1), diag.OK)
	a := r.assignment(record.KindCell, 1)
	a.Utilization, a.Policy.LimitMS = 0, 0
	if res := r.do(a, diag.OK); len(res.Starts) != 1 || res.Starts[0].Utilization != probe.Utilization {
		t.Errorf("%+v", res)
	}
}

func TestAServerThatDiesUnderLoadFailsItsCell(t *testing.T) {
	for fault, cause := range map[string]record.Cause{"crash-after=5": record.CauseCrash, "oom-under-load": record.CauseOOM} {
		t.Run(fault, func(t *testing.T) {
			r := newRun(t)
			a := r.assignment(record.KindCell, 1)
			a.Server.Environment["VLLM_SIM_FAIL"] = fault
			res := r.do(a, agentFailed)
			if res.Outcome != record.OutcomeFailed || res.Cause != cause {
				t.Errorf("%+v", res)
			}
			if all := r.observed(a); len(all) != 1 || all[0].Verdict != record.Invalid || all[0].Cause != cause {
				t.Errorf("%+v", all)
			}
		})
	}
}

func TestDroppedRequestsNeverPass(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	a.Policy.LimitMS = 0
	a.Server.Environment["VLLM_SIM_FAIL"] = "drop=0.5"
	res := r.do(a, agentFailed)
	if res.Outcome != record.OutcomeFailed || (res.Cause != record.CauseRequests && res.Cause != record.CauseClient) {
		t.Errorf("%+v", res)
	}
	for _, o := range r.observed(a) {
		if o.Verdict != record.Invalid {
			t.Errorf("%+v", o)
		}
	}
}

func TestAPortThatSomebodyTookCostsAnotherTry(t *testing.T) {
	r := newRun(t)
	l := listen(t)
	r.env = append(r.env, firstPort+"="+l)
	a := r.assignment(record.KindCell, 1)
	a.Policy.LimitMS = 0
	res := r.do(a, diag.OK)
	if len(res.Starts) != 2 || res.Starts[0].Cause != record.CausePort || !res.Starts[1].OK {
		t.Errorf("%+v", res.Starts)
	}
}

func TestACommandThatIsNotThereIsAWrongFlag(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindCell, 1)
	a.Server.Command = []string{"/nonexistent/vllm"}
	if res := r.do(a, agentFailed); res.Cause != record.CauseFlags || !strings.Contains(res.Message, "/nonexistent/vllm") {
		t.Errorf("%+v", res)
	}
}
