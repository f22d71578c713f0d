package agent_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vtune/internal/agent"
	"vtune/internal/diag"
	"vtune/internal/proc"
	"vtune/internal/record"
)

const agentFailed = agent.Failed

// hold books memory on the simulated GPU for this process, as another tenant of a real one would.
func (r *run) hold(gib float64) {
	r.t.Helper()
	self, err := proc.Self()
	if err != nil {
		r.t.Fatal(err)
	}
	dir := filepath.Join(r.gpu, "gpu-0")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	entry := filepath.Join(dir, fmt.Sprintf("%d-%d", self.PID, self.StartTicks))
	if err := os.WriteFile(entry, fmt.Appendf(nil, "%g", gib), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// listen takes a port for the length of a test.
func listen(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestAnEmptyGPUPassesTheProbeAtItsFirstValue(t *testing.T) {
	r := newRun(t)
	res := r.do(r.assignment(record.KindProbe, 1), diag.OK)
	if res.Outcome != record.OutcomeDone || res.Utilization != 0.98 || len(res.Starts) != 1 || res.ServerVersion != "0.32.0+sim" {
		t.Errorf("%+v", res)
	}
}

func TestTheProbeStepsDownWhileMemoryIsShort(t *testing.T) {
	r := newRun(t)
	r.hold(5)
	res := r.do(r.assignment(record.KindProbe, 1), diag.OK)
	if res.Outcome != record.OutcomeDone || res.Utilization >= 0.98 || res.Utilization <= 0.9 || len(res.Starts) < 2 {
		t.Fatalf("%+v", res)
	}
	for i, s := range res.Starts {
		if want := fmt.Sprintf("%.2f", 0.98-float64(i)/100); fmt.Sprintf("%.2f", s.Utilization) != want || !strings.HasSuffix(s.LogFile, "server-"+want+".log") {
			t.Errorf("start %d: %+v", i, s)
		}
		if last := i == len(res.Starts)-1; s.OK != last || !last && (s.Cause != record.CauseOOM || !strings.Contains(s.Message, "Free memory on device")) {
			t.Errorf("start %d: %+v", i, s)
		}
	}
}

func TestAProbeForWhichNothingFitsFails(t *testing.T) {
	r := newRun(t)
	r.hold(60)
	res := r.do(r.assignment(record.KindProbe, 1), agentFailed)
	if res.Outcome != record.OutcomeFailed || res.Cause != record.CauseOOM || len(res.Starts) != 9 {
		t.Errorf("%+v", res)
	}
}

func TestFlagsThatTheServerRefusesEndTheProbeAtOnceInItsWords(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProbe, 1)
	a.Server.Flags = []string{"--no-such-flag"}
	res := r.do(a, agentFailed)
	if res.Cause != record.CauseFlags || len(res.Starts) != 1 || !strings.Contains(res.Message, "unrecognized arguments: --no-such-flag") {
		t.Errorf("%+v", res)
	}
}

func TestAServerThatHangsAtItsStartIsNotWaitedForForEver(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProbe, 1)
	a.Server.Environment["VLLM_SIM_FAIL"] = "hang-at-start"
	a.Server.StartTimeoutSeconds = 1
	res := r.do(a, agentFailed)
	if res.Cause != record.CauseTimeout || !strings.Contains(res.Message, "not healthy after 1 s") {
		t.Errorf("%+v", res)
	}
}

func TestAServerThatCrashesAtItsStartIsNoMatterOfMemory(t *testing.T) {
	r := newRun(t)
	a := r.assignment(record.KindProbe, 1)
	a.Server.Environment["VLLM_SIM_FAIL"] = "crash-at-start"
	res := r.do(a, agentFailed)
	if res.Cause != record.CauseCrash || !strings.Contains(res.Message, "simulated crash at start") {
		t.Errorf("%+v", res)
	}
	for _, s := range res.Starts {
		if s.Utilization != 0.98 {
			t.Errorf("stepped down to %v", s.Utilization)
		}
	}
}

func TestAPortIsAnotherTryForTheProbeToo(t *testing.T) {
	r := newRun(t)
	r.env = append(r.env, firstPort+"="+listen(t))
	res := r.do(r.assignment(record.KindProbe, 1), diag.OK)
	if res.Utilization != 0.98 || len(res.Starts) != 2 || res.Starts[0].Cause != record.CausePort {
		t.Errorf("%+v", res)
	}
}
