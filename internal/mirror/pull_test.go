package mirror

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// cell is what a worker publishes of a cell's attempt, in its order.
func cell(id string) []file {
	dir := "cells/" + id + "/1/"
	return []file{
		{path: "claims/cell-" + id + ".json", data: `{"job":"` + id + `"}`},
		{path: "jobs/cell-" + id + "/step.json", data: `{"begun":1}`},
		{path: dir + "attempt.json", data: `{"job":"` + id + `"}`},
		{path: "events/cell-" + id + ".001.started.json", data: `{"what":"started"}`, only: true},
		{path: dir + "health.json", data: `{"v":1}`},
		{path: dir + "observations/001.json", data: `{"seq":1}`},
		{path: dir + "bench-001-inf.timelines", data: strings.Repeat("t", 100), big: true},
		{path: dir + "observations/002.json", data: strings.Repeat("o", 70<<10), big: true},
		{path: dir + "health.json", data: `{"v":2}`},
		{path: dir + "result.json", data: `{"observations":2}`},
		{path: "jobs/cell-" + id + "/step.json", data: `{"begun":1,"ended":2}`},
	}
}

// tuned is a bucket with a run of which machines have done some.
func tuned(t testing.TB) *store {
	s := newStore(t)
	m := here(t, s, "")
	for _, name := range []string{
		"run.json", "plan.json", "effective.yaml", "spec.yaml", "jobs/crew-1/intent.json", "jobs/crew-1/submitted.json",
		"jobs/crew-1/script", "jobs/cell-a/assignment.json", "queue/pool/000001-cell-a.json", "bin/vtune", "templates/x.tmpl",
	} {
		write(t, m, name, "the text of "+name)
	}
	push(t, m)
	w := &machine{s: s, unit: "crew-1"}
	for _, id := range []string{"a", "b", "c"} {
		files := cell(id)
		w.publish(files[:3]...)
		w.publish(files[3:6]...)
		w.publish(file{path: "cells/" + id + "/1/server.log", data: "log", part: 1})
		w.publish(files[6:]...)
		s.pass(time.Minute)
	}
	w.beat(record.WorkerOpen)
	return s
}

func TestAPullBringsInWhatTheCollectorReads(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	if p := pull(t, m); !p.Cold || len(p.Refused) > 0 {
		t.Errorf("the first pull: %+v", p)
	}
	for name, want := range map[string]string{
		"run.json": "the text of run.json", "queue/pool/000001-cell-a.json": "the text of queue/pool/000001-cell-a.json",
		"cells/a/1/result.json": `{"observations":2}`, "cells/a/1/health.json": `{"v":2}`, "jobs/cell-c/step.json": `{"begun":1,"ended":2}`,
		"cells/b/1/observations/002.json": strings.Repeat("o", 70<<10), "events/cell-b.001.started.json": `{"what":"started"}`,
		"cells/a/1/server.log": "", // it exists; what is in it is fetched
	} {
		if got := contents(t, m, name); got != want {
			t.Errorf("%s is %.60q, want %.60q", name, got, want)
		}
	}
	for _, name := range []string{"bin/vtune", "jobs/cell-a/assignment.json", "cells/a/1/bench-001-inf.timelines", "workers/crew-1.json"} {
		if _, err := os.Lstat(m.local(name)); err == nil {
			t.Errorf("%s was brought in", name)
		}
	}
	if got := s.calls["get"]; got > len(tree(t, m.c.Dir)) {
		t.Errorf("%d requests for %d files", got, len(tree(t, m.c.Dir)))
	}
	for name, n := range s.got {
		if n > 1 && !strings.Contains(name, "/events/") { // twice: by the submitter's mirror as well
			t.Errorf("%s was got %d times", name, n)
		}
	}
}

func TestAPullOfNothingNewIsTwoListings(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	for range 3 {
		s.reset()
		s.pass(time.Hour)
		pull(t, m)
		if want := map[string]int{"list": 2}; !maps.Equal(s.calls, want) {
			t.Errorf("calls: %v, want %v", s.calls, want)
		}
	}
}

func TestAPullCostsARequestForEachNewManifest(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	w := &machine{s: s, unit: "crew-2"}
	files := cell("d")
	w.publish(files[:3]...)
	w.publish(files[3:7]...)
	s.reset()
	p := pull(t, m)
	if want := map[string]int{"list": 2, "get": 2}; !maps.Equal(s.calls, want) {
		t.Errorf("calls: %v, want %v", s.calls, want)
	}
	if p.Cold || p.Manifests != 2 || p.Files != 6 {
		t.Errorf("%+v", p)
	}
	w.publish(files[7:]...)
	s.reset()
	pull(t, m)
	if want := map[string]int{"list": 2, "get": 2}; !maps.Equal(s.calls, want) { // one is for what is too large for a manifest
		t.Errorf("calls: %v, want %v", s.calls, want)
	}
	if got := contents(t, m, "jobs/cell-d/step.json"); got != `{"begun":1,"ended":2}` {
		t.Errorf("step: %s", got)
	}
}

// The collector of a large run on another machine, on the first day and after.
func TestTenThousandCellsCostTheListingAndWhatIsNeeded(t *testing.T) {
	const cells, unit = 10_000, "crew-1"
	s := newStore(t)
	w := &machine{s: s, unit: unit}
	needed := 0
	ours := &machine{s: s, unit: "collector-there-1"}
	var submitted []file
	for i := range cells {
		job, dir := fmt.Sprintf("cell-%05d", i), fmt.Sprintf("cells/c%05d/1/", i)
		submitted = append(submitted, file{path: "queue/pool/" + job + ".json", data: job})
		w.up(file{path: "jobs/" + job + "/assignment.json", data: job}, file{path: dir + "bench.timelines", data: job})
		done := []file{{path: "claims/" + job + ".json", data: job}}
		if i%10 == 0 {
			done = append(done, file{path: dir + "attempt.json", data: job}, file{path: dir + "result.json", data: job})
		}
		w.publish(done...)
		needed += 1 + len(done)
	}
	ours.publish(submitted...)
	// Which no manifest tells of: their worker died before it could.
	for i := range 100 {
		w.up(file{path: fmt.Sprintf("cells/lost/%d/attempt.json", i+1), data: "x"})
		needed++
	}
	w.beat(record.WorkerOpen)
	m := here(t, s, "")
	s.reset()
	p := pull(t, m)
	if pages := (len(s.objects) + pageSize - 1) / pageSize; s.calls["list"] != pages {
		t.Errorf("%d listings of %d objects", s.calls["list"], len(s.objects))
	}
	if want := cells + 1 + 100; s.calls["get"] != want { // manifests, and what they do not tell of
		t.Errorf("%d requests, want %d, for %d files needed", s.calls["get"], want, needed)
	}
	for name, n := range s.got {
		if told, _ := names.ParseManifest(strings.TrimPrefix(name, prefix+"/")); n > 1 || told.Name == "" && !strings.Contains(name, "/lost/") {
			t.Fatalf("%s was got %d times", name, n)
		}
	}
	if p.Files != needed {
		t.Errorf("%d files, want %d", p.Files, needed)
	}
	// A page of manifests lies in the overlap; what came long ago costs nothing.
	s.pass(time.Hour)
	w.publish(file{path: "best/x.json", data: "x"})
	pull(t, m)
	s.pass(time.Hour)
	s.reset()
	pull(t, m)
	if want := map[string]int{"list": 2}; !maps.Equal(s.calls, want) {
		t.Errorf("calls with nothing new: %v", s.calls)
	}
	// Another process goes on from what is remembered.
	again := here(t, s, string(m.c.Dir))
	s.reset()
	if p := pull(t, again); p.Cold || s.all != 2 {
		t.Errorf("a new process: %+v, %v", p, s.calls)
	}
	info, err := os.Stat(m.c.Dir.Mirror())
	if err != nil || info.Size() > 4<<20 {
		t.Errorf("mirror.json: %v, %v", info.Size(), err)
	}
}

func TestAManifestThatShowsLateIsFoundByTheOverlap(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	late := &machine{s: s, unit: "crew-9"}
	f := file{path: "cells/z/1/attempt.json", data: "z"}
	late.up(f)
	name, data := late.manifest(f)
	s.pass(overlap / 2)
	(&machine{s: s, unit: "crew-8"}).publish(file{path: "cells/y/1/attempt.json", data: "y"})
	pull(t, m)
	os.Remove(m.local(f.path)) // which the first listing had found as an object
	late.show(name, data)
	pull(t, m)
	if got := contents(t, m, f.path); got != "z" {
		t.Errorf("%s: %q", f.path, got)
	}
}

func TestAWorkersCountFindsWhatTheOverlapMisses(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	late := &machine{s: s, unit: "crew-9"}
	f := file{path: "cells/z/1/attempt.json", data: "z"}
	late.up(f)
	name, data := late.manifest(f)
	s.pass(2 * overlap)
	(&machine{s: s, unit: "crew-8"}).publish(file{path: "cells/y/1/attempt.json", data: "y"})
	pull(t, m)
	late.show(name, data)
	pull(t, m)
	if _, err := os.Stat(m.local(f.path)); err == nil {
		t.Fatal("the overlap is longer than this test thinks")
	}
	late.told += 2 // one of them will never come
	late.beat(record.WorkerOpen)
	s.reset()
	pull(t, m)
	if got := contents(t, m, f.path); got != "z" || s.calls["list"] != 3 || s.calls["get"] != 1 {
		t.Errorf("%q, calls %v", got, s.calls)
	}
	s.reset()
	late.beat(record.WorkerOpen)
	pull(t, m)
	if s.calls["list"] != 2 {
		t.Errorf("looked again for what was looked for: %v", s.calls)
	}
}

func TestAManifestFromTheFutureBlindsNobody(t *testing.T) {
	s := tuned(t)
	s.mu.Lock()
	s.put(prefix+"/events/9999999999999-evil-000001.json", []byte(`{"writer":"evil"}`), nil)
	s.mu.Unlock()
	m := here(t, s, "")
	pull(t, m)
	w := &machine{s: s, unit: "crew-2"}
	w.publish(cell("d")...)
	pull(t, m)
	contents(t, m, "cells/d/1/result.json")
}

func TestAListingStandsForManifestsThatCarryNothing(t *testing.T) {
	s := tuned(t)
	w := &machine{s: s, unit: "crew-2"}
	f := file{path: "cells/d/1/result.json", data: "d", big: true}
	w.up(f)
	name, data := w.manifest(f)
	s.mu.Lock()
	s.put(prefix+"/"+name, data, map[string]string{names.Carries: "0"})
	s.mu.Unlock()
	m := here(t, s, "")
	pull(t, m)
	if got := contents(t, m, f.path); got != "d" || s.got[prefix+"/"+name] != 0 {
		t.Errorf("%s; the manifest was got %d times", got, s.got[prefix+"/"+name])
	}
	s.reset()
	if pull(t, m); s.all != 2 {
		t.Errorf("calls: %v", s.calls)
	}
}

func TestWithoutItsMemoryAMirrorComesToTheSameBytes(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	w := &machine{s: s, unit: "crew-2"}
	w.publish(cell("d")...)
	pull(t, m)
	want := tree(t, m.c.Dir)
	for name, spoil := range map[string]func() error{
		"gone": func() error { return os.Remove(m.c.Dir.Mirror()) },
		"torn": func() error { return os.WriteFile(m.c.Dir.Mirror(), []byte(`{"schema":1,"whole":tr`), 0o644) },
		"of another prefix": func() error {
			return os.WriteFile(m.c.Dir.Mirror(), []byte(`{"schema":1,"whole":true,"prefix":"x"}`), 0o644)
		},
		"a run cut off": func() error { os.Remove(m.c.Dir.Mirror()); return os.Truncate(m.local("cells/d/1/attempt.json"), 3) },
		"a run with zeros": func() error {
			os.Remove(m.c.Dir.Mirror())
			return os.WriteFile(m.local("cells/d/1/attempt.json"), make([]byte, 9), 0o644)
		},
		"half a run": func() error { os.Remove(m.c.Dir.Mirror()); return os.RemoveAll(m.local("cells")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		s.reset()
		again := here(t, s, string(m.c.Dir))
		if p := pull(t, again); !p.Cold {
			t.Errorf("%s: not the whole run: %+v", name, p)
		}
		if diff := cmp.Diff(want, tree(t, m.c.Dir)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if diff := cmp.Diff(want, tree(t, dirOf(t, s))); diff != "" {
		t.Errorf("all at once: %s", diff)
	}
}

// dirOf is a run directory made by one pull.
func dirOf(t testing.TB, s *store) record.Dir {
	m := here(t, s, "")
	pull(t, m)
	return m.c.Dir
}

func TestAPullCutOffAnywhereIsMadeGood(t *testing.T) {
	s := tuned(t)
	want := tree(t, dirOf(t, s))
	cut := errors.New("cut off")
	for n, done := 1, false; !done; n++ {
		dir := t.TempDir()
		s.reset()
		s.fault = func(call int, kind, _ string) error {
			if call == n {
				return cut
			}
			return nil
		}
		_, err := here(t, s, dir).Pull(context.Background())
		s.fault = nil
		if done = err == nil; !done && !errors.Is(err, cut) {
			t.Fatalf("call %d: %v", n, err)
		}
		m := here(t, s, dir)
		pull(t, m)
		if diff := cmp.Diff(want, tree(t, m.c.Dir)); diff != "" {
			t.Fatalf("cut off at call %d: %s", n, diff)
		}
	}
}

func TestALaterPullCutOffAnywhereIsMadeGood(t *testing.T) {
	cut := errors.New("cut off")
	var want map[string]string
	for n, done := 0, false; !done; n++ {
		s := tuned(t)
		m := here(t, s, "")
		pull(t, m)
		for _, id := range []string{"d", "e"} {
			w := &machine{s: s, unit: "crew-" + id}
			files := cell(id)
			w.publish(files[:5]...)
			w.publish(files[5:8]...)
			w.publish(files[8:]...)
		}
		s.reset()
		s.fault = func(call int, _, _ string) error {
			if call == n {
				return cut
			}
			return nil
		}
		_, err := m.Pull(context.Background())
		done = n > 0 && err == nil
		s.fault = nil
		again := here(t, s, string(m.c.Dir))
		if p := pull(t, again); p.Cold {
			t.Errorf("call %d: the whole run was read again", n)
		}
		if got := tree(t, m.c.Dir); want == nil { // the first is not disturbed
			want = got
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("cut off at call %d: %s", n, diff)
		}
	}
}

func TestWhatIsWrittenOnceIsNeverReplacedByOtherBytes(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	w := &machine{s: s, unit: "crew-2"}
	w.publish(file{path: "cells/a/1/result.json", data: "another"}, file{path: "cells/y/1/attempt.json", data: "y"})
	for range 2 { // told as long as it is so
		_, err := m.Pull(context.Background())
		var d *DiffersError
		if !errors.As(err, &d) || !errors.Is(err, ErrDiffers) || d.Path != "cells/a/1/result.json" || d.Here != sum([]byte(`{"observations":2}`)) || d.Held != sum([]byte("another")) {
			t.Errorf("pull: %v", err)
		}
	}
	if got := contents(t, m, "cells/a/1/result.json"); got != `{"observations":2}` {
		t.Errorf("the result is %s", got)
	}
	if got := contents(t, m, "cells/y/1/attempt.json"); got != "y" {
		t.Errorf("what came with it is %s", got)
	}
	os.Remove(m.c.Dir.Mirror())
	if _, err := here(t, s, string(m.c.Dir)).Pull(context.Background()); !errors.Is(err, ErrDiffers) {
		t.Errorf("a mirror without a memory: %v", err)
	}
}

func TestHostileNamesAndSizesAreRefusedAndTold(t *testing.T) {
	s := tuned(t)
	w := &machine{s: s, unit: "crew-2"}
	hostile := []string{"../../outside", "jobs/../../outside", "templates/../../outside", "templates/\x1b[2J", "jobs/a/step.json\x00", "jobs/\x1b[2J/step.json", "/etc/outside"}
	publish := func() {
		for _, name := range hostile {
			w.publish(file{path: name, data: "evil"})
		}
	}
	publish()
	w.show(w.manifest(file{path: "run.json", data: "a run of mine"}))              // a worker does not write it
	w.publish(file{path: "cells/e/1/attempt.json", data: "e", only: true}, file{}) // and one without a name
	s.mu.Lock()
	s.put(prefix+"/events/1800000000000-liar-000001.json", []byte(`{"writer":"another"}`), nil)
	s.put(prefix+"/events/1800000000000-junk-000001.json", []byte(`{"writer":`), nil)
	huge := s.put(prefix+"/cells/h/1/attempt.json", []byte("h"), nil)
	huge.Size = mostBytes + 1
	s.objects[huge.Name] = held{huge, []byte("h")}
	s.mu.Unlock()
	dir := t.TempDir()
	run := dir + "/run"
	m := here(t, s, run)
	for _, cold := range []bool{true, false, true} {
		p := pull(t, m)
		if len(p.Refused) < 5 || p.Cold != cold {
			t.Errorf("refused: %q", p.Refused)
		}
		if got := contents(t, m, "run.json"); got != "the text of run.json" {
			t.Errorf("run.json: %s", got)
		}
		for name := range tree(t, m.c.Dir) {
			if !names.Proper(name) {
				t.Errorf("%q was brought in", name)
			}
		}
		if _, err := os.Lstat(m.local("cells/h")); err == nil {
			t.Error("the huge one was brought in")
		}
		if publish(); !cold {
			os.Remove(m.c.Dir.Mirror())
			m = here(t, s, run)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the run: %v, %v", entries, err)
	}
}

func TestNothingIsWrittenThroughALinkOutOfTheRun(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	outside := t.TempDir()
	if err := os.Symlink(outside, m.local("cells")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Pull(context.Background()); err == nil {
		t.Error("it was followed")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

func TestAResultComesAfterAllThatItCounts(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	pull(t, m)
	files := cell("d")
	for n, publish := range []func(w *machine){
		func(w *machine) { w.publish(files[9], files[7]) },            // in one manifest
		func(w *machine) { w.publish(files[9]); w.publish(files[7]) }, // and in two, of which the result's is first
		func(w *machine) {
			w.up(files[9], files[7])
			os.Remove(m.c.Dir.Mirror())
			m = here(t, s, string(m.c.Dir))
		},
	} {
		for i := range files {
			files[i].path = strings.ReplaceAll(files[i].path, "/1/", fmt.Sprintf("/%d/", n+2))
			files[i].path = strings.ReplaceAll(files[i].path, fmt.Sprintf("/%d/", n+1), fmt.Sprintf("/%d/", n+2))
		}
		publish(&machine{s: s, unit: fmt.Sprintf("crew-%d", n+2)})
		s.fault = func(_ int, kind, name string) error {
			if kind == "get" && strings.HasSuffix(name, "002.json") {
				return errors.New("not now")
			}
			return nil
		}
		if _, err := m.Pull(context.Background()); err == nil {
			t.Fatal("nothing failed")
		}
		s.fault = nil
		if _, err := os.Stat(m.local(files[9].path)); err == nil {
			t.Errorf("%d: the result is here, and what it counts is not", n)
		}
		pull(t, m)
		contents(t, m, files[9].path)
	}
}

func TestAFileOfTwoWritersIsAsTheBucketHasIt(t *testing.T) {
	s := tuned(t)
	m := here(t, s, "")
	a, b := &machine{s: s, unit: "crew-a"}, &machine{s: s, unit: "crew-b"}
	f := func(data string) file { return file{path: "jobs/cell-x/step.json", data: data} }
	a.up(f("1"))
	name, data := a.manifest(f("1"))
	b.publish(f("2"))
	pull(t, m)
	a.show(name, data)
	pull(t, m)
	if got := contents(t, m, "jobs/cell-x/step.json"); got != "2" {
		t.Errorf("the last word is %q", got)
	}
}

// A worker that pushes while a mirror pulls: whatever is seen when, in the end the mirror has the worker's bytes.
func TestAMirrorEndsWithTheWorkersBytes(t *testing.T) {
	s := newStore(t)
	dirs := 0
	rapid.Check(t, func(t *rapid.T) {
		*s = *newStore(s.t)
		dirs++
		m := here(s.t, s, s.t.TempDir())
		workers := []*machine{{s: s, unit: "crew-1"}, {s: s, unit: "crew-2"}}
		want := map[string]string{}
		type hidden struct {
			w       *machine
			name    string
			data    []byte
			visible time.Time
		}
		var waiting []hidden
		show := func(h hidden) { h.w.show(h.name, h.data) }
		n := 0
		actions := map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(t, "worker")
				w := workers[i]
				var files []file
				for range rapid.IntRange(1, 4).Draw(t, "files") {
					n++
					f := file{data: fmt.Sprintf("text %d", n), big: rapid.Bool().Draw(t, "big")}
					switch rapid.IntRange(0, 3).Draw(t, "kind") {
					case 0:
						f.path = fmt.Sprintf("cells/c%d/1/observations/001.json", n)
					case 1:
						f.path = fmt.Sprintf("cells/c%d/1/result.json", n)
					case 2:
						f.path, f.only, f.big = fmt.Sprintf("events/cell-%d.001.started.json", n), true, false
					case 3: // changes, and only its worker writes it
						f.path = fmt.Sprintf("jobs/%s-%d/step.json", w.unit, rapid.IntRange(1, 3).Draw(t, "job"))
					}
					files = append(files, f)
					want[f.path] = f.data
				}
				w.up(files...)
				name, data := w.manifest(files...)
				h := hidden{w, name, data, s.Now().Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "delay")) * time.Second)}
				if rapid.Bool().Draw(t, "at once") {
					show(h)
				} else {
					waiting = append(waiting, h)
				}
				if rapid.IntRange(0, 5).Draw(t, "dup") == 0 { // tried twice, and both went through
					w.show(w.manifest(files...))
				}
			},
			"show": func(t *rapid.T) {
				if len(waiting) == 0 {
					t.Skip("nothing waits")
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
				show(waiting[i])
				waiting = slices.Delete(waiting, i, i+1)
			},
			"beat": func(t *rapid.T) { workers[rapid.IntRange(0, 1).Draw(t, "worker")].beat(record.WorkerOpen) },
			"time": func(t *rapid.T) {
				s.pass(time.Duration(rapid.IntRange(1, 60).Draw(t, "s")) * time.Second)
				// Nothing stays hidden longer than the overlap allows for.
				for i := 0; i < len(waiting); {
					if waiting[i].visible.After(s.Now()) {
						i++
						continue
					}
					show(waiting[i])
					waiting = slices.Delete(waiting, i, i+1)
				}
			},
			"pull":   func(t *rapid.T) { pull(s.t, m) },
			"forget": func(t *rapid.T) { os.Remove(m.c.Dir.Mirror()); m = here(s.t, s, string(m.c.Dir)) },
			"die": func(t *rapid.T) {
				at := rapid.IntRange(1, 6).Draw(t, "call")
				s.reset()
				s.fault = func(call int, _, _ string) error {
					if call == at {
						return errors.New("died")
					}
					return nil
				}
				_, _ = m.Pull(context.Background())
				s.fault = nil
				m = here(s.t, s, string(m.c.Dir))
			},
		}
		t.Repeat(actions)
		rand.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
		for _, h := range waiting {
			show(h)
		}
		pull(s.t, m)
		got := map[string]string{}
		for name, text := range tree(s.t, m.c.Dir) {
			_, got[name], _ = strings.Cut(text, " ")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
