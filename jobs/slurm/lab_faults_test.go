package slurm_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
)

func TestEveryTaskOfALongListIsKnown(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	h := l.odd("#SBATCH --hold", "true")
	if cut := l.slurm("squeue", "-h", "-O", "ArrayTaskID:|"); !strings.Contains(cut, "...") {
		t.Errorf("by itself squeue shows all of %q", cut)
	}
	all, err := l.scheduler().List(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]jobs.JobState{}
	for _, st := range all {
		got[st.Task] = st.State
	}
	for _, task := range oddTasks() {
		if got[task] != jobs.Pending {
			t.Errorf("task %d is %q", task, got[task])
		}
	}
	if len(all) != len(oddTasks()) {
		t.Errorf("%d tasks are listed, want %d", len(all), len(oddTasks()))
	}
	if err := l.scheduler().Cancel(t.Context(), []jobs.Handle{h}); err != nil {
		t.Fatal(err)
	}
}

// Without accounting a finished job is known for as long as the controller remembers it; then it is not listed, which is
// neither success nor failure.
func TestAFinishedJobIsKnownUntilTheControllerForgetsIt(t *testing.T) {
	t.Parallel()
	l := startLab(t, "MinJobAge=4")
	s := l.scheduler()
	r := l.request("failed", "exit 42")
	if _, err := s.Submit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	nowhere := l.request("unlaunched", "true")
	nowhere.Log = filepath.Join(l.dir, "nosuch", "log")
	if _, err := s.Submit(t.Context(), nowhere); err != nil {
		t.Fatal(err)
	}
	held, err := s.Submit(t.Context(), l.request("held", "#SBATCH --hold", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Cancel(t.Context(), []jobs.Handle{held}); err != nil {
		t.Fatal(err)
	}
	for _, st := range l.awaitEnd(s, 3) {
		want := map[string]string{
			"vt-r-failed": "failed FAILED NonZeroExitCode 42:0 node1", "vt-r-unlaunched": "no-launch FAILED JobLaunchFailure 0:53 node1",
			"vt-r-held": "cancelled CANCELLED JobHeldUser 0:0 ",
		}[st.Name]
		if got := fmt.Sprintf("%s %s %s %s %s", st.State, st.Word, st.Reason, st.ExitCode, st.Node); got != want {
			t.Errorf("%s is %q, want %q", st.Name, got, want)
		}
	}
	l.await("the controller to forget", func() bool {
		all, err := s.List(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		return len(all) == 0
	})
}

// A prolog that fails is what a broken node looks like. Whether the site requeues jobs or not, nothing of the script has run.
func TestAJobThatItsNodeCannotLaunchIsNotTakenForACancelledOne(t *testing.T) {
	t.Parallel()
	prolog := filepath.Join(t.TempDir(), "prolog")
	if err := os.WriteFile(prolog, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := startLab(t, "Prolog="+prolog)
	s := l.scheduler()
	for _, unit := range []string{"ours", "requeued"} {
		r := l.request(unit, "touch ran")
		if unit == "requeued" { // as a site may see to, whatever a job asks for
			l.slurm("sbatch", "--requeue", "--job-name="+r.Name, "--output="+r.Log, "--chdir="+l.dir, r.Script)
		} else if _, err := s.Submit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	states := map[string]jobs.Status{}
	l.await("both to fail", func() bool {
		all, err := s.List(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range all {
			states[st.Name] = st
		}
		return states["vt-r-ours"].State == jobs.NoLaunch && states["vt-r-requeued"].State == jobs.Held
	})
	ours, requeued := states["vt-r-ours"], states["vt-r-requeued"]
	if !ours.State.Ended() || ours.State.Cause() != record.CauseLaunch || !strings.HasPrefix(ours.Node, "node") || ours.Word != "CANCELLED" {
		t.Errorf("got %+v", ours)
	}
	if requeued.State.Ended() || requeued.State.Cause() != record.CauseLaunch || requeued.Restarts != 1 || requeued.Reason != "launch failed requeued held" {
		t.Errorf("got %+v", requeued)
	}
	if l.exists("ran") {
		t.Error("a script ran")
	}
}

// As an argument, --exclude takes the place of the script's own.
func TestTheNodesThatAScriptExcludesStayExcluded(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	s := l.scheduler()
	for unit, c := range map[string]struct {
		directive, exclude string
	}{
		"long": {"#SBATCH --exclude=node[1,3]", "node4"}, "short": {"#SBATCH --mem=1 -x 'node1' # broken", "node[3-4]"},
	} {
		r := l.request(unit, "# a comment", "", c.directive, "true", "#SBATCH --exclude=node2")
		r.Exclude = []string{c.exclude}
		if _, err := s.Submit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, st := range l.awaitEnd(s, 2) {
		if st.Node != "node2" || st.State != jobs.Completed {
			t.Errorf("got %+v", st)
		}
	}
	r := l.request("nowhere", "#SBATCH --exclude=node[1-2]", "true")
	r.Exclude = []string{"node[3-4]"}
	if _, err := s.Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) || !strings.Contains(err.Error(), "Requested node configuration is not available") {
		t.Errorf("without any node: %v", err)
	}
	r = l.request("unknown", "true")
	r.Exclude = []string{"nosuch7"}
	if _, err := s.Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) || !strings.Contains(err.Error(), "Invalid node name specified") {
		t.Errorf("an unknown node: %v", err)
	}
}

// The controller writes its jobs down every few seconds. What it had acknowledged since and lost by kill -9 is not listed, and
// its id goes to the next job; that one is told apart by its name. Here it cannot write any more, to be sure.
func TestAJobThatTheControllerLostIsNotListed(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	s := l.scheduler()
	saved := l.request("saved", "#SBATCH --hold", "true")
	if _, err := s.Submit(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	l.await("the first job to be written down", func() bool {
		data, err := os.ReadFile(filepath.Join(l.dir, "state", "job_state"))
		return err == nil && strings.Contains(string(data), saved.Name)
	})
	unwritable := filepath.Join(l.dir, "state", "job_state.new") // where it begins a new file, there is a folder
	l.await("a pause in its writing", func() bool { return os.Mkdir(unwritable, 0o700) == nil })
	lost := l.request("lost", "#SBATCH --hold", "true")
	first, err := s.Submit(t.Context(), lost)
	if err != nil {
		t.Fatal(err)
	}
	l.end("slurmctld.pid", syscall.SIGKILL)
	if err := os.Remove(unwritable); err != nil {
		t.Fatal(err)
	}
	l.up()
	all, err := s.List(t.Context(), "r")
	if err != nil || len(all) != 1 || all[0].Name != saved.Name || all[0].State != jobs.Pending {
		t.Fatalf("got %+v, %v", all, err)
	}
	other := l.request("other", "#SBATCH --hold", "true")
	second, err := s.Submit(t.Context(), other)
	if err != nil || second != first {
		t.Errorf("the next job is %+v, %v, the lost one was %+v", second, err, first)
	}
	if all, err = s.List(t.Context(), "r"); err != nil || len(all) != 2 {
		t.Errorf("got %+v, %v", all, err)
	}
}

func TestWhatEndedWhileTheControllerWasAwayIsKnownAfterwards(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	s := l.scheduler()
	if _, err := s.Submit(t.Context(), l.request("job", "touch started; until [ -e go ]; do sleep 0.1; done; touch done; exit 3")); err != nil {
		t.Fatal(err)
	}
	r := l.request("cells", "#SBATCH --hold", "true")
	r.Tasks, r.Throttle, r.Log = 5, 2, r.Log+".%a"
	if _, err := s.Submit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	l.await("the job", func() bool { return l.exists("started") })
	l.end("slurmctld.pid", syscall.SIGTERM) // it writes everything down
	if err := os.WriteFile(filepath.Join(l.dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !l.exists("done"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the job does not go on without its controller")
		}
	}
	l.up()
	l.await("the job's end", func() bool {
		all, err := s.List(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		pending := 0
		var job jobs.Status
		for _, st := range all {
			if st.Task >= 0 && st.State == jobs.Pending {
				pending++
			}
			if st.Task < 0 {
				job = st
			}
		}
		if pending != 5 {
			t.Fatalf("of the array is left: %+v", all)
		}
		return job.State == jobs.Failed && job.ExitCode == "3:0"
	})
}
