package proc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/need"
)

const patience = 30 * time.Second

// TestMain lets the test binary stand in for a supervising process: as arguments a role, a token and a shell script.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && strings.HasPrefix(os.Args[1], "role-") {
		if err := play(os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func play(role, token, script string) error {
	s, err := Supervise(token)
	if err != nil {
		return err
	}
	p, err := Start(Spec{Argv: []string{"bash", "-c", script}, Mark: token, Stderr: os.Stderr, DieWithCaller: role == "role-parent"})
	if err != nil {
		return err
	}
	p.Wait()
	if role == "role-sweeper" {
		_, err = s.Sweep(context.Background(), 0)
	}
	return err
}

func token(t *testing.T) string {
	t.Helper()
	token := fmt.Sprintf("%s-%d-%d", t.Name(), os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		left, err := SweepMarked(ctx, token, 0)
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			t.Errorf("%d processes outlived their test: %v", len(left), left)
		}
	})
	return token
}

// eventually waits for a condition, not for a time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func start(t *testing.T, s Spec) *Process {
	t.Helper()
	p, err := Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shell(script string) []string { return []string{"bash", "-c", script} }

// pids that scripts have appended to a file.
func pids(t *testing.T, path string, n int) []int {
	t.Helper()
	var found []int
	eventually(t, fmt.Sprintf("%d processes have written their pids", n), func() bool {
		data, _ := os.ReadFile(path)
		found = nil
		for line := range strings.Lines(string(data)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil {
				found = append(found, pid)
			}
		}
		return len(found) == n
	})
	return found
}

func identify(t *testing.T, pid int) Identity {
	t.Helper()
	id, err := Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestExitTellsCodeFromSignal(t *testing.T) {
	for script, want := range map[string]string{"exit 0": "0:0", "exit 7": "7:0", "kill -9 $$": "0:9"} {
		p := start(t, Spec{Argv: shell(script), Mark: token(t)})
		if got := p.Wait(); got.String() != want || got.OK() != (want == "0:0") {
			t.Errorf("%q ended as %s, want %s", script, got, want)
		}
	}
}

func TestStartOfNothingIsAnError(t *testing.T) {
	if _, err := Start(Spec{}); err == nil {
		t.Error("an empty command started")
	}
	if _, err := Start(Spec{Argv: []string{filepath.Join(t.TempDir(), "none")}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing executable gives %v", err)
	}
}

func TestIdentitySurvivesJSONAndTellsTheDeadAndTheReplaced(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(self)
	if err != nil {
		t.Fatal(err)
	}
	var back Identity
	if err := json.Unmarshal(data, &back); err != nil || back != self {
		t.Fatalf("%s came back as %+v: %v", data, back, err)
	}
	if !back.Alive() || back.Elsewhere() {
		t.Error("this process is not alive here")
	}
	for name, other := range map[string]Identity{
		"an earlier process with this pid": {self.Host, self.Boot, self.PID, self.StartTicks - 1},
		"a process of an earlier boot":     {self.Host, "another", self.PID, self.StartTicks},
		"a process of another machine":     {"another.", self.Boot, self.PID, self.StartTicks},
	} {
		if other.Alive() {
			t.Errorf("%s is alive", name)
		}
		if err := other.Signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("%s took a signal: %v", name, err)
		}
	}
	if (Identity{Host: "another."}).Elsewhere() == false {
		t.Error("another machine's process is said to be here")
	}
}

func TestAZombieIsDead(t *testing.T) {
	child, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "exit 0"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	eventually(t, "the child is a zombie", func() bool { e, err := read(child.Pid); return err == nil && e.state == 'Z' })
	if identify(t, child.Pid).Alive() {
		t.Error("a zombie is alive")
	}
}

func name(t *testing.T, file string) string {
	return filepath.Join(os.TempDir(), "proc-"+t.Name()+"-"+file)
}

func create(t *testing.T, file string) *os.File {
	t.Helper()
	f, err := os.Create(name(t, file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); os.Remove(f.Name()) })
	return f
}

func TestStopEndsAGroupThatIgnoresSIGTERM(t *testing.T) {
	out := create(t, "pids")
	p := start(t, Spec{Argv: shell(`trap "" TERM; sleep 300 & echo $! >&2; echo $$ >&2; wait`), Mark: token(t), Stderr: out})
	members := pids(t, out.Name(), 2)
	ids := []Identity{identify(t, members[0]), identify(t, members[1])}
	exit, err := p.Stop(t.Context(), 50*time.Millisecond)
	if err != nil || exit.Signal != syscall.SIGKILL {
		t.Fatalf("ended as %s: %v", exit, err)
	}
	for _, id := range ids {
		if id.Alive() {
			t.Errorf("%s outlived Stop", id)
		}
	}
}

func TestStopLetsAGroupEndByItself(t *testing.T) {
	out := create(t, "pids")
	p := start(t, Spec{Argv: shell(`trap "exit 3" TERM; sleep 300 & echo $! >&2; wait`), Mark: token(t), Stderr: out})
	pids(t, out.Name(), 1)
	if exit, err := p.Stop(t.Context(), patience); err != nil || exit.String() != "3:0" {
		t.Errorf("ended as %s: %v", exit, err)
	}
}

func TestStopEndsWhatALeaderLeftInItsGroup(t *testing.T) {
	out := create(t, "pids")
	p := start(t, Spec{Argv: shell(`sleep 300 & echo $! >&2`), Mark: token(t), Stderr: out})
	left := identify(t, pids(t, out.Name(), 1)[0])
	p.Wait()
	if !left.Alive() {
		t.Fatal("the child of an ended leader is not there to be stopped")
	}
	if _, err := p.Stop(t.Context(), patience); err != nil || left.Alive() {
		t.Errorf("a member outlived its group: %v", err)
	}
	if err := p.SignalGroup(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("an empty group took a signal: %v", err)
	}
}

func TestALeakedPipeDoesNotHangWait(t *testing.T) {
	var out bytes.Buffer // not a file, so that the child writes into a pipe
	p := start(t, Spec{Argv: shell(`echo before; sleep 300 & exit 4`), Mark: token(t), Stdout: &out})
	defer p.Stop(t.Context(), 0)
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("Wait hangs on a pipe that a grandchild holds")
	}
	if got := p.Wait(); got.Code != 4 || out.String() != "before\n" {
		t.Errorf("ended as %s with output %q", got, out.String())
	}
}

func TestADetachedGrandchildIsFoundByItsMark(t *testing.T) {
	mark, out := token(t), create(t, "pids")
	p := start(t, Spec{Argv: shell(`(setsid sleep 300 & echo $! >&2) ; exit 0`), Mark: mark, Stderr: out})
	orphan := identify(t, pids(t, out.Name(), 1)[0])
	p.Wait()
	eventually(t, "it has a session of its own", func() bool { e, err := read(orphan.PID); return err == nil && e.session == e.pid })
	if found, err := Marked(mark); err != nil || !slices.Contains(found, orphan) {
		t.Fatalf("found %v: %v", found, err)
	}
	swept, err := SweepMarked(t.Context(), mark, patience)
	if err != nil || !slices.Contains(swept, orphan) || orphan.Alive() {
		t.Errorf("swept %v: %v", swept, err)
	}
}

func TestATokenMatchesWholeOrNotAtAll(t *testing.T) {
	mark := token(t)
	p := start(t, Spec{Argv: []string{"sleep", "300"}, Env: append(os.Environ(), MarkVariable+"=outer"), Mark: mark})
	defer p.Stop(t.Context(), 0)
	for other, want := range map[string]bool{mark: true, "outer": true, mark[1:]: false, mark[:len(mark)-1]: false, "": false} {
		found, err := Marked(other)
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(found, p.Identity()); got != want {
			t.Errorf("a process marked outer,%s found by %q: %v, want %v", mark, other, got, want)
		}
	}
}

func TestASweepKillsWhatIgnoresSIGTERMAndSparesTheCaller(t *testing.T) {
	mark, out := token(t), create(t, "pids")
	p := start(t, Spec{Argv: shell(`trap "" TERM; echo $$ >&2; while :; do sleep 300; done`), Mark: mark, Stderr: out})
	pids(t, out.Name(), 1)
	if _, err := SweepMarked(t.Context(), mark, 50*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := p.Wait(); got.Signal != syscall.SIGKILL {
		t.Errorf("ended as %s", got)
	}
}

func TestASweepThatMayNotGoOnSaysWhatIsLeft(t *testing.T) {
	mark, out := token(t), create(t, "pids")
	p := start(t, Spec{Argv: shell(`trap "" TERM; echo $$ >&2; while :; do sleep 300; done`), Mark: mark, Stderr: out})
	defer p.Stop(t.Context(), 0)
	pids(t, out.Name(), 1)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := SweepMarked(ctx, mark, patience); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a sweep cut short gives %v", err)
	}
}

// erased is a script that leaves an orphan without environment, in a session of its own, as an engine process does that
// overwrites its environment and outlives its server.
const erased = `(env -i setsid sleep 300 & echo $! >&2)`

func supervised(t *testing.T, role, mark, script string) (*Process, Identity) {
	t.Helper()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := create(t, "pids")
	p := start(t, Spec{Argv: []string{me, role, mark, script}, Stderr: out})
	return p, identify(t, pids(t, out.Name(), 1)[0])
}

func TestASupervisorSweepsWhatErasedItsMark(t *testing.T) {
	p, orphan := supervised(t, "role-sweeper", token(t), erased)
	if exit := p.Wait(); !exit.OK() || orphan.Alive() {
		t.Errorf("the supervisor ended as %s; the orphan lives: %v", exit, orphan.Alive())
	}
}

// The agent is the first process of a container that is started for it: it has no ancestors, and must not sweep itself.
func TestTheFirstProcessOfAContainerSweepsAllButItself(t *testing.T) {
	need.Root(t)
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := create(t, "out")
	p := start(t, Spec{Argv: []string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", me, "role-sweeper", token(t), "env -i setsid sleep 300 & :"}, Stderr: out})
	ended := make(chan Exit, 1)
	go func() { ended <- p.Wait() }()
	select {
	case exit := <-ended:
		if said, err := os.ReadFile(out.Name()); !exit.OK() || err != nil || len(said) > 0 {
			t.Errorf("it ended as %s: %s", exit, said)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}

// The agent of a job is a supervisor below the one that runs the job: the brand is the outer one's.
func TestAnInnerSupervisorSweepsItsOwnByDescent(t *testing.T) {
	outer, inner := token(t), token(t)
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, orphan := supervised(t, "role-waiter", outer, fmt.Sprintf("%s role-sweeper %s '%s'; sleep 300", me, inner, erased))
	defer SweepMarked(context.Background(), outer, 0)
	eventually(t, "the inner supervisor has swept", func() bool { return !orphan.Alive() })
	if !p.Identity().Alive() {
		t.Error("the outer supervisor was swept as well")
	}
}

func TestTheBrandFindsWhatErasedItsMarkWhenTheSupervisorWasKilled(t *testing.T) {
	mark := token(t)
	p, orphan := supervised(t, "role-waiter", mark, erased+"; sleep 300")
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	eventually(t, "the environment is erased", func() bool { return !hasMark(orphan.PID, mark) })
	swept, err := SweepMarked(t.Context(), mark, patience)
	if err != nil || !slices.Contains(swept, orphan) || orphan.Alive() {
		t.Errorf("swept %v: %v", swept, err)
	}
}

func TestDieWithCallerEndsTheChildOfAKilledCaller(t *testing.T) {
	p, child := supervised(t, "role-parent", token(t), `echo $$ >&2; exec sleep 300`)
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child has ended", func() bool { return !child.Alive() })
}

func TestDieWithCallerOutlivesTheThreadThatAskedForIt(t *testing.T) {
	mark, gate := token(t), name(t, "gate")
	defer os.Remove(gate)
	started := make(chan *Process)
	var thread int
	var ask func()
	ask = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if thread = syscall.Gettid(); thread == os.Getpid() {
			go ask() // elsewhere: the main thread would stay
			<-t.Context().Done()
			runtime.UnlockOSThread()
			return
		}
		p, err := Start(Spec{Argv: shell("until [ -e " + gate + " ]; do sleep 0.02; done; exit 5"), Mark: mark, DieWithCaller: true})
		if err != nil {
			t.Error(err)
		}
		started <- p
	}
	go ask()
	p := <-started
	if p == nil {
		return
	}
	eventually(t, "the thread is gone", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread))
		return errors.Is(err, fs.ErrNotExist)
	})
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := p.Wait(); got.Code != 5 {
		t.Errorf("ended as %s although its caller lives", got)
	}
}

func TestADetachedProcessHasItsOwnSessionALogAndNoMark(t *testing.T) {
	log := name(t, "log")
	t.Cleanup(func() { os.Remove(log) })
	mark := token(t)
	env := append(os.Environ(), MarkVariable+"="+mark)
	id, err := Detach(shell(`echo $$ "[$`+MarkVariable+`]"; pwd; exec sleep 300`), env, "/", log)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%d []\n/\n", id.PID)
	eventually(t, "the log has "+want, func() bool { data, _ := os.ReadFile(log); return string(data) == want })
	if e, err := read(id.PID); err != nil || e.session != id.PID {
		t.Errorf("session %d, want %d: %v", e.session, id.PID, err)
	}
	if err := id.Signal(syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	eventually(t, "the child is dead", func() bool { return !id.Alive() })
}

func FuzzParseStat(f *testing.F) {
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(self)
	f.Add([]byte("7 (a) b) (c) S 1 2 3 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 99 0\n"))
	f.Add([]byte("7 () Z 1 2"))
	f.Add([]byte(") 7 ("))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseStat(line)
		if err != nil {
			return
		}
		again := fmt.Sprintf("%d (x) y) %c %d %d %d%s %d", e.pid, e.state, e.parent, e.group, e.session, strings.Repeat(" 0", 15), e.start)
		if back, err := parseStat([]byte(again)); err != nil || back != e {
			t.Errorf("%q: %+v came back as %+v: %v", line, e, back, err)
		}
	})
}
