package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/jobs"
)

func TestJobsRunInTheOrderOfTheirDependencies(t *testing.T) {
	p := newPool(t, 4, 0)
	p.submit("first", wait("go")+"; echo first >> order")
	p.submit("second", "echo second >> order; exit 7", p.behind("first", record.AfterOK))
	p.submit("third", "echo third >> order", p.behind("second", record.AfterAny), p.behind("first", record.AfterOK))
	if s := p.list()["third"]; s.State != jobs.Pending || s.Reason != "waits for job 2" {
		t.Errorf("a job with an open dependency is %s (%s)", s.State, s.Reason)
	}
	p.touch("go")
	p.until("third", jobs.Completed)
	if got, want := p.read("order"), "first\nsecond\nthird\n"; got != want {
		t.Errorf("order %q, want %q", got, want)
	}
	if s := p.list()["second"]; s.State != jobs.Failed || s.ExitCode != "7:0" {
		t.Errorf("a script that exits 7 is %s, %s", s.State, s.ExitCode)
	}
}

func TestADependencyThatCannotBeSatisfiedEndsTheWholeChain(t *testing.T) {
	p := newPool(t, 4, 0)
	p.submit("bad", "exit 1")
	p.submit("next", "touch ran", p.behind("bad", record.AfterOK))
	p.submit("last", "touch ran", p.behind("next", record.AfterOK))
	p.submit("anyway", "touch anyway", p.behind("last", record.AfterAny))
	p.until("anyway", jobs.Completed)
	for _, name := range []string{"next", "last"} {
		if s := p.list()[name]; s.State != jobs.Orphaned || s.Reason != "dependency never satisfied" {
			t.Errorf("%s is %s (%s)", name, s.State, s.Reason)
		}
	}
	if _, err := os.Stat(p.path("ran")); err == nil {
		t.Error("a job ran although what it depends on had failed")
	}
}

func TestJobsNeverShareAGPU(t *testing.T) {
	p := newPool(t, 3, 0)
	for i := range 9 {
		p.submit(fmt.Sprintf("job%d", i), `
			IFS=, read -ra mine <<< "$CUDA_VISIBLE_DEVICES"
			[ ${#mine[@]} = `+strconv.Itoa(i%3+1)+` ] || exit 2
			for d in "${mine[@]}"; do mkdir gpu-$d || exit 3; done
			sleep 0.05
			for d in "${mine[@]}"; do rmdir gpu-$d; done`, gpus(i%3+1))
	}
	for i := range 9 {
		p.until(fmt.Sprintf("job%d", i), jobs.Completed)
	}
}

func TestJobsOnDifferentSlotsRunAtTheSameTime(t *testing.T) {
	p := newPool(t, 2, 0)
	p.submit("left", "touch left; "+wait("right"), gpus(1))
	p.submit("right", "touch right; "+wait("left"), gpus(1))
	p.until("left", jobs.Completed)
	p.until("right", jobs.Completed)
}

func TestAJobWithoutGPUsTakesASlotAndSeesNone(t *testing.T) {
	p := newPool(t, 1, 0)
	p.submit("one", wait("go")+`; echo "[$CUDA_VISIBLE_DEVICES] $VTUNE_LOCAL_JOB"`)
	p.submit("two", "true")
	p.until("one", jobs.Running)
	if s := p.list()["two"]; s.State != jobs.Pending || s.Reason != "waits for 1 free slots" {
		t.Errorf("with the only slot taken, the second job is %s (%s)", s.State, s.Reason)
	}
	p.touch("go")
	p.until("two", jobs.Completed)
	if got, want := p.read("one.log"), "[] 1\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

func TestATimeLimitWarnsThenTerminatesThenKills(t *testing.T) {
	p := newPool(t, 1, 200*time.Millisecond)
	p.submit("stubborn", `exec 2> /dev/null; trap "echo warned" USR2; trap "echo terminated" TERM; while :; do sleep 0.05; done`, seconds(2))
	s := p.until("stubborn", jobs.TimedOut)
	if s.ExitCode != "0:9" || s.Reason != "time limit of 2s" {
		t.Errorf("exit code %s, reason %q", s.ExitCode, s.Reason)
	}
	if got := p.read("stubborn.log"); got != "warned\nterminated\n" {
		t.Errorf("log %q", got)
	}
}

func TestAScriptMayUseItsWarningToEndWell(t *testing.T) {
	p := newPool(t, 1, 0)
	p.submit("wise", `trap "echo saved; exit 0" USR2; while :; do sleep 0.05; done`, seconds(2))
	p.until("wise", jobs.Completed)
	p.submit("deaf", `while :; do sleep 0.05; done`, seconds(2))
	if s := p.until("deaf", jobs.TimedOut); s.ExitCode != "0:12" {
		t.Errorf("exit code %s", s.ExitCode)
	}
	if got := p.read("wise.log"); got != "saved\n" {
		t.Errorf("log %q", got)
	}
}

func TestCancelEndsRunningAndWaitingJobsAndNoOthers(t *testing.T) {
	p := newPool(t, 2, 0)
	running := p.submit("running", "touch on; sleep 300 & wait")
	p.submit("other", "touch other; "+wait("go"))
	waiting := p.submit("waiting", "touch ran")
	p.exists("on")
	p.exists("other")
	ids := []jobs.Handle{running, waiting, {ID: "999"}, {ID: "no number"}}
	for range 2 {
		if err := p.Cancel(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
	}
	if s := p.until("running", jobs.Cancelled); s.ExitCode != "0:15" {
		t.Errorf("exit code %s", s.ExitCode)
	}
	p.until("waiting", jobs.Cancelled)
	if s := p.list()["other"]; s.State != jobs.Running {
		t.Errorf("the job that nobody cancelled is %s (%s)", s.State, s.Reason)
	}
	p.touch("go")
	p.until("other", jobs.Completed)
	if err := p.Cancel(t.Context(), []jobs.Handle{p.after["other"]}); err != nil {
		t.Fatal(err)
	}
	if s := p.list()["other"]; s.State != jobs.Completed {
		t.Errorf("a finished job became %s", s.State)
	}
	if _, err := os.Stat(p.path("ran")); err == nil {
		t.Error("a cancelled job ran")
	}
}

func TestJobsGoOnWhenTheDaemonIsKilledAndListStartsAnother(t *testing.T) {
	p := newPool(t, 1, 0)
	p.submit("now", "touch on; "+wait("go"))
	p.submit("later", "true", p.behind("now", record.AfterOK))
	p.exists("on")
	before, runner := p.daemon(), p.runner("now")
	p.kill(before, syscall.SIGKILL)
	p.touch("go")
	eventually(t, "the job has ended without a daemon", func() bool { return !runner.Alive() })
	p.until("later", jobs.Completed)
	if p.runner("now") != runner {
		t.Error("the job was started again")
	}
}

func TestCancelWorksWithoutADaemon(t *testing.T) {
	p := newPool(t, 1, 0)
	h := p.submit("job", "touch on; sleep 300 & wait")
	p.exists("on")
	p.kill(p.daemon(), syscall.SIGKILL)
	p.config.Program = []string{p.path("no-such-program")}
	if err := p.Cancel(t.Context(), []jobs.Handle{h}); !errors.Is(err, jobs.ErrUnavailable) {
		t.Errorf("cancelling where no daemon can be started gives %v", err)
	}
	q := newQueue(folder(p.config.Dir))
	eventually(t, "the runner has ended the job", func() bool { return q.refresh() == nil && !q.unfinished() })
	p.until("job", jobs.Cancelled)
}

func TestAKilledRunnerIsANodeFailureThatLeavesNothingAndFreesItsSlot(t *testing.T) {
	for _, daemonToo := range []bool{false, true} {
		t.Run(fmt.Sprintf("daemon killed too: %v", daemonToo), func(t *testing.T) {
			p := newPool(t, 1, 300*time.Millisecond)
			p.submit("job", `trap "" TERM; (env -i setsid sleep 300 & echo $! > orphan.pid); echo $$ > script.pid; while :; do sleep 0.1; done`)
			p.submit("next", "true")
			script, orphan := p.pid("script.pid"), p.pid("orphan.pid")
			if daemonToo {
				p.kill(p.daemon(), syscall.SIGKILL)
			}
			p.kill(p.runner("job"), syscall.SIGKILL)
			if s := p.until("job", jobs.NodeFail); s.Reason != "the job's runner died" {
				t.Errorf("reason %q", s.Reason)
			}
			if script.Alive() || orphan.Alive() {
				t.Errorf("script alive: %v, detached grandchild alive: %v", script.Alive(), orphan.Alive())
			}
			p.until("next", jobs.Completed)
		})
	}
}

func TestAKilledScriptFailsByItsSignal(t *testing.T) {
	p := newPool(t, 1, 0)
	p.submit("job", `echo $$ > script.pid; sleep 300`)
	p.kill(p.pid("script.pid"), syscall.SIGKILL)
	if s := p.until("job", jobs.Failed); s.ExitCode != "0:9" {
		t.Errorf("exit code %s", s.ExitCode)
	}
}

func TestWhatAJobDetachedDoesNotOutliveIt(t *testing.T) {
	p := newPool(t, 1, 300*time.Millisecond)
	p.submit("job", `
		(setsid bash -c 'echo $$ > a.pid; trap "" TERM; while :; do sleep 0.1; done' &)
		(env -i setsid bash -c 'echo $$ > b.pid; exec sleep 300' &)
		`+wait("a.pid")+"; "+wait("b.pid")+"; "+wait("go"))
	left := []proc.Identity{p.pid("a.pid"), p.pid("b.pid")}
	p.touch("go")
	p.until("job", jobs.Completed)
	for _, id := range left {
		if id.Alive() {
			t.Errorf("%s outlived its job", id)
		}
	}
}

func TestARunnerThatIsToldToStopEndsItsJobAsANodeFailure(t *testing.T) {
	p := newPool(t, 1, 0)
	p.submit("job", `touch on; sleep 300 & wait`)
	p.exists("on")
	p.kill(p.runner("job"), syscall.SIGTERM)
	if s := p.until("job", jobs.NodeFail); s.Reason != "the job's runner was told to stop" {
		t.Errorf("reason %q", s.Reason)
	}
}

func TestOfManyDaemonsOneSchedules(t *testing.T) {
	p := newPool(t, 2, 0)
	p.submit("holder", "touch on; "+wait("go"))
	p.exists("on")
	p.kill(p.daemon(), syscall.SIGKILL)
	for i := range 6 {
		if _, err := p.queue.add(request{
			Schema: schema, Run: "run", Name: fmt.Sprintf("job%d", i), WorkDir: p.dir,
			Log: p.path("log"), Script: p.request(fmt.Sprintf("job%d", i), fmt.Sprintf("echo >> runs%d", i)).Script,
		}); err != nil {
			t.Fatal(err)
		}
	}
	var rivals []*proc.Process
	for range 4 {
		rival, err := proc.Start(proc.Spec{Argv: append(p.config.Program, DaemonCommand, p.config.Dir), Stderr: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		rivals = append(rivals, rival)
	}
	p.touch("go")
	for i := range 6 {
		p.until(fmt.Sprintf("job%d", i), jobs.Completed)
		if got := p.read(fmt.Sprintf("runs%d", i)); got != "\n" {
			t.Errorf("job%d ran %d times", i, len(got))
		}
	}
	for _, rival := range rivals {
		if exit := rival.Wait(); !exit.OK() { // the one that scheduled retires
			t.Errorf("a daemon ended as %s", exit)
		}
	}
	if reigns, err := folder(p.config.Dir).numbers("daemons", ".json"); err != nil || len(reigns) != 2 {
		t.Errorf("daemons %v took office, want the killed one and one other: %v", reigns, err)
	}
}

func TestOfManyRunnersOneRunsTheJob(t *testing.T) {
	p := newPool(t, 1, 0)
	if _, err := p.settle(); err != nil {
		t.Fatal(err)
	}
	r := p.request("job", "echo >> runs; "+wait("go"))
	if _, err := p.queue.add(request{Schema: schema, Run: "run", Name: "job", Script: r.Script, Log: r.Log, WorkDir: p.dir}); err != nil {
		t.Fatal(err)
	}
	if err := publishOnce(folder(p.config.Dir).start(1), start{Schema: schema, Slots: []int{0}, Token: t.Name() + p.dir}); err != nil {
		t.Fatal(err)
	}
	const rivals = 4
	ended := make(chan proc.Exit, rivals)
	for range rivals {
		rival, err := proc.Start(proc.Spec{Argv: append(p.config.Program, RunnerCommand, p.config.Dir, "1"), Stderr: os.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		defer rival.Stop(t.Context(), patience)
		go func() { ended <- rival.Wait() }()
	}
	for i := range rivals {
		if i == rivals-1 { // the others have given way; the last one runs the job
			p.touch("go")
		}
		select {
		case exit := <-ended:
			if !exit.OK() {
				t.Errorf("a runner ended as %s", exit)
			}
		case <-time.After(patience):
			t.Fatalf("%d runners run the same job", rivals-i)
		}
	}
	if got := p.read("runs"); got != "\n" {
		t.Errorf("the job ran %d times", len(got))
	}
	p.until("job", jobs.Completed)
}

// Whoever submits in the moment in which a daemon retires saw a living one, and starts no other.
func TestADaemonThatRetiresLooksAgain(t *testing.T) {
	p := newPool(t, 1, 0)
	if _, err := p.settle(); err != nil {
		t.Fatal(err)
	}
	d := &daemon{dir: folder(p.config.Dir), queue: newQueue(folder(p.config.Dir))}
	for i, want := range []bool{false, true} {
		number, err := d.dir.claim()
		if err != nil || number != i+1 {
			t.Fatalf("claimed number %d: %v", number, err)
		}
		if want {
			if _, err := p.queue.add(request{Schema: schema, Run: "run", Name: "late"}); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := d.retire(number); err != nil || again != want {
			t.Errorf("a daemon that retires goes on: %v, want %v: %v", again, want, err)
		}
	}
}

func TestAnIdleDaemonRetiresAndSubmitStartsAnother(t *testing.T) {
	p := newPool(t, 1, 0)
	p.submit("one", "true")
	p.until("one", jobs.Completed)
	first := p.daemon()
	eventually(t, "the daemon has retired", func() bool { return !first.Alive() })
	p.list()
	if r, err := folder(p.config.Dir).reign(); err != nil || r.number != 1 || !r.over {
		t.Errorf("with nothing to do, List leaves %+v: %v", r, err)
	}
	p.submit("two", "true")
	p.until("two", jobs.Completed)
}

func TestAJobWhoseRunnersDieBeforeTheyClaimItIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	wrapper := filepath.Join(dir, "program")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := newPool(t, 1, 0)
	if _, err := p.settle(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.queue.add(request{Schema: schema, Run: "run", Name: "job"}); err != nil {
		t.Fatal(err)
	}
	if err := Daemon(t.Context(), p.config.Dir, []string{wrapper}); err != nil {
		t.Fatal(err)
	}
	if s := p.list()["job"]; s.State != jobs.NodeFail || !strings.HasPrefix(s.Reason, "its runner could not be started") {
		t.Errorf("the job is %s (%s)", s.State, s.Reason)
	}
}

func TestAScriptThatCannotBeLaunchedIsANodeFailure(t *testing.T) {
	p := newPool(t, 1, 0)
	r := p.request("job", "")
	if err := os.WriteFile(r.Script, []byte("#!/no/such/interpreter -x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Submit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if s := p.until("job", jobs.NodeFail); !strings.Contains(s.Reason, "/no/such/interpreter") {
		t.Errorf("reason %q", s.Reason)
	}
}

func TestSubmitRefusesWhatItCanNeverRun(t *testing.T) {
	p := newPool(t, 2, 0)
	for name, change := range map[string]func(*jobs.Request){
		"an array":             func(r *jobs.Request) { r.Tasks = 2 },
		"too many GPUs":        func(r *jobs.Request) { r.Resources.GPUs = 3 },
		"no script":            func(r *jobs.Request) { r.Script = p.path("none") },
		"no interpreter":       func(r *jobs.Request) { r.Script = p.path("plain") },
		"an unknown job":       func(r *jobs.Request) { r.After = []jobs.Dependency{{On: jobs.Handle{ID: "5"}, When: record.AfterOK}} },
		"an unknown condition": func(r *jobs.Request) { r.After = []jobs.Dependency{{On: p.submit("on", "true"), When: "later"}} },
	} {
		r := p.request("job", "true")
		p.touch("plain")
		change(&r)
		if _, err := p.Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.until("on", jobs.Completed)
	if _, is := p.list()["job"]; is {
		t.Error("a refused job is listed")
	}
}

func TestNothingIsSubmittedWhereNothingCanRun(t *testing.T) {
	p := poolOf(t, 1, 0, "/no/such/program")
	if _, err := p.Submit(t.Context(), p.request("job", "true")); !errors.Is(err, jobs.ErrUnavailable) {
		t.Errorf("submitting gives %v", err)
	}
	if got := p.list(); len(got) != 0 {
		t.Errorf("listed %v", got)
	}
}

func TestADaemonThatEndsAtOnceMakesSubmitAmbiguousAndListSaysWhy(t *testing.T) {
	p := poolOf(t, 1, 0, "/bin/false")
	if _, err := p.Submit(t.Context(), p.request("job", "true")); !errors.Is(err, jobs.ErrAmbiguous) {
		t.Errorf("submitting gives %v", err)
	}
	if _, err := p.List(t.Context(), "run"); !errors.Is(err, jobs.ErrUnavailable) || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("listing gives %v", err)
	}
}

func TestListTellsTheRunsApartAndAnEmptyFolderIsNoError(t *testing.T) {
	p := newPool(t, 1, 0)
	if all, err := p.List(t.Context(), "run"); err != nil || len(all) != 0 {
		t.Errorf("listed %v: %v", all, err)
	}
	p.submit("job", "true")
	p.until("job", jobs.Completed)
	if all, err := p.List(t.Context(), "another"); err != nil || len(all) != 0 {
		t.Errorf("listed %v: %v", all, err)
	}
}

func TestASchedulerOnAnotherMachineIsNotReplaced(t *testing.T) {
	p := newPool(t, 1, 0)
	if _, err := p.settle(); err != nil {
		t.Fatal(err)
	}
	there := proc.Identity{Host: "another.", Boot: "b", PID: 7, StartTicks: 7}
	if err := publishOnce(folder(p.config.Dir).daemon(1), there); err != nil {
		t.Fatal(err)
	}
	if _, err := p.queue.add(request{Schema: schema, Run: "run", Name: "job"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.List(t.Context(), "run"); !errors.Is(err, errElsewhere) || !errors.Is(err, jobs.ErrUnavailable) {
		t.Errorf("listing gives %v", err)
	}
	if err := os.Remove(folder(p.config.Dir).daemon(1)); err != nil {
		t.Fatal(err)
	}
}

func TestARemovedRunDirectoryTakesItsDaemonAndItsJobsAlong(t *testing.T) {
	p := newPool(t, 1, time.Second)
	p.submit("job", "touch on; cd /; sleep 300 & wait")
	p.submit("next", "true")
	p.exists("on")
	daemon, runner := p.daemon(), p.runner("job")
	if err := os.Rename(p.dir, p.dir+".moved"); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(p.dir + ".moved")
	eventually(t, "the daemon and the job's runner have ended", func() bool { return !daemon.Alive() && !runner.Alive() })
	var s start
	if err := fsx.ReadJSON(filepath.Join(p.dir+".moved", "scheduler", "starts", "1.json"), &s); err != nil {
		t.Fatal(err)
	}
	if left, err := proc.Marked(s.Token); err != nil || len(left) > 0 {
		t.Errorf("the job left %v: %v", left, err)
	}
}

func BenchmarkListOfAThousandJobs(b *testing.B) {
	f := folder(b.TempDir())
	if err := f.make(); err != nil {
		b.Fatal(err)
	}
	for id := 1; id <= 1000; id++ {
		if err := errors.Join(publishOnce(f.request(id), request{Run: "run", Name: strconv.Itoa(id)}),
			publishOnce(f.exit(id), exit{State: jobs.Completed})); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if all, err := New(Config{Dir: string(f)}).List(b.Context(), "run"); err != nil || len(all) != 1000 {
			b.Fatal(len(all), err)
		}
	}
}
