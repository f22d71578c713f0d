package slurm_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/jobs"
	"vtune/jobs/slurm"
)

// TestLimitsOnTheQueueAreKnownAndKept sets limits one after another and asks sbatch what holds.
func TestLimitsOnTheQueueAreKnownAndKept(t *testing.T) {
	t.Parallel()
	l := startAccountingLab(t, "PartitionName=many Nodes=node1 MaxTime=10")
	for _, qos := range []string{"fast", "few", "over"} {
		l.slurm("sacctmgr", "-i", "add", "qos", qos)
	}
	l.slurm("scontrol", "create", "PartitionName=few", "Nodes=node1", "QOS=few")
	l.modify("qos", "few", "set", "maxsubmitjobsperuser=3")
	l.modify("qos", "over", "set", "maxsubmitjobsperuser=4", "flags=OverPartQOS")
	user := strings.TrimSpace(l.slurm("id", "-un"))
	own := []string{"user", user, "where", "account=lab", "set"}
	l.modify(append(own, "qos+=fast,over")...)

	t.Run("the fourth job of three is back-pressure until one is over", func(t *testing.T) {
		l := l.in(t)
		l.modify(append(own, "maxsubmitjobs=3")...)
		s := l.limited(slurm.Config{}, 3)
		l.takes(s, 3, "AssocMaxSubmitJobLimit", "true")
		fourth := l.request("fourth", "true")
		if _, err := s.Submit(t.Context(), fourth); !errors.Is(err, jobs.ErrBackpressure) {
			t.Errorf("the fourth: %v", err)
		}
		all, err := s.List(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range all {
			if st.State == jobs.Pending {
				if err := s.Cancel(t.Context(), []jobs.Handle{st.Handle}); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		l.await("room for the fourth", func() bool {
			_, err := s.Submit(t.Context(), fourth)
			if err != nil && !errors.Is(err, jobs.ErrBackpressure) {
				t.Fatal(err)
			}
			return err == nil
		})
		l.clear(s)
	})

	for _, c := range []struct {
		name   string
		limits [][]string
		config slurm.Config
		want   int
		words  string // how sbatch says it
	}{
		{"the account's own", [][]string{{"account", "lab", "set", "maxsubmitjobs=4"}}, slurm.Config{}, 3, "AssocMaxSubmitJobLimit"},
		{"all in the account", [][]string{{"account", "lab", "set", "grpsubmitjobs=2"}}, slurm.Config{Account: "lab"}, 2, "AssocGrpSubmitJobsLimit"},
		{"all in the account above", [][]string{
			{"account", "lab", "set", "grpsubmitjobs=-1"}, {"account", "root", "set", "grpsubmitjobs=1"},
		}, slurm.Config{}, 1, "AssocGrpSubmitJobsLimit"},
		{"a QOS instead of both", [][]string{{"qos", "fast", "set", "maxsubmitjobsperuser=5", "grpsubmitjobs=4"}}, slurm.Config{QOS: "fast"}, 4, "QOSGrpSubmitJobsLimit"},
		{"a QOS's for each account", [][]string{
			{"qos", "fast", "set", "maxsubmitjobsperuser=-1", "grpsubmitjobs=9", "maxsubmitjobsperaccount=5"},
		}, slurm.Config{QOS: "fast"}, 5, "MaxSubmitJobsPerAccount"},
		{"the partition's QOS", [][]string{{"account", "root", "set", "grpsubmitjobs=-1"}}, slurm.Config{Partition: "few"}, 3, "QOSMaxSubmitJobPerUserLimit"},
		{"the partition's QOS before the job's", nil, slurm.Config{Partition: "few", QOS: "fast", Account: "lab"}, 3, "QOSMaxSubmitJobPerUserLimit"},
		{"a QOS that goes before the partition's", nil, slurm.Config{Partition: "few", QOS: "over"}, 4, "QOSMaxSubmitJobPerUserLimit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := l.in(t)
			for _, limit := range c.limits {
				l.modify(limit...)
			}
			s := l.limited(c.config, c.want)
			lines := []string{"true"}
			for option, value := range map[string]string{"account": c.config.Account, "partition": c.config.Partition, "qos": c.config.QOS} {
				if value != "" {
					lines = append([]string{"#SBATCH --" + option + "=" + value}, lines...)
				}
			}
			l.takes(s, c.want, c.words, lines...)
			l.clear(s)
		})
	}

	t.Run("a refusal is in the site's own words", func(t *testing.T) {
		l := l.in(t)
		l.modify("qos", "fast", "set", "maxwall=00:05:00", "flags=DenyOnLimit")
		for directives, words := range map[string]string{
			"#SBATCH --account=nosuch":                    "Batch job submission failed: Invalid account or account/partition combination specified",
			"#SBATCH --qos=nosuch":                        "Batch job submission failed: Invalid qos specification",
			"#SBATCH --qos=fast\n#SBATCH --time=9":        "QOSMaxWallDurationPerJobLimit",
			"#SBATCH --partition=many\n#SBATCH --time=11": "Requested time limit is invalid",
		} {
			l.await(words, func() bool { // the controller hears of a changed limit a moment later
				_, err := l.scheduler().Submit(t.Context(), l.request("bad", directives, "true"))
				return errors.Is(err, jobs.ErrRefused) && strings.Contains(err.Error(), words)
			})
		}
	})

	t.Run("an array fits beside what is queued", func(t *testing.T) {
		l := l.in(t)
		l.modify(append(own, "maxsubmitjobs=6")...)
		s := l.limited(slurm.Config{}, 6)
		caps, err := s.Capabilities(t.Context())
		if want := (jobs.Capabilities{Dependencies: true, MaxArray: 3, MaxSubmit: 6}); err != nil || caps != want {
			t.Fatalf("got %+v, %v, want %+v", caps, err, want)
		}
		for i := range 2 {
			r := l.request(fmt.Sprintf("cells-%d", i), "#SBATCH --hold", "true")
			r.Tasks, r.Log = caps.MaxArray, r.Log+".%a"
			if _, err := s.Submit(t.Context(), r); err != nil {
				t.Errorf("array %d: %v", i, err)
			}
		}
		if _, err := s.Submit(t.Context(), l.request("seventh", "true")); !errors.Is(err, jobs.ErrBackpressure) {
			t.Errorf("a seventh job: %v", err)
		}
		l.clear(s)
	})

	t.Run("jobs are taken while the accounts are out of reach", func(t *testing.T) {
		l := l.in(t)
		l.end("slurmdbd.pid", syscall.SIGTERM)
		s := l.scheduler()
		caps, err := s.Capabilities(t.Context())
		if err != nil || caps.MaxSubmit != 0 || caps.MaxArray != 10001 {
			t.Errorf("got %+v, %v", caps, err)
		}
		if _, err := s.Submit(t.Context(), l.request("probe-1", "true")); err != nil {
			t.Error(err)
		}
		if all, err := s.List(t.Context(), "r"); !errors.Is(err, jobs.ErrUnavailable) || all != nil {
			t.Errorf("got %d jobs, %v", len(all), err)
		}
		c, err := s.Describe(t.Context())
		if err != nil || len(c.Problems) == 0 || !errors.Is(c.Problems[0], jobs.ErrUnavailable) || c.Accounting || len(c.Partitions) != 3 {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

// takes waits until sbatch takes n held jobs with the given lines, and then answers that it takes no more for now, with words.
func (l lab) takes(s *slurm.Scheduler, n int, words string, lines ...string) {
	l.Helper()
	l.await(fmt.Sprintf("room for %d jobs and no more (%s)", n, words), func() bool {
		l.clear(s)
		for i := range n + 1 {
			_, err := s.Submit(l.Context(), l.request(fmt.Sprintf("job-%d", i), append([]string{"#SBATCH --hold"}, lines...)...))
			if err != nil && !errors.Is(err, jobs.ErrBackpressure) {
				l.Fatalf("job %d of %d: %v", i+1, n, err)
			}
			if err != nil || i == n {
				return i == n && err != nil && strings.Contains(err.Error(), words)
			}
		}
		return false
	})
}

func TestAClusterIsDescribed(t *testing.T) {
	t.Parallel()
	l := startAccountingLab(t, "MaxArraySize=50", "MinJobAge=77", "JobRequeue=0")
	user := strings.TrimSpace(l.slurm("id", "-un"))
	l.slurm("sacctmgr", "-i", "add", "qos", "few")
	l.slurm("scontrol", "create", "PartitionName=high", "Nodes=node[2-3]", "QOS=few", "MaxTime=1-02:30:00", "DefaultTime=10",
		"AllowAccounts=lab,root", "AllowQos=normal,few", "State=DRAIN")
	l.modify("qos", "few", "set", "maxjobsperuser=2", "maxsubmitjobsperuser=3", "maxsubmitjobsperaccount=12", "grpjobs=4", "grpsubmitjobs=5",
		"maxwall=00:30:00", "maxtresperuser=gres/gpu=4", "flags=DenyOnLimit,OverPartQOS")
	l.modify("account", "root", "set", "grpjobs=7")
	l.modify("account", "lab", "set", "grpjobs=8", "grpsubmitjobs=9")
	l.modify("user", user, "where", "account=lab", "set", "maxjobs=10", "maxsubmitjobs=11", "maxwall=2-00:00:00", "qos=normal,few", "defaultqos=few")
	l.slurm("scontrol", "update", "NodeName=node2", "State=DRAIN", "Reason=bad gpu: State=DOWN xid 79")
	l.slurm("scontrol", "update", "NodeName=node3", "State=DOWN", "Reason=test")
	got, err := slurm.New(slurm.Config{Env: l.env}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	version := strings.Fields(l.slurm("sinfo", "--version"))[1]
	eight := []slurm.GPUs{{Type: "h200", Count: 8}}
	want := slurm.Cluster{
		Name: "lab", Version: version, MaxArraySize: 50, MinJobAge: 77 * time.Second, Accounting: true, Enforce: []string{"associations", "limits", "qos"},
		Partitions: []slurm.Partition{
			{Name: "gpu", Default: true, State: "UP", DefaultTime: time.Hour, Nodes: []string{"node1", "node2", "node3", "node4"}},
			{
				Name: "high", State: "DRAIN", MaxTime: 26*time.Hour + 30*time.Minute, DefaultTime: 10 * time.Minute, Nodes: []string{"node2", "node3"},
				QOS: "few", AllowAccounts: []string{"lab", "root"}, AllowQOS: []string{"normal", "few"},
			},
		},
		Nodes: []slurm.Node{
			{Name: "node1", State: "idle", CPUs: 64, MemoryMB: 512000, GPUs: eight},
			{Name: "node2", State: "drained", CPUs: 64, MemoryMB: 512000, GPUs: eight},
			{Name: "node3", State: "down", CPUs: 64, MemoryMB: 512000, GPUs: eight},
			{Name: "node4", State: "idle", CPUs: 64, MemoryMB: 512000, GPUs: eight},
		},
		Associations: []slurm.Association{{
			Account: "lab", Default: true, QOS: []string{"few", "normal"}, DefaultQOS: "few", MaxJobs: 10, MaxSubmit: 11, GrpJobs: 7, GrpSubmit: 9, MaxWall: 48 * time.Hour,
		}},
		QOS: []slurm.QOS{{Name: "normal"}, {
			Name: "few", Flags: []string{"DenyOnLimit", "OverPartQOS"}, MaxJobsPerUser: 2, MaxSubmitPerUser: 3, MaxSubmitPerAccount: 12, GrpJobs: 4, GrpSubmit: 5,
			MaxWall: 30 * time.Minute, MaxTRESPerUser: "gres/gpu=4",
		}},
	}
	// A node's reason ends in who gave it and when; Slurm brings node3 back within seconds; root is in its own account too.
	for i, reason := range map[int]string{1: "bad gpu: State=DOWN xid 79 [", 2: "test ["} {
		if n := &got.Nodes[i]; !strings.HasPrefix(n.Reason, reason) && n.State != "idle" {
			t.Errorf("reason %q", n.Reason)
		} else if n.Reason = ""; i == 2 {
			n.State = "down"
		}
	}
	var mine []slurm.Association
	for _, a := range got.Associations {
		if a.Account == "lab" {
			mine = append(mine, a)
		}
	}
	got.Associations = mine
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := got.MaxSubmit("lab", "high", ""); n != 3 {
		t.Errorf("%d jobs may be in the queue", n)
	}
}

// TestWhatTheControllerForgotTheAccountsRemember has an array of which every second task exists, so that its range is longer
// than what Slurm's commands show of one by themselves. One of them has been at work for more than a second when it is
// cancelled: of root's jobs, the accounts cannot tell less from one that could not be launched.
func TestWhatTheControllerForgotTheAccountsRemember(t *testing.T) {
	t.Parallel()
	l := startAccountingLab(t, "MinJobAge=2")
	s := l.scheduler()
	failed, err := s.Submit(t.Context(), l.request("failed", "exit 42"))
	if err != nil {
		t.Fatal(err)
	}
	launched := l.request("unlaunched", "true")
	launched.Log = filepath.Join(l.dir, "nosuch", "log")
	unlaunched, err := s.Submit(t.Context(), launched)
	if err != nil {
		t.Fatal(err)
	}
	array := l.odd("#SBATCH --exclusive", "#SBATCH --nodes=4", "[ $SLURM_ARRAY_TASK_ID = 1 ] && exit; sleep 1.1; touch started; sleep 1000")
	l.await("the second task", func() bool { return l.exists("started") })
	if err := s.Cancel(t.Context(), []jobs.Handle{array}); err != nil {
		t.Fatal(err)
	}
	l.await("the controller to forget", func() bool { return l.slurm("squeue", "-h", "-t", "all") == "" })
	got := map[string]jobs.Status{}
	l.await("the accounts to hear of all", func() bool {
		all, err := s.List(t.Context(), "r")
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range all {
			got[fmt.Sprintf("%s_%d", st.ID, st.Task)] = st
		}
		return len(all) >= len(oddTasks())+2
	})
	for _, task := range oddTasks() {
		want := jobs.Cancelled
		if task == 1 {
			want = jobs.Completed
		}
		if st := got[fmt.Sprintf("%s_%d", array.ID, task)]; st.State != want || st.Name != "vt-r-odd" {
			t.Errorf("task %d is %+v, want %s", task, st, want)
		}
	}
	if st := got[failed.ID+"_-1"]; st.State != jobs.Failed || st.ExitCode != "42:0" || !strings.HasPrefix(st.Node, "node") || st.Started.IsZero() {
		t.Errorf("the failed job is %+v", st)
	}
	if st := got[unlaunched.ID+"_-1"]; st.State != jobs.NoLaunch {
		t.Errorf("the job that could not be launched is %+v", st)
	}
	if len(got) != len(oddTasks())+2 {
		t.Errorf("%d jobs are listed", len(got))
	}
}
