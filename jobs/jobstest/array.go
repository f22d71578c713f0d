package jobstest

import (
	"fmt"
	"os"
	"strings"

	"vtune/internal/record"
	"vtune/jobs"
)

// arrays reports whether the scheduler has arrays that are long enough for the suite.
func (b *bench) arrays() bool {
	b.Helper()
	caps, err := b.Scheduler.Capabilities(b.Context())
	switch {
	case err != nil:
		b.Fatal(err)
	case caps.MaxArray == 0:
		b.Log("this scheduler has no arrays")
	case caps.MaxArray < 5:
		b.Fatalf("arrays of at most %d tasks are too short for the suite", caps.MaxArray)
	}
	return caps.MaxArray > 0
}

// array is a request for n tasks; the body's $TASK is the task's number.
func (b *bench) array(unit string, n int, body string) jobs.Request {
	b.Helper()
	r := b.request(unit, fmt.Sprintf("TASK=$%s\n%s", b.TaskVariable, body))
	r.Tasks, r.Log = n, r.Log+".%a"
	return r
}

func testArray(b *bench) {
	if !b.arrays() {
		return
	}
	r := b.array("cells", 4, `echo $TASK >>ran; echo "I am $TASK"; exit $((TASK == 2))`)
	h := b.submit(r)
	listed := b.statuses(h)
	for task := range 4 {
		if st, ok := listed[task]; !ok || st.Name != r.Name || st.Task != task {
			b.Errorf("right after submission, task %d is %+v", task, st)
		}
	}
	over := b.awaitEnd(h, 4)
	for task := range 4 {
		want := jobs.Completed
		if task == 2 {
			want = jobs.Failed
		}
		if st := over[task]; st.State != want || st.Name != r.Name {
			b.Errorf("task %d is %+v, want %s", task, st, want)
		}
		if got := b.text(fmt.Sprintf("jobs/cells/log.%d", task)); got != fmt.Sprintf("I am %d\n", task) {
			b.Errorf("log of task %d: %q", task, got)
		}
		if n := strings.Count(b.text("ran"), fmt.Sprintf("%d\n", task)); n != 1 {
			b.Errorf("task %d ran %d times", task, n)
		}
	}
}

// testThrottle counts the tasks that are in the room together, by folders: mkdir tells each how many were there.
func testThrottle(b *bench) {
	if !b.arrays() {
		return
	}
	r := b.array("cells", 5, `
if mkdir first; then mine=first; elif mkdir second; then mine=second; else touch crowded; exit; fi
[ $mine = second ] && touch together
sleep 0.5
rmdir $mine`)
	r.Throttle = 2
	over := b.awaitEnd(b.submit(r), 5)
	for task, st := range over {
		if st.State != jobs.Completed {
			b.Errorf("task %d is %+v", task, st)
		}
	}
	if b.exists("crowded") {
		b.Error("three tasks ran at once, the throttle is 2")
	}
	if !b.exists("together") {
		b.Error("tasks ran one after another, the throttle is 2")
	}
}

func testArrayAfter(b *bench) {
	if !b.arrays() {
		return
	}
	parent := b.submit(b.request("parent", until("go")))
	children := b.submit(b.array("cells", 2, "touch ran-$TASK"), on(parent, record.AfterOK))
	b.awaitState(parent, jobs.Running)
	for task, st := range b.statuses(children) {
		if st.State != jobs.Pending {
			b.Errorf("while the parent runs, task %d is %+v", task, st)
		}
	}
	b.write(b.path("go"), nil)
	for task, st := range b.awaitEnd(children, 2) {
		if st.State != jobs.Completed || !b.exists(fmt.Sprintf("ran-%d", task)) {
			b.Errorf("task %d is %+v", task, st)
		}
	}
}

func testArrayWaits(b *bench) {
	if !b.arrays() {
		return
	}
	parent := b.submit(b.request("parent", until("go")))
	r := b.array("cells", 5, "touch ran-$TASK")
	r.Throttle = 2
	children := b.submit(r, on(parent, record.AfterOK))
	listed := b.statuses(children)
	for task := range 5 {
		if st, ok := listed[task]; !ok || st.State != jobs.Pending || st.Name != r.Name || st.Restarts != 0 {
			b.Errorf("while the parent runs, task %d is %+v", task, st)
		}
	}
	if err := b.Scheduler.Cancel(b.Context(), []jobs.Handle{children}); err != nil {
		b.Fatal(err)
	}
	for task, st := range b.awaitEnd(children, 5) {
		if st.State != jobs.Cancelled || b.exists(fmt.Sprintf("ran-%d", task)) {
			b.Errorf("cancelled, task %d is %+v", task, st)
		}
	}
	b.write(b.path("go"), nil)
	b.awaitEnd(parent, 1)
}

func testAfterTask(b *bench) {
	if !b.arrays() {
		return
	}
	parents := b.submit(b.array("cells", 2, "[ $TASK = 1 ] || exit 1"))
	child := b.submit(b.request("child", "true"), jobs.Dependency{On: parents, Task: 1, When: record.AfterOK})
	if st := b.awaitEnd(child, 1)[-1]; st.State != jobs.Completed {
		b.Errorf("the child of the task that succeeded is %+v", st)
	}
}

// files are the names in a folder of the test.
func (b *bench) files(dir string) []string {
	b.Helper()
	entries, err := os.ReadDir(b.path(dir))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}
