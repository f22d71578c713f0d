package jobstest

import (
	"errors"
	"os"
	"slices"
	"strings"

	"vtune/internal/record"
	"vtune/jobs"
)

func testCompletes(b *bench) {
	caps, err := b.Scheduler.Capabilities(b.Context())
	if err != nil || caps.Dependencies != (b.NoDependencies == "") {
		b.Fatalf("capabilities %+v, %v", caps, err)
	}
	r := b.request("one", until("go")+"; echo ran >>ran")
	h := b.submit(r)
	running := b.awaitState(h, jobs.Running)
	if running.Name != r.Name || running.Word == "" {
		b.Errorf("running: got %+v, want the name %s and a word", running, r.Name)
	}
	b.write(b.path("go"), nil)
	st := b.awaitEnd(h, 1)[-1]
	if st.State != jobs.Completed || st.Name != r.Name || st.Task != -1 {
		b.Errorf("got %+v, want %s, completed, no task", st, r.Name)
	}
	if got := b.text("ran"); got != "ran\n" {
		b.Errorf("the script ran %d times", strings.Count(got, "ran"))
	}
}

func testFails(b *bench) {
	st := b.awaitEnd(b.submit(b.request("bad", "exit 42")), 1)[-1]
	if st.State != jobs.Failed || st.ExitCode != "42:0" {
		b.Errorf("got %+v, want failed with 42:0", st)
	}
}

func testLog(b *bench) {
	if b.NoLog != "" {
		b.Log(b.NoLog)
		return
	}
	r := b.request("loud", "echo out; echo bad >&2; printf 'last'")
	b.awaitEnd(b.submit(r), 1)
	if got := b.text("jobs/loud/log"); got != "out\nbad\nlast" {
		b.Errorf("log %q", got)
	}
}

func testEnvironment(b *bench) {
	b.awaitEnd(b.submit(b.request("env", `printf '%s\n' "$PWD" "$PATH" "$HOME" "$0" $# >env`)), 1)
	got := strings.Split(strings.TrimSpace(b.text("env")), "\n")
	if len(got) != 5 {
		b.Fatalf("got %q", got)
	}
	if got[4] != "0" {
		b.Errorf("the script is given %s arguments", got[4])
	}
	if b.Elsewhere != "" {
		b.Log(b.Elsewhere)
		return
	}
	if got[0] != b.path("") {
		b.Errorf("it starts in %s, want %s", got[0], b.path(""))
	}
	if got[1] != os.Getenv("PATH") || got[2] != os.Getenv("HOME") {
		b.Errorf("PATH %s and HOME %s are not the submitter's", got[1], got[2])
	}
}

// waits reports whether the scheduler has dependencies of its own. One that has none must refuse every request that has some, and
// submit nothing.
func (b *bench) waits() bool {
	b.Helper()
	if b.NoDependencies == "" {
		return true
	}
	child := b.request("dependent", "touch dependent-ran")
	child.After = []jobs.Dependency{on(b.submit(b.request("needed", "true")), record.AfterAny)}
	if _, err := b.Scheduler.Submit(b.Context(), child); !errors.Is(err, jobs.ErrRefused) {
		b.Errorf("%s, but: %v", b.NoDependencies, err)
	}
	for _, st := range b.list() {
		if st.Name == child.Name {
			b.Errorf("it was refused and is listed: %+v", st)
		}
	}
	return false
}

func testUnknownRun(b *bench) {
	if all := b.list(); len(all) != 0 {
		b.Errorf("got %+v", all)
	}
}

func testNames(b *bench) {
	units := []string{"probe-1", "s128-t2048-1", "A.b_c-1"}
	var want, got []string
	for _, u := range units {
		r := b.request(u, "true")
		want = append(want, r.Name)
		b.submit(r)
	}
	// A run whose id begins with this one's must not be taken for it, nor this one for that.
	other := *b
	other.run, other.seen = b.run+"x", nil
	other.submit(other.request("probe-1", "true"))
	for _, st := range b.list() {
		got = append(got, st.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		b.Errorf("got %q, want %q", got, want)
	}
}

func testAfterOK(b *bench) {
	if !b.waits() {
		return
	}
	parent := b.submit(b.request("parent", until("go")))
	child := b.submit(b.request("child", "echo ran >child-ran"), on(parent, record.AfterOK))
	b.awaitState(parent, jobs.Running)
	if st := b.statuses(child)[-1]; st.State != jobs.Pending || b.exists("child-ran") {
		b.Errorf("while its parent runs, the child is %+v", st)
	}
	b.write(b.path("go"), nil)
	if st := b.awaitEnd(child, 1)[-1]; st.State != jobs.Completed || !b.exists("child-ran") {
		b.Errorf("the child is %+v", st)
	}
}

func testAfterOKFailed(b *bench) {
	if !b.waits() {
		return
	}
	parent := b.submit(b.request("parent", "exit 1"))
	child := b.submit(b.request("child", "echo ran >child-ran"), on(parent, record.AfterOK))
	b.awaitEnd(parent, 1)
	b.await("the child to be stuck or orphaned", func() bool {
		st := b.statuses(child)[-1].State
		return st == jobs.Stuck || st == jobs.Orphaned
	})
	if b.exists("child-ran") {
		b.Error("the child ran")
	}
}

func testAfterAny(b *bench) {
	if !b.waits() {
		return
	}
	failed := b.submit(b.request("failed", "exit 1"))
	held := b.submit(b.request("held", until("never")))
	child := b.submit(b.request("child", "true"), on(failed, record.AfterAny), on(held, record.AfterAny))
	b.awaitEnd(failed, 1)
	b.awaitState(held, jobs.Running)
	if st := b.statuses(child)[-1].State; st != jobs.Pending {
		b.Errorf("with one of two parents over, the child is %s", st)
	}
	if err := b.Scheduler.Cancel(b.Context(), []jobs.Handle{held}); err != nil {
		b.Fatal(err)
	}
	if st := b.awaitEnd(child, 1)[-1]; st.State != jobs.Completed {
		b.Errorf("the child is %+v", st)
	}
}

func testRefused(b *bench) {
	if b.BadScript == nil {
		b.Log("this scheduler takes any script")
		return
	}
	r := b.request("bad", "true")
	b.write(r.Script, b.BadScript)
	_, err := b.Scheduler.Submit(b.Context(), r)
	if !errors.Is(err, jobs.ErrRefused) {
		b.Errorf("got %v", err)
	}
	if all := b.list(); len(all) != 0 {
		b.Errorf("it is listed: %+v", all)
	}
}
