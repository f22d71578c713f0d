package slurm_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/record"
	"vtune/internal/shell"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/jobstest"
	"vtune/jobs/slurm"
	"vtune/templates"
)

func TestSlurmKeepsThePromisesOfThePort(t *testing.T) {
	t.Parallel()
	startLab(t).conforms()
}

func TestSlurmWithAccountingKeepsThePromisesOfThePort(t *testing.T) {
	t.Parallel()
	startAccountingLab(t).conforms()
}

func (l lab) conforms() {
	jobstest.Run(l.T, func(t *testing.T) jobstest.Env {
		return jobstest.Env{
			Scheduler: l.scheduler(), Dir: l.dir, Wait: time.Minute, TaskVariable: "SLURM_ARRAY_TASK_ID",
			Directives: func(r record.Resources) []string {
				if r.GPUs == 0 {
					return []string{"#SBATCH --mem=100"}
				}
				return []string{fmt.Sprintf("#SBATCH --gres=gpu:%d", r.GPUs), "#SBATCH --mem=100"}
			},
			GPUs: 4, Together: 8, BadScript: []byte("echo no interpreter\n"),
			NoTimeLimit: "Slurm knows whole minutes and looks every half: this would take 90 s",
			Nodes:       []string{"node1", "node2", "node3", "node4"},
			Requeue: func(h jobs.Handle) { // as an administrator may, whatever the job asked for
				l.slurm("scontrol", "update", "JobId="+h.ID, "Requeue=1")
				l.slurm("scontrol", "requeue", h.ID)
			},
		}
	})
}

func TestWhatSlurmSaysOfItselfBecomesCapabilities(t *testing.T) {
	t.Parallel()
	l := startLab(t, "MaxArraySize=50", "MinJobAge=77")
	got, err := l.scheduler().Capabilities(t.Context())
	if want := (jobs.Capabilities{Dependencies: true, MaxArray: 50, Remembers: 77 * time.Second}); err != nil || got != want {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	r := l.request("cells", "#SBATCH --hold", "true")
	r.Tasks, r.Log = got.MaxArray, r.Log+".%a"
	if _, err := l.scheduler().Submit(t.Context(), r); err != nil {
		t.Errorf("the longest array: %v", err)
	}
	r.Tasks++
	if _, err := l.scheduler().Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) {
		t.Errorf("one task more: %v", err)
	}
}

// TestAnAnswerThatWasLostIsAmbiguousAndTheJobIsFoundByName stops the controller, so that sbatch gives up on a request that the
// controller then reads and carries out.
func TestAnAnswerThatWasLostIsAmbiguousAndTheJobIsFoundByName(t *testing.T) {
	t.Parallel()
	l := startLab(t, "MessageTimeout=5")
	s := l.scheduler()
	if _, err := s.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.signal(syscall.SIGSTOP)
	r := l.request("probe-1", "true")
	h, err := s.Submit(t.Context(), r)
	l.signal(syscall.SIGCONT)
	if !errors.Is(err, jobs.ErrAmbiguous) || h != (jobs.Handle{}) {
		t.Fatalf("got %+v, %v", h, err)
	}
	if all := l.awaitEnd(s, 1); all[0].Name != r.Name || all[0].State != jobs.Completed {
		t.Errorf("got %+v", all)
	}
}

func TestACommandThatIsEndedHereIsAmbiguous(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	s := slurm.New(slurm.Config{Env: l.env, Timeout: time.Second})
	l.signal(syscall.SIGSTOP)
	_, err := s.Submit(t.Context(), l.request("probe-1", "true"))
	_, listErr := s.List(t.Context(), "r")
	l.signal(syscall.SIGCONT)
	if !errors.Is(err, jobs.ErrAmbiguous) {
		t.Errorf("submit: %v", err)
	}
	if !errors.Is(listErr, jobs.ErrUnavailable) {
		t.Errorf("list: %v", listErr)
	}
	l.awaitEnd(l.scheduler(), 1)
}

func TestNothingIsKnownWhileTheControllerIsDown(t *testing.T) {
	t.Parallel()
	l := startLab(t, "MessageTimeout=2")
	s := l.scheduler()
	l.end("slurmctld.pid", syscall.SIGTERM)
	_, err := s.Capabilities(t.Context())
	for what, err := range map[string]error{
		"capabilities": err,
		"submit":       second(s.Submit(t.Context(), l.request("probe-1", "true"))),
		"list":         second(s.List(t.Context(), "r")),
		"cancel":       s.Cancel(t.Context(), []jobs.Handle{{ID: "1"}}),
	} {
		if !errors.Is(err, jobs.ErrUnavailable) || !strings.Contains(err.Error(), "nable to contact slurm controller") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAFullControllerIsBackpressure(t *testing.T) {
	t.Parallel()
	l := startLab(t, "MaxJobCount=3")
	s := slurm.New(slurm.Config{Env: l.env, Timeout: 2 * time.Second})
	for i := range 5 {
		_, err := s.Submit(t.Context(), l.request(fmt.Sprintf("job-%d", i), "#SBATCH --hold", "true"))
		if errors.Is(err, jobs.ErrBackpressure) && i > 0 {
			return
		}
		if err != nil {
			t.Fatalf("job %d: %v", i, err)
		}
	}
	t.Error("five jobs are taken by a controller for three")
}

func TestARefusalIsInTheSitesOwnWords(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	for directive, words := range map[string]string{
		"#SBATCH --partition=nosuch": "invalid partition specified: nosuch; Batch job submission failed: Invalid partition name specified",
		"#SBATCH --gres=gpu:9":       "Requested node configuration is not available",
		"#SBATCH --time=soon":        "Invalid --time specification",
		"#SBATCH --no-such-option":   "unrecognized option '--no-such-option'",
		"#SBATCH --comment=\"open":   "Unmatched `\"`",
	} {
		_, err := l.scheduler().Submit(t.Context(), l.request("probe-1", directive, "true"))
		if !errors.Is(err, jobs.ErrRefused) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", directive, err)
		}
	}
}

func TestTheCallersSlurmVariablesReachNeitherSlurmNorTheJob(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	l.env = append(l.env, "FROM_CALLER=a, b", "LC_TIME=C")
	s := slurm.New(slurm.Config{Env: append(l.env,
		"SBATCH_PARTITION=nosuch", "SBATCH_ARRAY_INX=0-5", "SLURM_JOB_ID=77", "SLURM_RESTART_COUNT=3", "SQUEUE_STATES=FAILED", "SQUEUE_USERS=nobody", "SCANCEL_STATE=RUNNING",
	)})
	r := l.request("env", "env -0 >env")
	h, err := s.Submit(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	all := l.awaitEnd(s, 1)
	if all[0].State != jobs.Completed || all[0].Started.IsZero() || time.Since(all[0].Started).Abs() > time.Hour || !strings.HasPrefix(all[0].Node, "node") {
		t.Errorf("got %+v", all[0])
	}
	data, err := os.ReadFile(filepath.Join(l.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range strings.Split(string(data), "\x00") {
		k, v, _ := strings.Cut(e, "=")
		got[k] = v
	}
	for k, want := range map[string]string{"FROM_CALLER": "a, b", "LC_TIME": "C", "LC_ALL": os.Getenv("LC_ALL"), "SLURM_JOB_ID": h.ID, "SLURM_RESTART_COUNT": "", "SLURM_TIME_FORMAT": ""} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	held, err := s.Submit(t.Context(), l.request("held", "#SBATCH --hold", "true"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Cancel(t.Context(), []jobs.Handle{held}); err != nil {
		t.Fatal(err)
	}
	l.awaitEnd(s, 2)
}

func TestSlurmReadsEveryDirectiveBackExactly(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	text := rapid.Custom(func(t *rapid.T) string {
		piece := rapid.OneOf(
			rapid.StringOfN(rapid.RuneFrom([]rune("ab#'\"\\ $`%|,;=!é日-")), 1, 8, -1),
			rapid.SampledFrom([]string{"packjob", "HetJob", "--wrap=x", "#SBATCH", "$(id)"}),
		)
		return strings.Join(rapid.SliceOfN(piece, 1, 6).Draw(t, "pieces"), "")
	})
	values := []string{"plain", " lead", "trail ", "a#b", "# all", `"`, `\`, `\"`, "it's", "packjob", "x HetJob packjob y", "%j", "$HOME", "a|b", "é日"}
	for seed := range 60 {
		values = append(values, text.Example(seed))
	}
	want := map[string]string{}
	for i, v := range values {
		line, err := shell.Directive("comment", v)
		if err != nil {
			t.Fatal(err)
		}
		r := l.request(fmt.Sprintf("job-%d", i), line, "#SBATCH --hold", "true")
		want[strings.TrimSpace(l.slurm("sbatch", "--parsable", r.Script))] = v
	}
	for line := range strings.Lines(l.slurm("squeue", "-h", "-O", "JobID:|,Comment:|")) {
		id, got, _ := strings.Cut(strings.TrimSuffix(line, "|\n"), "|")
		if got != want[id] {
			t.Errorf("%q is read as %q", want[id], got)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %q", want)
	}
}

// TestRenderedScriptsRunTheirAgents submits what the templates make, with an agent that notes what it finds, in a folder whose
// name needs quoting.
func TestRenderedScriptsRunTheirAgents(t *testing.T) {
	t.Parallel()
	l := startLab(t)
	set, err := templates.Load("")
	if err != nil {
		t.Fatal(err)
	}
	dir := record.Dir(filepath.Join(l.dir, "it's 100% #1 %j"))
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(dir.Agent(), "#!/bin/bash\necho \"$1 $2 on $CUDA_VISIBLE_DEVICES in $PWD with $TOKEN and $SITE\"\n")
	write(dir.Secrets(), "TOKEN=secret\n")
	view := templates.View{
		Run: "r", RunDir: string(dir), Agent: dir.Agent(), Secrets: dir.Secrets(), SignalLead: 60, Resources: record.Resources{GPUs: 8},
		Site: spec.Site{
			Partition: "gpu", Time: "10", Memory: "100M", CPUs: 2, GPUStyle: "gres", GPUType: "h200", Environment: []string{"export SITE=here"},
			Directives: map[string]string{"comment": `it's #1 "quoted"`},
		},
	}
	ids := []string{"probe-1", "s1-t1-1", "s1-t2-1"}
	for _, id := range ids {
		v := view
		v.Name, v.Log, v.Assignment = record.JobName("r", id), dir.JobLog(id), dir.Assignment(id)
		script, err := set.Render(templates.Slurm, v)
		if err != nil {
			t.Fatal(err)
		}
		write(dir.Script(id), string(script))
	}
	v := view
	v.Name, v.Log, v.Tasks, v.Throttle, v.TasksFile, v.JobsDir = record.JobName("r", "cells"), dir.JobLog("cells")+".%a", 2, 1, dir.Tasks("cells"), dir.Jobs()
	script, err := set.Render(templates.SlurmArray, v)
	if err != nil {
		t.Fatal(err)
	}
	write(dir.Script("cells"), string(script))
	write(dir.Tasks("cells"), "s1-t1-1\ns1-t2-1\n")

	s := l.scheduler()
	probe, err := s.Submit(t.Context(), jobs.Request{Run: "r", Name: record.JobName("r", "probe-1"), Script: dir.Script("probe-1"), Log: dir.JobLog("probe-1"), WorkDir: string(dir)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Submit(t.Context(), jobs.Request{
		Run: "r", Name: v.Name, Script: dir.Script("cells"), Log: v.Log, WorkDir: string(dir), Tasks: 2, Throttle: 1,
		After: []jobs.Dependency{{On: probe, Task: -1, When: record.AfterOK}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l.awaitEnd(s, 3)
	for _, id := range ids {
		got, err := os.ReadFile(dir.JobLog(id))
		want := fmt.Sprintf("agent %s on 0,1,2,3,4,5,6,7 in %s with secret and here\n", dir.Assignment(id), dir)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v:\ngot  %swant %s", id, err, got, want)
		}
	}
	for task := range 2 {
		if got, err := os.ReadFile(fmt.Sprintf("%s.%d", dir.JobLog("cells"), task)); err != nil || len(got) > 0 {
			t.Errorf("the array's own log of task %d: %v: %s", task, err, got)
		}
	}
	job := l.slurm("scontrol", "show", "job", probe.ID)
	for _, want := range []string{`Comment=it's #1 "quoted"`, "Partition=gpu", "TimeLimit=00:10:00", "Requeue=0", "MinMemoryNode=100M", "CPUs/Task=2", "TresPerNode=gres:gpu:h200:8", "JobName=vt-r-probe-1"} {
		if !strings.Contains(job, want) {
			t.Errorf("%s is not in\n%s", want, job)
		}
	}
}

// TestALabLeavesNothingBehind holds the lab's own scripts: up may be run again, down finds also what a dead slurmd left, and
// ends nothing of another lab.
func TestALabLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	other := startLab(t)
	for _, c := range []struct {
		lab     lab
		daemons []string
		dead    string // one that does not live to see the end
	}{
		{startLab(t), []string{"munge/pid", "slurmctld.pid", "slurmd-node4.pid"}, "slurmd-node1.pid"},
		{startAccountingLab(t), []string{"db/pid", "munge/pid", "slurmctld.pid", "slurmd-node1.pid", "slurmdbd.pid"}, ""},
	} {
		l := c.lab
		if out, err := exec.Command("../../lab/slurm-up", "-d", l.dir).Output(); err != nil || string(out) != "export SLURM_CONF="+l.dir+"/slurm.conf\n" {
			t.Errorf("up again: %v: %s", err, out)
		}
		if _, err := l.scheduler().Submit(t.Context(), l.request("long", "touch started; exec sleep 1000")); err != nil {
			t.Fatal(err)
		}
		l.await("the job", func() bool { return l.exists("started") })
		pids := map[string]int{}
		for _, file := range c.daemons {
			pids[file] = l.pid(file)
		}
		// munged, slurmctld, four slurmd, the job, which is nobody's for a moment while it becomes another program
		l.await("all of them", func() bool { return len(l.processes()) >= 7 })
		if c.dead != "" {
			l.end(c.dead, syscall.SIGKILL)
		}
		for range 2 { // the second finds nothing to do
			if out, err := exec.Command("../../lab/slurm-down", "-d", l.dir).CombinedOutput(); err != nil {
				t.Errorf("down: %v: %s", err, out)
			}
		}
		if left := l.processes(); len(left) > 0 {
			t.Errorf("left running: %q", left)
		}
		for file, pid := range pids {
			if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(args) > 0 {
				t.Errorf("%s is left running: %q", file, args)
			}
		}
		if _, err := os.Stat(l.dir); err == nil {
			t.Error("its directory is still there")
		}
	}
	if n := len(other.processes()); n < 6 {
		t.Errorf("%d processes are left of another lab", n)
	}
}

// processes are the commands of every living process of the lab: by its arguments, or as part of one of its jobs.
func (l lab) processes() []string {
	l.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		l.Fatal(err)
	}
	var found []string
	for _, dir := range dirs {
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // empty for one that has ended meanwhile
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		inJob := strings.Contains(string(env), "SLURM_CONF="+l.dir+"/") && strings.Contains(string(env), "SLURM_JOB_ID=")
		if strings.Contains(string(args), l.dir+"/") || inJob {
			found = append(found, strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}
