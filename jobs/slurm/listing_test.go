package slurm

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
	"vtune/jobs"
)

const header = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|EXIT_CODE|START_TIME|NODELIST|NAME|\n"

func job(id, name string) jobs.Status {
	return jobs.Status{Handle: jobs.Handle{ID: id}, Name: name, Task: -1}
}

func TestAListingOfSqueueIsReadLineByLine(t *testing.T) {
	done, task, stuck, killed, invented := job("1", "vt-r-probe-1"), job("2", "vt-r-cells"), job("3", "vt-r-a"), job("4", "vt-r-b"), job("5", "vt-r-c")
	done.State, done.Word, done.ExitCode, done.Started, done.Node = jobs.Completed, "COMPLETED", "0:0", time.Unix(1795467872, 0), "node1"
	task.State, task.Word, task.Reason, task.ExitCode, task.Task = jobs.Pending, "PENDING", "JobArrayTaskLimit", "0:0", 3
	stuck.State, stuck.Word, stuck.Reason, stuck.ExitCode = jobs.Stuck, "PENDING", "DependencyNeverSatisfied", "0:0"
	killed.State, killed.Word, killed.Reason, killed.ExitCode, killed.Started, killed.Node = jobs.Failed, "FAILED", "JobLaunchFailure", "0:11", time.Unix(1795467873, 0), "node[1-2]"
	invented.State, invented.Word, invented.ExitCode = jobs.Unknown, "MELTED", "0:0"
	got, err := parseQueue(header+strings.Join([]string{
		"1|N/A|COMPLETED|None|0|1795467872|node1|vt-r-probe-1|",
		"2|3|PENDING|JobArrayTaskLimit|0|1795469999||vt-r-cells|",
		"7|N/A|RUNNING|None|0|1795467872|node1|another's| job|with bars|",
		"8|N/A|RUNNING|None|0|1795467872|node1|another's job with",
		"a line|end|",
		"9|N/A|RUNNING|None|0|1795467872|node1|vt-r2-probe-1|",
		"3|N/A|PENDING|DependencyNeverSatisfied|0|N/A||vt-r-a|",
		"4|N/A|FAILED|JobLaunchFailure|11|1795467873|node[1-2]|vt-r-b|",
		"5|N/A|MELTED|(null)|0|N/A||vt-r-c|",
	}, "\n")+"\n", "r")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]jobs.Status{done, task, stuck, killed, invented}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAListingThatIsNotWhatWasAskedForIsAnError(t *testing.T) {
	for name, listing := range map[string]string{
		"nothing":           "",
		"an unknown field":  strings.Replace(header, "EXIT_CODE", "", 1) + "1|N/A|COMPLETED|None||1|node1|vt-r-probe-1|\n",
		"a banner":          "Welcome\n" + header,
		"a range of tasks":  header + "2|3-9|PENDING|None|0|N/A||vt-r-cells|\n",
		"an id of no shape": header + "x|N/A|PENDING|None|0|N/A||vt-r-cells|\n",
	} {
		if got, err := parseQueue(listing, "r"); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got, err := parseQueue(header, "r"); err != nil || len(got) != 0 {
		t.Errorf("no jobs: got %+v, %v", got, err)
	}
}

func TestAccountsTellOnlyWhatIsOver(t *testing.T) {
	cancelled, task, lost := job("4", "vt-r-a"), job("5", "vt-r-cells"), job("6", "vt-r-b")
	cancelled.State, cancelled.Word, cancelled.ExitCode, cancelled.Node = jobs.Cancelled, "CANCELLED by 1000", "0:15", "None assigned"
	task.State, task.Word, task.ExitCode, task.Task, task.Started, task.Node = jobs.HostOOM, "OUT_OF_MEMORY", "0:125", 2, time.Unix(1795467872, 0), "node1"
	lost.State, lost.Word, lost.ExitCode, lost.Started, lost.Node = jobs.NodeFail, "NODE_FAIL", "1:0", time.Unix(1795467872, 0), "node2"
	got, err := parseAccounts(strings.Join([]string{
		"4|CANCELLED by 1000|0:15|Unknown|None assigned|vt-r-a",
		"5_2|OUT_OF_MEMORY|0:125|1795467872|node1|vt-r-cells",
		"5_3|RUNNING|0:0|1795467872|node1|vt-r-cells",
		"5_[4-9%3]|CANCELLED by 0|0:0|Unknown|None assigned|vt-r-cells",
		"6|NODE_FAIL|1:0|1795467872|node2|vt-r-b",
		"7|REQUEUED|0:0|1795467872|node2|vt-r-c",
		"8|COMPLETED|0:0|1795467872|node2|vt-r2-probe-1",
		"9|COMPLETED|0:0|1795467872|node2|odd|name",
	}, "\n")+"\n", "r")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]jobs.Status{cancelled, task, lost}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheControllerIsBelievedOverTheAccounts(t *testing.T) {
	alive, task, stale, forgotten := job("1", "a"), job("2", "b"), job("1", "a"), job("2", "b")
	alive.State, stale.State = jobs.Running, jobs.Failed
	task.Task, forgotten.Task = 1, 2
	got := merge([]jobs.Status{alive, task}, []jobs.Status{stale, forgotten, forgotten})
	if diff := cmp.Diff([]jobs.Status{alive, task, forgotten}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzListingsAreTakenApartOrRefused(f *testing.F) {
	f.Add("1|N/A|COMPLETED|None|0|1795467872|node1|vt-r-probe-1|\n", "r")
	f.Add("2|3|PENDING|None|0|N/A||vt-r-a|b|\n", "r")
	f.Add("5_[4-9%3]|CANCELLED by 0|0:0|Unknown|None assigned|vt-r-cells\n", "r")
	f.Fuzz(func(t *testing.T, rows, run string) {
		queue, err := parseQueue(header+rows, run)
		if err != nil && queue != nil {
			t.Errorf("an error and %+v", queue)
		}
		accounts, _ := parseAccounts(rows, run)
		for _, st := range append(queue, accounts...) {
			if !isJobID(st.ID) || st.Task < -1 || st.State == "" || !strings.HasPrefix(st.Name, record.NamePrefix(run)) {
				t.Errorf("got %+v", st)
			}
		}
	})
}

func TestEveryWordOfSlurmHasItsState(t *testing.T) {
	for words, want := range map[string]jobs.JobState{
		"PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT": jobs.Pending,
		"RUNNING COMPLETING SUSPENDED STOPPED SIGNALING STAGE_OUT RESIZING":  jobs.Running,
		"COMPLETED":                         jobs.Completed,
		"FAILED":                            jobs.Failed,
		"CANCELLED":                         jobs.Cancelled,
		"TIMEOUT DEADLINE":                  jobs.TimedOut,
		"NODE_FAIL BOOT_FAIL LAUNCH_FAILED": jobs.NodeFail,
		"PREEMPTED":                         jobs.Preempted,
		"OUT_OF_MEMORY":                     jobs.HostOOM,
		"REVOKED running TIME COMPLETEDX A_NEW_ONE": jobs.Unknown,
	} {
		for _, w := range strings.Fields(words) {
			if got := state(w, "", "1:0"); got != want {
				t.Errorf("%s: got %s, want %s", w, got, want)
			}
		}
	}
	if got := state("FAILED", "JobLaunchFailure", "0:53"); got != jobs.NodeFail {
		t.Errorf("a job that could not be launched: got %s", got)
	}
	if got := state("CANCELLED", "DependencyNeverSatisfied", "0:0"); got != jobs.Orphaned {
		t.Errorf("a job that was cancelled for its dependency: got %s", got)
	}
}

func TestTheConfigurationSaysHowLongAnArrayMayBe(t *testing.T) {
	text := func(size, age, params, storage string) string {
		return "Configuration data as of 2026-11-23T10:30:00\nAccountingStorageType   = " + storage + "\nMaxArraySize            = " + size +
			"\nMinJobAge               = " + age + "\nSchedulerParameters     = " + params + "\n\nSlurmctld(primary) at x is UP\n"
	}
	for in, want := range map[string]config{
		text("1001", "300 sec", "(null)", "accounting_storage/none"):                        {1001, 5 * time.Minute, false},
		text("1001", "2 sec", "bf_continue,max_array_tasks=100", "accounting_storage/none"): {100, 2 * time.Second, false},
		text("0", "0 sec", "", "accounting_storage/slurmdbd"):                               {0, 0, true},
	} {
		if got, err := parseConfig(in); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MaxArraySize = 5", "MinJobAge = 5 sec", text("many", "300 sec", "", "")} {
		if got, err := parseConfig(in); err == nil {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add("MaxArraySize = 1001\nMinJobAge = 300 sec\nSchedulerParameters = max_array_tasks=5\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseConfig(text); err == nil && (c.maxArray < 0 || c.minJobAge < 0) {
			t.Errorf("%q: got %+v", text, c)
		}
	})
}
