package slurm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
	"vtune/jobs"
)

const header = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|REASON|EXIT_CODE|RESTART_COUNT|START_TIME|NODELIST|NAME|\n"

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
		"1|N/A|COMPLETED|None|0|0|1795467872|node1|vt-r-probe-1|",
		"2|3|PENDING|JobArrayTaskLimit|0|0|1795469999||vt-r-cells|",
		"7|N/A|RUNNING|None|0|0|1795467872|node1|another's| job|with bars|",
		"8|N/A|RUNNING|None|0|0|1795467872|node1|another's job with",
		"a line|end|",
		"9|N/A|RUNNING|None|0|0|1795467872|node1|vt-r2-probe-1|",
		"3|N/A|PENDING|DependencyNeverSatisfied|0|0|N/A||vt-r-a|",
		"4|N/A|FAILED|JobLaunchFailure|11|0|1795467873|node[1-2]|vt-r-b|",
		"5|N/A|MELTED|(null)|0|0|N/A||vt-r-c|",
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
		"an unknown field":  strings.Replace(header, "EXIT_CODE", "", 1) + "1|N/A|COMPLETED|None||0|1|node1|vt-r-probe-1|\n",
		"a banner":          "Welcome\n" + header,
		"a list cut short":  header + "2|0,4,9...%7|PENDING|None|0|0|N/A||vt-r-cells|\n",
		"too many tasks":    header + "2|0-700000|PENDING|None|0|0|N/A||vt-r-cells|\n3|0-700000|PENDING|None|0|0|N/A||vt-r-cells-2|\n",
		"no restart count":  header + "2|N/A|PENDING|None|0||N/A||vt-r-a|\n",
		"an id of no shape": header + "x|N/A|PENDING|None|0|0|N/A||vt-r-cells|\n",
	} {
		if got, err := parseQueue(listing, "r"); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got, err := parseQueue(header, "r"); err != nil || len(got) != 0 {
		t.Errorf("no jobs: got %+v, %v", got, err)
	}
}

// What squeue wrote of an array of which some tasks run, some wait and some were cancelled while they waited.
func TestEveryTaskOfAnArrayHasAStatus(t *testing.T) {
	got, err := parseQueue(header+strings.Join([]string{
		"4|0-1,3-7:2%2|PENDING|JobArrayTaskLimit|0|0|1795467872||vt-r-cells|",
		"4|2|PENDING|BeginTime|0|1|1795467999||vt-r-cells|",
		"4|9|RUNNING|None|0|0|1795467872|node1|vt-r-cells|",
		"11|0-2%2|CANCELLED|Dependency|0|0|1795551838||vt-r-more|",
	}, "\n")+"\n", "r")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, st := range got {
		lines = append(lines, fmt.Sprintf("%s_%d %s %d", st.ID, st.Task, st.State, st.Restarts))
	}
	want := []string{
		"4_0 pending 0", "4_1 pending 0", "4_3 pending 0", "4_5 pending 0", "4_7 pending 0", "4_2 pending 1", "4_9 running 0",
		"11_0 cancelled 0", "11_1 cancelled 0", "11_2 cancelled 0",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestAccountsTellOnlyWhatIsOver(t *testing.T) {
	cancelled, task, lost := job("4", "vt-r-a"), job("5", "vt-r-cells"), job("6", "vt-r-b")
	cancelled.State, cancelled.Word, cancelled.ExitCode = jobs.Cancelled, "CANCELLED by 1000", "0:0"
	task.State, task.Word, task.ExitCode, task.Task, task.Started, task.Node = jobs.HostOOM, "OUT_OF_MEMORY", "0:125", 2, time.Unix(1795467872, 0), "node1"
	lost.State, lost.Word, lost.ExitCode, lost.Started, lost.Node = jobs.NodeFail, "NODE_FAIL", "1:0", time.Unix(1795467872, 0), "node2"
	want := []jobs.Status{cancelled, task, lost}
	for _, n := range []int{4, 6, 8} { // tasks that never became jobs
		unborn := job("5", "vt-r-cells")
		unborn.State, unborn.Word, unborn.ExitCode, unborn.Task = jobs.Cancelled, "CANCELLED by 0", "0:0", n
		want = append(want, unborn)
	}
	got, err := parseAccounts(strings.Join([]string{
		"4|CANCELLED by 1000|0:0|Unknown|1795467870|None assigned|vt-r-a",
		"5_[4-8:2%3]|CANCELLED by 0|0:0|Unknown|1795467870|None assigned|vt-r-cells",
		"5_2|OUT_OF_MEMORY|0:125|1795467872|1795467890|node1|vt-r-cells",
		"5_3|RUNNING|0:0|1795467872|Unknown|node1|vt-r-cells",
		"6|NODE_FAIL|1:0|1795467872|1795467890|node2|vt-r-b",
		"7|REQUEUED|0:0|1795467872|1795467890|node2|vt-r-c",
		"8|COMPLETED|0:0|1795467872|1795467890|node2|vt-r2-probe-1",
		"9|COMPLETED|0:0|1795467872|1795467890|node2|odd|name",
	}, "\n")+"\n", "r", "1000")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{
		"x|COMPLETED|0:0|1795467872|1795467890|node2|vt-r-a\n", "5_[1,2...]|CANCELLED|0:0|Unknown|1|None assigned|vt-r-cells\n",
		"5_[0-4000000]|CANCELLED|0:0|Unknown|1|None assigned|vt-r-cells\n",
	} {
		if got, err := parseAccounts(bad, "r", "1000"); err == nil {
			t.Errorf("%s: got %d jobs", bad, len(got))
		}
	}
}

func TestTheControllerIsBelievedOverTheAccounts(t *testing.T) {
	alive, task, stale, forgotten := job("1", "a"), job("2", "b"), job("1", "a"), job("2", "b")
	alive.State, stale.State = jobs.Running, jobs.Failed
	task.Task, forgotten.Task = 1, 2
	got := merge([]jobs.Status{alive, task}, []jobs.Status{stale, forgotten, forgotten}, "1000")
	if diff := cmp.Diff([]jobs.Status{alive, task, forgotten}, got); diff != "" {
		t.Error(diff)
	}
}

// A node's daemon cancels a job whose prolog failed and which it may not requeue. The controller shows it like one that a
// person cancelled; only the exit code and, in the accounts, who did it and when, tell them apart.
func TestAJobThatNeverStartedIsNotTakenForOneThatAPersonCancelled(t *testing.T) {
	for row, want := range map[string]jobs.JobState{
		"1|N/A|CANCELLED|None|0|0|1795551998|node1|vt-r-a|":                      jobs.NoLaunch,
		"1|N/A|CANCELLED|None|15|0|1795551998|node1|vt-r-a|":                     jobs.Cancelled, // by scancel
		"1|N/A|CANCELLED|None|2048|0|1795551998|node1|vt-r-a|":                   jobs.Cancelled, // and its script said so
		"1|N/A|CANCELLED|JobHeldUser|0|0|1795551998||vt-r-a|":                    jobs.Cancelled, // while it waited
		"1|N/A|CANCELLED|DependencyNeverSatisfied|0|0|1795551840||vt-r-a|":       jobs.Orphaned,
		"1|N/A|FAILED|JobLaunchFailure|53|0|1795551998|node1|vt-r-a|":            jobs.NoLaunch, // no such folder for its log
		"1|N/A|PENDING|launch failed requeued held|0|1|1795552011||vt-r-a|":      jobs.Held,
		"1|N/A|PENDING|JobHoldMaxRequeue|0|5|1795552011||vt-r-a|":                jobs.Held,
		"1|N/A|PENDING|JobHeldUser|0|0|N/A||vt-r-a|":                             jobs.Pending,
		"1|N/A|PENDING|job requeued in held state|0|1|N/A||vt-r-a|":              jobs.Pending, // a person's doing, and to undo
		"1|N/A|PENDING|BeginTime|0|1|1795552081||vt-r-a|":                        jobs.Pending,
		"1|N/A|PENDING|DependencyNeverSatisfied|0|0|N/A||vt-r-a|":                jobs.Stuck,
		"1|N/A|PENDING|ReqNodeNotAvail, UnavailableNodes:node4|0|0|N/A||vt-r-a|": jobs.Pending,
	} {
		got, err := parseQueue(header+row+"\n", "r")
		if err != nil || len(got) != 1 || got[0].State != want {
			t.Errorf("%s: got %+v, %v, want %s", row, got, err, want)
		}
	}
	const at, later = "1795551990", "1795551999"
	for row, want := range map[string]jobs.JobState{
		"CANCELLED by 0|0:0|" + at + "|" + at + "|node1":            jobs.NoLaunch,
		"CANCELLED by 0|0:0|" + at + "|" + later + "|node1":         jobs.Cancelled,
		"CANCELLED by 1000|0:0|" + at + "|" + at + "|node1":         jobs.Cancelled,
		"CANCELLED by 0|0:0|" + later + "|" + later + "|" + nowhere: jobs.Cancelled,
		"FAILED|0:53|" + at + "|" + at + "|node1":                   jobs.NoLaunch,
	} {
		got, err := parseAccounts("1|"+row+"|vt-r-a\n", "r", "1000")
		if err != nil || len(got) != 1 || got[0].State != want {
			t.Errorf("%s: got %+v, %v, want %s", row, got, err, want)
		}
	}
	unlaunched, byMe, byRoot := job("1", "a"), job("1", "a"), job("1", "a")
	unlaunched.State, byMe.Word, byRoot.Word = jobs.NoLaunch, "CANCELLED by 1000", "CANCELLED by 0"
	if got := merge([]jobs.Status{unlaunched}, []jobs.Status{byMe}, "1000"); got[0].State != jobs.Cancelled || len(got) != 1 {
		t.Errorf("cancelled by its owner in the prolog: %+v", got)
	}
	if got := merge([]jobs.Status{unlaunched}, []jobs.Status{byRoot}, "0"); got[0].State != jobs.NoLaunch || len(got) != 1 {
		t.Errorf("a job of root's: %+v", got)
	}
}

func FuzzListingsAreTakenApartOrRefused(f *testing.F) {
	f.Add("1|N/A|COMPLETED|None|0|0|1795467872|node1|vt-r-probe-1|\n", "r")
	f.Add("2|3|PENDING|None|0|0|N/A||vt-r-a|b|\n", "r")
	f.Add("2|0-2,4%1|PENDING|None|0|2|N/A||vt-r-a|\n", "r")
	f.Add("5_[4-9%3]|CANCELLED by 0|0:0|Unknown|1|None assigned|vt-r-cells\n", "r")
	f.Fuzz(func(t *testing.T, rows, run string) {
		queue, err := parseQueue(header+rows, run)
		if err != nil && queue != nil {
			t.Errorf("an error and %d jobs", len(queue))
		}
		accounts, _ := parseAccounts(rows, run, "1000")
		if len(queue) > maxTasks+len(rows) || len(accounts) > maxTasks+len(rows) {
			t.Errorf("%d and %d jobs from %d bytes", len(queue), len(accounts), len(rows))
		}
		for _, st := range append(queue, accounts...) {
			if !isJobID(st.ID) || st.Task < -1 || st.Restarts < 0 || st.State == "" || !strings.HasPrefix(st.Name, record.NamePrefix(run)) {
				t.Errorf("got %+v", st)
			}
		}
	})
}

func TestRangesOfTasksAreReadAsSlurmWritesThem(t *testing.T) {
	for text, want := range map[string][]int{
		"3": {3}, "3-7%2": {3, 4, 5, 6, 7}, "[0-2,5,7-9:2%1]": {0, 1, 2, 5, 7, 9}, "0,5,10": {0, 5, 10}, "0-20:5%1": {0, 5, 10, 15, 20},
		"0-1:5": {0}, "4-4": {4}, "[7]": {7},
	} {
		if got, err := tasks(text, 100); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "[]", "-1", "1-", "1-2-3", "3-1", "1:2", "1-5:0", "1-5:", "a", "+1", "1%", "1%x", "1,", ",1", "[1", "1]", "0,1,4...%7", "0x1f", "1-9999999999", "１",
		"0-100", "0-49,0-50", "0-4000000", "99999999999999999999",
	} {
		if got, err := tasks(text, 100); err == nil {
			t.Errorf("%s: got %v", text, got)
		}
	}
	if got, err := tasks("0-49,0-49", 100); err != nil || len(got) != 100 {
		t.Errorf("as many as may be: %d, %v", len(got), err)
	}
}

func FuzzARangeNamesNoMoreThanItMay(f *testing.F) {
	for _, text := range []string{"3-7%2", "[0-2,5,7-9:2%1]", "0-999999999:1", "0,1,4...%7", "0-999999999:999999999", "1-"} {
		f.Add(text, 50)
	}
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = min(max(most, 0), 1000)
		all, err := tasks(text, most)
		if err != nil && all != nil || err == nil && (len(all) == 0 || len(all) > most) {
			t.Errorf("%q: %d tasks, %v", text, len(all), err)
		}
		for _, task := range all {
			if task < 0 {
				t.Errorf("%q: task %d", text, task)
			}
		}
	})
}

func TestEveryWordOfSlurmHasItsState(t *testing.T) {
	for words, want := range map[string]jobs.JobState{
		"PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD SPECIAL_EXIT": jobs.Pending,
		"RUNNING COMPLETING SUSPENDED STOPPED SIGNALING STAGE_OUT RESIZING":  jobs.Running,
		"COMPLETED":                             jobs.Completed,
		"FAILED":                                jobs.Failed,
		"CANCELLED":                             jobs.Cancelled,
		"TIMEOUT DEADLINE":                      jobs.TimedOut,
		"NODE_FAIL":                             jobs.NodeFail,
		"BOOT_FAIL LAUNCH_FAILED RECONFIG_FAIL": jobs.NoLaunch,
		"PREEMPTED":                             jobs.Preempted,
		"OUT_OF_MEMORY":                         jobs.HostOOM,
		"REVOKED running TIME COMPLETEDX A_NEW_ONE": jobs.Unknown,
	} {
		for _, w := range strings.Fields(words) {
			if got := state(w, "", "1:0", "node1"); got != want {
				t.Errorf("%s: got %s, want %s", w, got, want)
			}
		}
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
		if got, err := parseConfig(settings(in)); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MaxArraySize = 5", "MinJobAge = 5 sec", text("many", "300 sec", "", "")} {
		if got, err := parseConfig(settings(in)); err == nil {
			t.Errorf("%q: got %+v", in, got)
		}
	}
}

func FuzzConfiguration(f *testing.F) {
	f.Add("MaxArraySize = 1001\nMinJobAge = 300 sec\nSchedulerParameters = max_array_tasks=5\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parseConfig(settings(text)); err == nil && (c.maxArray < 0 || c.minJobAge < 0) {
			t.Errorf("%q: got %+v", text, c)
		}
	})
}

// BenchmarkListTenThousand reads what a run of 10,000 cells makes of squeue and sacct: all of them over, and so a row each. As a
// waiting array they are one row.
func BenchmarkListTenThousand(b *testing.B) {
	var queue, accounts strings.Builder
	queue.WriteString(header)
	for i := range 10_000 {
		fmt.Fprintf(&queue, "17|%d|COMPLETED|None|0|0|1795467872|node%d|vt-2026_11_23_10_30-cells-1|\n", i, i%64)
		fmt.Fprintf(&accounts, "17_%d|COMPLETED|0:0|1795467872|1795467900|node%d|vt-2026_11_23_10_30-cells-1\n", i, i%64)
	}
	for name, listing := range map[string]string{
		"rows": queue.String(), "range": header + "17|0-9999%32|PENDING|Dependency|0|0|N/A||vt-2026_11_23_10_30-cells-1|\n",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				known, err := parseQueue(listing, "2026_11_23_10_30")
				if err != nil {
					b.Fatal(err)
				}
				remembered, err := parseAccounts(accounts.String(), "2026_11_23_10_30", "1000")
				if err != nil {
					b.Fatal(err)
				}
				if all := merge(known, remembered, "1000"); len(all) != 10_000 {
					b.Fatalf("%d statuses", len(all))
				}
			}
		})
	}
}
