package slurm

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
	"vtune/jobs"
)

func TestWhatTheProtocolRestsOnGoesAsArguments(t *testing.T) {
	got, err := submitArgs(jobs.Request{
		Name: "vt-r-cells", Script: "/run/jobs/cells/script", Log: "/run/100%/log.%a", WorkDir: "/run/100%", Tasks: 12, Throttle: 4,
		After: []jobs.Dependency{
			{On: jobs.Handle{ID: "1"}, Task: -1, When: record.AfterOK},
			{On: jobs.Handle{ID: "2"}, Task: 3, When: record.AfterAny},
		},
		Begin: 1500 * time.Millisecond,
	})
	want := []string{
		"--parsable", "--job-name=vt-r-cells", "--output=/run/100%%/log.%a", "--open-mode=append", "--chdir=/run/100%",
		"--no-requeue", "--kill-on-invalid-dep=yes", "--array=0-11%4", "--dependency=afterok:1,afterany:2_3", "--begin=now+2", "/run/jobs/cells/script",
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestARequestThatSlurmWouldMisreadIsRefusedHere(t *testing.T) {
	s := &Scheduler{run: func(_ context.Context, name string, args ...string) result {
		t.Errorf("%s %q is run", name, args)
		return result{}
	}}
	good := jobs.Request{Name: "vt-r-a", Script: "/s", Log: "/l", WorkDir: "/"}
	for what, change := range map[string]func(*jobs.Request){
		"a name with a comma":        func(r *jobs.Request) { r.Name = "a,b" },
		"a backslash in the log":     func(r *jobs.Request) { r.Log = `/a\b` },
		"no id":                      func(r *jobs.Request) { r.After = []jobs.Dependency{{When: record.AfterOK}} },
		"an id with a second":        func(r *jobs.Request) { r.After = []jobs.Dependency{{On: jobs.Handle{ID: "1:2"}, When: record.AfterOK}} },
		"a list that is no nodes":    func(r *jobs.Request) { r.Exclude = []string{"--hold"} },
		"a beginning in the past":    func(r *jobs.Request) { r.Begin = -time.Second },
		"an unknown kind of waiting": func(r *jobs.Request) { r.After = []jobs.Dependency{{On: jobs.Handle{ID: "1"}, When: "after-ever"}} },
	} {
		r := good
		change(&r)
		if _, err := s.Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestAccountsAreAskedWhereThereAreAny uses recorded answers: the lab has no accounting.
func TestAccountsAreAskedWhereThereAreAny(t *testing.T) {
	var asked []string
	answers := map[string]result{
		"scontrol": {stdout: "MaxArraySize = 10\nMinJobAge = 5 sec\nAccountingStorageType = accounting_storage/slurmdbd\n"},
		"squeue":   {stdout: header + "2|N/A|RUNNING|None|0|0|1795467872|node1|vt-r-b|\n"},
		"sacct":    {stdout: "1|COMPLETED|0:0|1795467872|1795467873|node1|vt-r-a\n2|FAILED|1:0|1795467872|1795467873|node1|vt-r-b\n"},
	}
	s := &Scheduler{history: 1, run: func(_ context.Context, name string, _ ...string) result {
		asked = append(asked, name)
		return answers[name]
	}}
	for range 2 {
		all, err := s.List(t.Context(), "r")
		if err != nil || len(all) != 2 || all[0].State != jobs.Running || all[1].State != jobs.Completed {
			t.Errorf("got %+v, %v", all, err)
		}
	}
	if want := []string{"scontrol", "squeue", "sacct", "squeue", "sacct"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	if caps, err := s.Capabilities(t.Context()); err != nil || caps.Remembers != 0 {
		t.Errorf("got %+v, %v", caps, err)
	}
	answers["sacct"] = result{name: "sacct", stderr: "sacct: error: slurm_persist_conn_open: Connection refused\n", err: errors.New("exit status 1")}
	if all, err := s.List(t.Context(), "r"); !errors.Is(err, jobs.ErrUnavailable) || all != nil {
		t.Errorf("with the accounts out of reach: got %+v, %v", all, err)
	}
}

func TestOnlyTheClusterIsLeftOfSlurmsVariables(t *testing.T) {
	in := []string{"PATH=/bin", "SLURM_CONF=/etc/slurm.conf", "SLURM_CONF_X=1", "SLURM_JOB_ID=1", "SBATCH_PARTITION=x", "SQUEUE_STATES=x", "SCANCEL_USER=x", "SACCT_FORMAT=x", "MY_SLURM_X=1"}
	if diff := cmp.Diff([]string{"PATH=/bin", "SLURM_CONF=/etc/slurm.conf", "MY_SLURM_X=1"}, scrub(in)); diff != "" {
		t.Error(diff)
	}
	if in[3] != "SLURM_JOB_ID=1" {
		t.Error("the caller's environment is changed")
	}
}
