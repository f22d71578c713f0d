package mirror

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// submitted is a run directory as a submitter leaves it.
func submitted(t testing.TB, s *store) *Mirror {
	m := here(t, s, "")
	for _, name := range []string{
		"plan.json", "effective.yaml", "jobs/crew-1/intent.json", "jobs/crew-1/script", "jobs/cell-a/assignment.json",
		"jobs/cell-a/job", "queue/pool/000001-cell-a.json", "state.json", "run.json",
	} {
		write(t, m, name, "the text of "+name)
	}
	write(t, m, "bin/vtune", strings.Repeat("agent", 100_000))
	write(t, m, "secrets.env", "TOKEN=x")
	write(t, m, "environment.json", "[]")
	write(t, m, "sightings.json", "{}")
	write(t, m, "scheduler/x", "x")
	write(t, m, "notes of mine", "private")
	return m
}

// inBucket are the files of the run in the bucket, without manifests.
func (s *store) inBucket() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string]string{}
	for name, h := range s.objects {
		if name = strings.TrimPrefix(name, prefix+"/"); !strings.HasPrefix(name, "events/") {
			files[name] = string(h.data)
		}
	}
	return files
}

// manifests are those in the bucket, in their order.
func (s *store) manifests(t testing.TB) (all []record.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.objects {
		if strings.HasPrefix(name, prefix+"/events/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		var m record.Manifest
		if err := json.Unmarshal(s.objects[name].data, &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestAPushPutsUpWhatThisSideWroteAndTellsOfIt(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	var order []string
	s.fault = func(_ int, kind, name string) error {
		if kind == "put" {
			order = append(order, strings.TrimPrefix(name, prefix+"/"))
		}
		return nil
	}
	push(t, m)
	s.fault = nil
	up := s.inBucket()
	for _, name := range []string{"environment.json", "sightings.json", "scheduler/x", "notes of mine", "mirror.json"} {
		if _, ok := up[name]; ok {
			t.Errorf("%s left the machine", name)
		}
	}
	if len(up) != 11 || up["secrets.env"] != "TOKEN=x" || len(up["bin/vtune"]) != 500_000 {
		t.Errorf("%d files are up", len(up))
	}
	place := func(name string) int { return slices.Index(order, name) }
	if !(place("jobs/crew-1/script") < place("jobs/crew-1/intent.json") && place("jobs/cell-a/assignment.json") < place("queue/pool/000001-cell-a.json") &&
		place("jobs/crew-1/intent.json") < place("queue/pool/000001-cell-a.json") && place("run.json") == len(order)-2) {
		t.Errorf("in the order %q", order)
	}
	all := s.manifests(t)
	if len(all) != 1 || len(all[0].Files) != 11 || all[0].Writer != "collector-here-1" {
		t.Fatalf("told: %+v", all)
	}
	for _, f := range all[0].Files {
		if with := len(f.Data) > 0; with != names.Of(f.Path).Pull || sum([]byte(up[f.Path])) != f.CRC32C {
			t.Errorf("%s: with its content %t, sum %08x", f.Path, with, f.CRC32C)
		}
	}
	s.reset()
	push(t, m)
	push(t, here(t, s, string(m.c.Dir)))
	if s.all != 0 {
		t.Errorf("a push of nothing new: %v", s.calls)
	}
}

func TestWhatChangesIsPutUpAgain(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	push(t, m)
	reader := here(t, s, "")
	pull(t, reader)
	for n := range 3 {
		write(t, m, "state.json", fmt.Sprintf("state %d", n))
		s.reset()
		push(t, m)
		if s.calls["put"] != 2 || s.all != 2 {
			t.Errorf("calls: %v", s.calls)
		}
		pull(t, reader)
		if got := contents(t, reader, "state.json"); got != fmt.Sprintf("state %d", n) {
			t.Errorf("another mirror has %q", got)
		}
	}
	write(t, m, "state.json", "state 2") // written anew, and the same
	s.reset()
	push(t, m)
	if s.all != 0 {
		t.Errorf("calls for the same bytes: %v", s.calls)
	}
}

func TestOfWhatIsWrittenOnceThePushNeverReplacesAnything(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	push(t, m)
	write(t, m, "plan.json", "another plan")
	write(t, m, "queue/pool/000002-cell-b.json", "b")
	if err := m.Push(context.Background()); !errors.Is(err, ErrDiffers) {
		t.Errorf("a plan that was changed: %v", err)
	}
	if got, _ := s.object("plan.json"); got != "the text of plan.json" {
		t.Errorf("plan: %s", got)
	}
	if _, ok := s.object("queue/pool/000002-cell-b.json"); ok {
		t.Error("what comes after a plan that is not up went up")
	}
	// Put up by another since the last pull.
	write(t, m, "plan.json", "the text of plan.json")
	s.mu.Lock()
	s.put(prefix+"/cancelled.json", []byte("theirs"), nil)
	s.mu.Unlock()
	write(t, m, "cancelled.json", "mine")
	if err := m.Push(context.Background()); !errors.Is(err, ErrDiffers) {
		t.Errorf("cancelled by two: %v", err)
	}
	if got, _ := s.object("cancelled.json"); got != "theirs" {
		t.Errorf("cancelled: %s", got)
	}
	// Another directory for the same run, which knows nothing yet.
	other := here(t, s, "")
	write(t, other, "plan.json", "a third plan")
	if err := other.Push(context.Background()); !errors.Is(err, ErrDiffers) {
		t.Errorf("a second run under the same name: %v", err)
	}
}

func TestTheHoldersWordReplacesAnothers(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	push(t, m)
	other := here(t, s, "")
	pull(t, other)
	write(t, other, "state.json", "the other's")
	push(t, other)
	write(t, m, "state.json", "mine")
	pull(t, m) // does not lose what is not up yet
	if got := contents(t, m, "state.json"); got != "mine" {
		t.Errorf("here: %s", got)
	}
	push(t, m)
	if got, _ := s.object("state.json"); got != "mine" {
		t.Errorf("in the bucket: %s", got)
	}
	pull(t, other)
	if got := contents(t, other, "state.json"); got != "mine" {
		t.Errorf("with the other: %s", got)
	}
}

func TestAPushCutOffAnywhereIsMadeGood(t *testing.T) {
	for which := range 4 {
		lost := which%2 == 1    // not the call, only its answer
		forgotten := which >= 2 // and what was remembered with it
		for n, done := 1, false; !done; n++ {
			s := newStore(t)
			m := submitted(t, s)
			cut := errors.New("cut off")
			fault := func(call int, _, _ string) error {
				if call == n {
					return cut
				}
				return nil
			}
			if lost {
				s.after = fault
			} else {
				s.fault = fault
			}
			done = m.Push(context.Background()) == nil
			s.after, s.fault = nil, nil
			if _, whole := s.object("run.json"); whole && len(s.inBucket()) != 11 {
				t.Fatalf("call %d: run.json is up, and %d files", n, len(s.inBucket()))
			}
			if forgotten {
				os.Remove(m.c.Dir.Mirror())
			}
			again := here(t, s, string(m.c.Dir))
			again.c.Writer = "collector-here-2"
			push(t, again)
			told := map[string]string{}
			for _, one := range s.manifests(t) {
				for _, f := range one.Files {
					told[f.Path] = fmt.Sprint(f.CRC32C)
				}
			}
			want := map[string]string{}
			up := s.inBucket()
			for name, data := range up {
				if forgotten && !names.Of(name).Pull { // no mirror asks for it
					delete(told, name)
					continue
				}
				want[name] = fmt.Sprint(sum([]byte(data)))
			}
			if diff := cmp.Diff(want, told); diff != "" || len(up) != 11 {
				t.Fatalf("cut off at call %d (answer lost: %t, memory: %t): %d files, told of: %s", n, lost, forgotten, len(up), diff)
			}
		}
	}
}

func TestSecretsGoUpAndAreTakenBackForGood(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	push(t, m)
	if _, up := s.object("secrets.env"); !up {
		t.Fatal("no secrets for the machines")
	}
	other := here(t, s, "")
	pull(t, other)
	if err := other.Fetch(context.Background(), "secrets.env"); err == nil {
		t.Error("secrets were fetched")
	}
	if _, err := os.Lstat(other.local("secrets.env")); err == nil {
		t.Error("secrets came down")
	}
	for range 2 {
		if err := m.Withdraw(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m, "secrets.env", "TOKEN=new")
	push(t, m)
	push(t, here(t, s, string(m.c.Dir)))
	if _, up := s.object("secrets.env"); up {
		t.Error("secrets are up again")
	}
	// Without a memory, that the run is over says so.
	os.Remove(m.c.Dir.Mirror())
	last := here(t, s, string(m.c.Dir))
	pull(t, last)
	write(t, m, "state.json", `{"phase":"over"}`)
	push(t, last)
	if _, up := s.object("secrets.env"); up {
		t.Error("secrets are up although the run is over")
	}
}

func TestTheWinnersTraceGoesUpWhereALinkNamesIt(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	write(t, m, "cells/a/1/trace/x.pb", "trace")
	outside := t.TempDir() + "/key"
	if err := os.WriteFile(outside, []byte("private"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.local("profile"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"profile/x.pb": "../cells/a/1/trace/x.pb", "profile/absent.pb": "../cells/a/1/trace/absent.pb", "profile/key.pb": outside,
		"vllm_log_1_2.txt": "cells/a/1/trace/x.pb", "jobs/cell-a/log": "../crew-1/log",
	} {
		if err := os.Symlink(target, m.local(name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m, "profile/machines.pb", "a machine's own")
	for range 2 {
		push(t, m)
	}
	up := s.inBucket()
	if up["profile/x.pb"] != "trace" {
		t.Errorf("the trace: %q", up["profile/x.pb"])
	}
	for _, name := range []string{"profile/absent.pb", "profile/key.pb", "profile/machines.pb", "vllm_log_1_2.txt", "jobs/cell-a/log", "cells/a/1/trace/x.pb"} {
		if _, ok := up[name]; ok {
			t.Errorf("%s went up", name)
		}
	}
	// Without a memory it is known for what it is.
	os.Remove(m.c.Dir.Mirror())
	s.reset()
	push(t, here(t, s, string(m.c.Dir)))
	if s.calls["put"] > 0 {
		t.Errorf("put up again: %v", s.calls)
	}
}

func TestALargeRunGoesUpInBatchesThatAreEachRemembered(t *testing.T) {
	s := newStore(t)
	m := here(t, s, "")
	const jobs = 2500
	if err := os.MkdirAll(m.local("queue/pool"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range jobs {
		if err := os.WriteFile(m.local(fmt.Sprintf("queue/pool/%06d.json", i)), bytes.Repeat([]byte("q"), 100), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(t, m, "run.json", "run")
	most := 0
	m.c.Progress = func(done, all int, what string) {
		if what == "files put up" {
			most = max(most, done)
			if all != jobs+1 {
				t.Errorf("%d of %d %s", done, all, what)
			}
		}
	}
	s.fault = func(call int, _, name string) error {
		if strings.HasSuffix(name, "002400.json") {
			return errors.New("cut off")
		}
		return nil
	}
	if err := m.Push(context.Background()); err == nil {
		t.Fatal("nothing was cut off")
	}
	s.fault = nil
	again := here(t, s, string(m.c.Dir))
	again.c.Progress = m.c.Progress
	s.reset()
	m.c.Progress = nil
	again.c.Progress = func(int, int, string) {}
	push(t, again)
	if s.calls["put"] > 510 || most != 2000 {
		t.Errorf("calls of the second: %v; the first came to %d", s.calls, most)
	}
	reader := here(t, s, "")
	s.reset()
	if p := pull(t, reader); p.Files != jobs+1 || s.calls["get"] > 5 {
		t.Errorf("another mirror: %+v, %v", p, s.calls)
	}
}

func TestSomebodyElsesRunIsOnlyRead(t *testing.T) {
	s := tuned(t)
	m := New(Config{Dir: record.Dir(t.TempDir()), Store: s, Prefix: prefix, Now: s.Now, ReadOnly: true})
	pull(t, m)
	write(t, m, "state.json", "mine")
	before := s.last
	_, bury := m.Bury(context.Background(), "crew-1")
	_, giveUp := m.GiveUp(context.Background(), "cell-z")
	for what, err := range map[string]error{"push": m.Push(context.Background()), "bury": bury, "give up": giveUp, "withdraw": m.Withdraw(context.Background())} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s.last != before {
		t.Error("something was written")
	}
}

func TestTwoProcessesMayMirrorIntoOneFolder(t *testing.T) {
	s := newStore(t)
	collector := submitted(t, s)
	push(t, collector)
	status := New(Config{Dir: collector.c.Dir, Store: s, Prefix: prefix, Now: s.Now, ReadOnly: true})
	w := &machine{s: s, unit: "crew-1"}
	for n, id := range []string{"a", "b", "c", "d"} {
		w.publish(cell(id)...)
		write(t, collector, "state.json", fmt.Sprintf("state %d", n))
		done := make(chan error, 1)
		go func() {
			_, err := status.Pull(context.Background())
			done <- err
		}()
		pull(t, collector)
		push(t, collector)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got, _ := s.object("state.json"); got != fmt.Sprintf("state %d", n) || contents(t, collector, "state.json") != got {
			t.Errorf("state is %s in the bucket and %s here", got, contents(t, collector, "state.json"))
		}
	}
	// Whosever memory is the last, the next process comes to the same.
	next := here(t, s, string(collector.c.Dir))
	want := tree(t, next.c.Dir)
	pull(t, next)
	push(t, next)
	if diff := cmp.Diff(want, tree(t, next.c.Dir)); diff != "" {
		t.Error(diff)
	}
}

// A collector dies after it has noted an end and before that is up; another notes it too, and later the first one's machine is back.
func TestWhatWasNotedTwiceIsAsItIsInTheBucket(t *testing.T) {
	s := newStore(t)
	m := submitted(t, s)
	push(t, m)
	other := here(t, s, "")
	pull(t, other)
	for name, ours := range map[string]string{"jobs/cell-a/ended.json": "mine", "queue/pool/000002-cell-b.json": "mine", "cancelled.json": "mine"} {
		write(t, m, name, ours)
		write(t, other, name, "theirs")
	}
	push(t, other)
	pull(t, m)
	push(t, m)
	for _, name := range []string{"jobs/cell-a/ended.json", "queue/pool/000002-cell-b.json", "cancelled.json"} {
		if got := contents(t, m, name); got != "theirs" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// What was up once, or is what the run is, is not replaced.
	write(t, m, "jobs/cell-a/ended.json", "mine again")
	if err := m.Push(context.Background()); !errors.Is(err, ErrDiffers) {
		t.Errorf("%v", err)
	}
}
