package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/internal/crew"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

const prefix = "tests/auto-benchmark/run"

// run is a run in a bucket, with jobs in its queue.
type run struct {
	*testing.T
	m    *heap
	jobs []record.Job

	mu    sync.Mutex
	began map[string][]string // job: who began it
}

func newRun(t *testing.T, jobs ...record.Job) *run {
	t.Helper()
	r := &run{T: t, m: newHeap(), jobs: jobs, began: map[string][]string{}}
	r.m.write(t, "run.json", record.Run{ID: "run"})
	r.m.write(t, "plan.json", record.Plan{})
	for i, j := range jobs {
		r.put(i+1, j)
	}
	return r
}

func (r *run) put(n int, j record.Job) {
	r.Helper()
	a := record.Assignment{Job: j.ID, Kind: j.Kind, Cell: record.Cell{ID: j.Cell}, Attempt: j.Attempt}
	r.m.write(r.T, "jobs/"+j.ID+"/assignment.json", a)
	r.m.write(r.T, record.Dir("").Queued(record.Pool, n, j.ID), j)
}

func cell(id string) record.Job {
	return record.Job{ID: id + "-1", Kind: record.KindCell, Cell: id, Attempt: 1}
}

func cells(n int) (js []record.Job) {
	for i := range n {
		js = append(js, cell(fmt.Sprintf("c%02d", i)))
	}
	return js
}

// machine is one start of a machine.
type machine struct {
	*run
	c    Config
	line *line
	stop chan record.Cause
	die  context.CancelFunc
	end  chan struct{}
	code diag.Code
	err  error
	play func(*player)
}

// machine has unit's order in the bucket and a folder of its own; nothing runs yet.
func (r *run) machine(unit string, pool record.PoolOrder) *machine {
	r.Helper()
	pool.Hosts = 1
	r.m.write(r.T, "jobs/"+unit+"/crew.json", record.CrewOrder{
		Unit: record.Unit{ID: unit, Crew: &record.Crew{Slots: 1, Nodes: 1, Feed: true, Pool: true}}, Pool: &pool,
	})
	r.m.write(r.T, "jobs/"+unit+"/job", "#!/bin/bash\n")
	return &machine{run: r, line: &line{to: r.m}, c: Config{
		Run:  remote.Run{Prefix: prefix, Dir: record.Dir(filepath.Join(r.TempDir(), unit)), Patience: 5 * time.Second},
		Unit: unit, BucketTime: time.Now, Node: "node-" + unit, Log: r.Output(), Now: time.Now,
		Beat: 20 * time.Millisecond, Scan: 2 * time.Millisecond, Look: 4 * time.Millisecond, Lead: time.Second, Flush: 5 * time.Second,
		Piece: 100, PieceAge: 5 * time.Millisecond,
	}}
}

// again is the same machine, to be started another time.
func (m *machine) again() *machine {
	return &machine{run: m.run, line: &line{to: m.m}, c: m.c, play: m.play}
}

func (m *machine) start() *machine {
	var ctx context.Context
	ctx, m.die = context.WithCancel(m.Context())
	m.stop, m.end = make(chan record.Cause, 4), make(chan struct{})
	m.c.Stop, m.c.Store = m.stop, m.line
	m.c.begin = func(j record.Job) (crew.Step, error) {
		m.mu.Lock()
		m.began[j.ID] = append(m.began[j.ID], m.c.Unit)
		m.mu.Unlock()
		p := &player{m: m, j: j, told: make(chan record.Cause, 8), exit: make(chan string, 1), dead: ctx.Done()}
		go func() { p.exit <- p.run() }()
		return p, nil
	}
	go func() {
		defer close(m.end)
		m.code, m.err = Run(ctx, m.c)
	}()
	return m
}

// ends waits for the worker's end.
func (m *machine) ends(code diag.Code) {
	m.Helper()
	select {
	case <-m.end:
	case <-time.After(20 * time.Second):
		m.Fatal("the worker does not end")
	}
	if m.code != code {
		m.Errorf("%s ended with %d (%v), want %d", m.c.Unit, m.code, m.err, code)
	}
}

func (m *machine) await(what string, holds func() bool) {
	m.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return
		}
	}
	m.Fatalf("waited for %s", what)
}

func (m *machine) worker() (w record.Worker) {
	m.Helper()
	m.m.read(m.T, "workers/"+m.c.Unit+".json", &w)
	return w
}

// player does what an agent does, to the files of its attempt.
type player struct {
	m    *machine
	j    record.Job
	told chan record.Cause
	exit chan string
	dead <-chan struct{}
	n    int
}

func (p *player) Wait() string              { return <-p.exit }
func (p *player) Tell(c record.Cause) error { p.told <- c; return nil }

func (p *player) dir() record.AttemptDir {
	return p.m.c.Dir.Attempt(p.j.Kind, p.j.Cell, p.j.Attempt)
}

func (p *player) must(err error) {
	if err != nil {
		p.m.Errorf("%s: %v", p.j.ID, err)
	}
}

func (p *player) run() string {
	if p.j.Kind == record.KindProbe {
		p.must(os.MkdirAll(filepath.Dir(string(p.dir())), 0o755))
	} else {
		p.must(os.MkdirAll(p.m.c.Dir.Work(p.j.Kind, p.j.Cell), 0o755))
	}
	p.must(fsx.Claim(string(p.dir())))
	p.must(os.MkdirAll(p.dir().Observations(), 0o755))
	p.must(fsx.PublishJSON(p.dir().Attempt(), record.Attempt{Job: p.j.ID, Node: "n"}))
	p.event("started")
	p.log("begins")
	if p.m.play != nil {
		p.m.play(p)
	} else {
		p.observe()
		p.observe()
	}
	select {
	case <-p.dead: // with the machine
		return "0:9"
	default:
	}
	select {
	case c := <-p.told:
		p.result(record.OutcomeContinue, c)
		return "8:0"
	default:
	}
	p.result(record.OutcomeDone, "")
	return "0:0"
}

func (p *player) observe() {
	p.n++
	p.log(strings.Repeat("x", 37*p.n))
	p.must(fsx.Publish(p.dir().Timelines(p.n, record.Inf), []byte("times of "+p.j.ID), 0o644))
	p.must(fsx.PublishJSON(p.dir().Observation(p.n), record.Observation{Cell: p.j.Cell, Seq: p.n, Complete: true}))
	p.event("observation")
}

func (p *player) result(o record.Outcome, c record.Cause) {
	p.log(string(o))
	p.must(fsx.PublishJSON(p.dir().Result(), record.Result{Job: p.j.ID, Outcome: o, Cause: c, Observations: p.n, Complete: true}))
	p.event("result")
}

// awaits is a player that measures once and then waits to be told.
func awaits(p *player) {
	p.observe()
	select {
	case c := <-p.told:
		p.told <- c
	case <-p.dead:
	}
}

func (p *player) log(line string) {
	for _, path := range []string{p.dir().ServerLog(), p.m.c.Dir.JobLog(p.j.ID)} {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		p.must(err)
		_, err = fmt.Fprintln(f, line)
		p.must(errors.Join(err, f.Close()))
	}
}

func (p *player) event(what string) {
	p.must(fsx.PublishJSON(filepath.Join(p.m.c.Dir.Events(), fmt.Sprintf("%s.%03d.%s.json", p.j.ID, p.n, what)), record.Event{Job: p.j.ID, What: what}))
}

// allUp compares what agents have left on a machine with what a mirror knows.
func allUp(t *testing.T, files map[string]string, m *machine, jobs ...record.Job) {
	t.Helper()
	for _, j := range jobs {
		at := m.c.Dir.Attempt(j.Kind, j.Cell, j.Attempt)
		local := []string{m.c.Dir.Claim(j.ID), m.c.Dir.JobLog(j.ID), m.c.Dir.Step(j.ID)}
		for _, pattern := range []string{"*.json", "*.log", "*.timelines", "observations/*"} {
			found, err := filepath.Glob(filepath.Join(string(at), pattern))
			if err != nil || len(found) == 0 {
				t.Errorf("%s left no %s (%v)", j.ID, pattern, err)
			}
			local = append(local, found...)
		}
		for _, path := range local {
			want, err := os.ReadFile(path)
			if got, there := files[m.c.Dir.Rel(path)]; err != nil || !there || got != string(want) {
				t.Errorf("%s: %d bytes of %d are known (there: %t, %v)", path, len(got), len(want), there, err)
			}
		}
	}
}

func TestAMachineWorksTheQueueOffAndSaysThatItIsDone(t *testing.T) {
	t.Parallel()
	r := newRun(t, cells(3)...)
	m := r.machine("pool-1", record.PoolOrder{}).start()
	m.await("the jobs", func() bool { return m.m.has("jobs/c02-1/step.json") })
	m.m.write(t, "state.json", record.State{Phase: record.PhaseOver})
	m.ends(diag.OK)
	files := mirror(t, r.m)
	allUp(t, files, m, r.jobs...)
	var d record.Done
	m.m.read(t, "jobs/pool-1/done.json", &d)
	if d.ExitCode != "0:0" || files["jobs/pool-1/done.json"] == "" || !strings.Contains(files["jobs/pool-1/log"], "c02-1 is over: 0:0") {
		t.Errorf("done: %+v, log: %s", d, files["jobs/pool-1/log"])
	}
	w := m.worker()
	manifests := 0
	for _, name := range r.m.puts {
		if strings.Contains(name, "/events/") {
			manifests++
		}
	}
	if w.Phase != record.WorkerClosed || w.Boot != 1 || w.Manifests != manifests || w.Node != "node-pool-1" {
		t.Errorf("the last sign of life: %+v, with %d manifests", w, manifests)
	}
	if !strings.Contains(files["jobs/pool-1/aboard.json"], `"closed": true`) {
		t.Errorf("aboard: %s", files["jobs/pool-1/aboard.json"])
	}
	if meta := r.m.objects[prefix+"/workers/pool-1.json"].Metadata; meta["phase"] != "closed" || meta["manifests"] != fmt.Sprint(manifests) {
		t.Errorf("metadata: %v", meta)
	}
	if names := events(files); len(names) != 4*3 {
		t.Errorf("%d events of 12: %s", len(names), names)
	}
	if last := r.m.puts[len(r.m.puts)-1]; !strings.HasSuffix(last, "workers/pool-1.json") {
		t.Errorf("the last thing written is %s", last)
	}
}

func events(files map[string]string) (names []string) {
	for path := range files {
		if strings.HasPrefix(path, "events/") {
			names = append(names, path)
		}
	}
	slices.Sort(names)
	return names
}

// Whoever finds it again later pays nothing for it: the agents' events have no objects.
func TestEventsOfAgentsAreInManifestsAlone(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"))
	r.machine("pool-1", record.PoolOrder{Idle: 1}).start().ends(diag.OK)
	for _, name := range r.m.puts {
		if strings.Contains(name, "/events/a-1") {
			t.Errorf("%s", name)
		}
	}
}

func TestAMachineThatIsBuriedStopsAndPublishesNothingMore(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"), cell("b"))
	m := r.machine("pool-1", record.PoolOrder{})
	m.play = awaits
	m.start()
	m.await("an observation", func() bool { return m.m.has("cells/a/1/observations/001.json") })
	w := m.worker()
	w.Phase = record.WorkerDead
	r.m.mu.Lock()
	r.m.puts = nil
	r.m.mu.Unlock()
	m.m.write(t, "workers/pool-1.json", w)
	m.ends(diag.Busy)
	if _, err := os.Stat(m.c.Dir.Attempt(record.KindCell, "a", 1).Result()); err != nil {
		t.Errorf("its agent was not told: %v", err)
	}
	for _, path := range []string{"cells/a/1/result.json", "jobs/pool-1/done.json", "claims/b-1.json"} {
		if r.m.has(path) {
			t.Errorf("%s was published by a machine that was taken for dead", path)
		}
	}
	m.again().start().ends(diag.Busy)
	if m.worker().Phase != record.WorkerDead {
		t.Error("it came back to life")
	}
}

// The new machine has the place of the old, which may live and not know it.
func TestASecondMachineOfAUnitTakesItsPlaceAndTheFirstStops(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"), cell("b"))
	first := r.machine("pool-1", record.PoolOrder{})
	first.play = awaits
	first.start()
	first.await("the first job", func() bool { return r.m.has("cells/a/1/attempt.json") })
	second := first.again()
	second.c.Dir, second.play = record.Dir(t.TempDir()), nil
	second.start()
	first.ends(diag.Busy)
	second.await("the other job", func() bool { return r.m.has("cells/b/1/result.json") })
	r.m.write(t, "state.json", record.State{Phase: record.PhaseOver})
	second.ends(diag.OK)
	if w := second.worker(); w.Boot != 2 {
		t.Errorf("%+v", w)
	}
	var s record.Step
	r.m.read(t, "jobs/a-1/step.json", &s)
	if !s.Over() || s.ExitCode != interrupted || s.Cause != record.CauseRestart || len(r.began["a-1"]) != 1 {
		t.Errorf("the job of the first: %+v, begun by %s", s, r.began["a-1"])
	}
	mirrorOf(t, r.m, false)
}

// A beat that arrived and whose answer did not is the worker's own, however it looks.
func TestABeatWhoseAnswerWasLostStopsNobody(t *testing.T) {
	t.Parallel()
	r := newRun(t, cells(4)...)
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	beats := 0
	m.line.fault = func(_ int, op, name string) fault {
		if op == "put" && name == "workers/pool-1.json" {
			if beats++; beats%3 != 0 {
				return mute
			}
		}
		return fine
	}
	m.start().ends(diag.OK)
	allUp(t, mirror(t, r.m), m, r.jobs...)
}

// Nothing is lost while the bucket is away: the agent goes on, what it published goes up afterwards, in order.
func TestABucketThatIsAwayForAWhileLosesNothing(t *testing.T) {
	t.Parallel()
	r := newRun(t, cells(2)...)
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	away, back := make(chan struct{}), make(chan struct{})
	m.play = func(p *player) {
		p.observe()
		if p.j.ID == "c00-1" {
			p.m.await("the first observation", func() bool { return p.m.m.has("cells/c00/1/observations/001.json") })
			p.m.line.set(func(int, string, string) fault { return refused })
			close(away)
		}
		for range 5 {
			p.observe()
		}
	}
	m.start()
	<-away
	m.await("the result, here", func() bool {
		_, err := os.Stat(m.c.Dir.Attempt(record.KindCell, "c00", 1).Result())
		return err == nil
	})
	before := m.line.count()
	m.await("some tries", func() bool { return m.line.count() > before+20 })
	if r.m.has("cells/c00/1/result.json") {
		t.Fatal("the bucket was not away")
	}
	m.line.set(nil)
	close(back)
	m.ends(diag.OK)
	allUp(t, mirror(t, r.m), m, r.jobs...)
}

func (l *line) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// Of what went up by halves the rest follows, and logs that grew meanwhile join to the same bytes.
func TestWhatWentUpWithoutAnAnswerIsNotPutUpTwice(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newRun(t, cells(3)...)
			m := r.machine("pool-1", record.PoolOrder{Idle: 1})
			m.c.Beat = seconds(0.5) // each that fails is a line more for the log that has to go up
			dice := rand.New(rand.NewPCG(seed, 0))
			m.line.fault = func(_ int, op, name string) fault {
				switch n := dice.IntN(10); {
				case op == "put" && n < 4:
					return mute
				case n == 9:
					return refused
				}
				return fine
			}
			m.play = func(p *player) {
				for range 6 {
					p.observe()
					time.Sleep(3 * time.Millisecond) // so that logs grow between tries
				}
			}
			m.start().ends(diag.OK)
			allUp(t, mirror(t, r.m), m, r.jobs...)
			for _, path := range []string{"cells/c00/1/server.log.part-000002", "jobs/c00-1/log.part-000001"} {
				if !r.m.has(path) {
					t.Errorf("no %s: it went up at once", path)
				}
			}
		})
	}
}

func TestAMachineThatIsTakenAwayPublishesWhatThereIs(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"), cell("b"))
	m := r.machine("pool-1", record.PoolOrder{})
	m.play = awaits
	taken := make(chan string, 1)
	m.c.Metadata = func(ctx context.Context, key string, each func(string)) error {
		if key != "instance/preempted" {
			<-ctx.Done()
			return ctx.Err()
		}
		each("FALSE")
		select {
		case v := <-taken:
			each(v)
			<-ctx.Done()
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	m.start()
	m.await("an observation", func() bool { return r.m.has("cells/a/1/observations/001.json") })
	taken <- "TRUE"
	m.ends(diag.Unfinished)
	var res record.Result
	r.m.read(t, "cells/a/1/result.json", &res)
	if res.Outcome != record.OutcomeContinue || res.Cause != record.CauseStopped {
		t.Errorf("%+v", res)
	}
	allUp(t, mirrorOf(t, r.m, false), m, cell("a"))
	if w := m.worker(); w.Phase != record.WorkerPreempted {
		t.Errorf("%+v", w)
	}
	for _, path := range []string{"jobs/pool-1/done.json", "claims/b-1.json"} {
		if r.m.has(path) {
			t.Errorf("there is a %s", path)
		}
	}
}

// In half a minute a trace of gigabytes may not go up, and the result must.
func TestInAHurryRecordsGoUpBeforeLogsAndTraces(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"))
	m := r.machine("pool-1", record.PoolOrder{})
	m.play = func(p *player) {
		p.must(os.MkdirAll(p.dir().Trace(), 0o755))
		awaits(p)
		p.must(os.WriteFile(filepath.Join(p.dir().Trace(), "t.xplane.pb"), make([]byte, inHandAndMore), 0o644))
	}
	m.start()
	m.await("an observation", func() bool { return r.m.has("cells/a/1/observations/001.json") })
	m.line.set(func(_ int, op, name string) fault {
		if op == "put" && (strings.Contains(name, ".part-") || strings.HasSuffix(name, ".pb")) {
			return refused
		}
		return fine
	})
	m.c.Flush = seconds(1)
	m.stop <- record.CauseStopped
	m.await("the result", func() bool { return r.m.has("cells/a/1/result.json") })
	m.line.set(nil)
	m.ends(diag.Unfinished)
	files := mirrorOf(t, r.m, false)
	allUp(t, files, m, cell("a"))
	if len(files["cells/a/1/trace/t.xplane.pb"]) != inHandAndMore {
		t.Error("the trace is not there")
	}
}

const inHandAndMore = 1<<20 + 1

// What was under way when a machine went down is told, and never begun again.
func TestAMachineThatStartsAgainLeavesWhatItHadBegun(t *testing.T) {
	t.Parallel()
	r := newRun(t, cells(3)...)
	m := r.machine("pool-1", record.PoolOrder{})
	m.play = func(p *player) {
		if p.j.ID == "c01-1" {
			awaits(p)
			p.observe() // after its last moment in the bucket
			return
		}
		p.observe()
	}
	m.start()
	m.await("the second job", func() bool { return r.m.has("cells/c01/1/observations/001.json") })
	m.line.set(func(int, string, string) fault { return refused })
	m.die()
	<-m.end
	// Its crew was quick enough to note the end, which that of a machine without power is not.
	if err := fsx.PublishJSON(m.c.Dir.Step("c01-1"), record.Step{Job: "c01-1", Begun: time.Now()}); err != nil {
		t.Fatal(err)
	}
	again := m.again()
	again.play = nil
	again.start()
	again.await("the third job", func() bool { return r.m.has("jobs/c02-1/step.json") })
	r.m.write(t, "state.json", record.State{Phase: record.PhaseOver})
	again.ends(diag.OK)
	var s record.Step
	r.m.read(t, "jobs/c01-1/step.json", &s)
	if !s.Over() || s.ExitCode == "0:0" || s.Begun.IsZero() {
		t.Errorf("the step that was cut off: %+v", s)
	}
	for id, who := range r.began {
		if len(who) != 1 {
			t.Errorf("%s was begun %d times", id, len(who))
		}
	}
	files := mirror(t, r.m)
	allUp(t, files, again, cell("c00"), cell("c02"))
	if files["cells/c01/1/observations/002.json"] == "" || files["cells/c01/1/result.json"] != "" {
		t.Error("what was left of the second job is not what it had left")
	}
	if w := again.worker(); w.Boot != 2 || w.Manifests != highest(t, r.m) {
		t.Errorf("%+v, and %d manifests", w, highest(t, r.m))
	}
}

// highest is the greatest number of a manifest.
func highest(t *testing.T, m *heap) (n int) {
	for _, name := range m.puts {
		if strings.Contains(name, "/events/") {
			var manifest record.Manifest
			m.read(t, strings.TrimPrefix(name, prefix+"/"), &manifest)
			n = max(n, manifest.Seq)
		}
	}
	return n
}

// A claim may be all that is left of a machine's last moment.
func TestAJobThatWasClaimedAndNotBegunIsToldSo(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"), cell("b"))
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	m.line.fault = func(_ int, op, name string) fault {
		if name == "jobs/a-1/assignment.json" {
			return refused
		}
		return fine
	}
	m.start()
	m.await("the claim", func() bool { return r.m.has("claims/a-1.json") })
	m.die()
	<-m.end
	m.again().start().ends(diag.OK)
	var s record.Step
	r.m.read(t, "jobs/a-1/step.json", &s)
	if !s.Over() || !s.Begun.IsZero() || len(r.began["a-1"]) > 0 || len(r.began["b-1"]) != 1 {
		t.Errorf("%+v, begun: %v", s, r.began)
	}
}

// Neither manifests' names nor the machine's time go by a wall clock that is wrong.
func TestAClockThatIsAnHourOffChangesNothing(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		r := newRun(t, cells(2)...)
		good := r.machine("pool-1", record.PoolOrder{Idle: 1, MaxRun: 600})
		wrong := r.machine("pool-2", record.PoolOrder{Idle: 1, MaxRun: 600})
		wrong.c.Now = func() time.Time { return time.Now().Add(off) }
		began := time.Now()
		good.start()
		wrong.start()
		good.ends(diag.OK)
		wrong.ends(diag.OK)
		mirror(t, r.m)
		for id, who := range r.began {
			if len(who) != 1 {
				t.Errorf("%s was begun by %s", id, who)
			}
		}
		for _, name := range r.m.puts {
			if rest, is := strings.CutPrefix(name, prefix+"/events/"); is {
				var ms int64
				if _, err := fmt.Sscanf(rest, "%013d-", &ms); err != nil || ms < began.UnixMilli() || ms > time.Now().UnixMilli() {
					t.Errorf("%s is not of these seconds (%v)", name, err)
				}
			}
		}
	}
}

func TestAMachineWhoseTimeIsOverEndsInGoodTimeAndSaysSo(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"))
	m := r.machine("pool-1", record.PoolOrder{MaxRun: 2})
	m.play = awaits
	m.start().ends(diag.Unfinished)
	var d record.Done
	r.m.read(t, "jobs/pool-1/done.json", &d)
	var res record.Result
	r.m.read(t, "cells/a/1/result.json", &res)
	if d.ExitCode == "0:0" || d.Message == "" || res.Cause != record.CauseTimeLimit {
		t.Errorf("%+v, %+v", d, res)
	}
	allUp(t, mirror(t, r.m), m, cell("a"))
}

func TestTheTimeOfAMachineGoesOnWhileItIsDown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "starts.json")
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var s start
	begin := func(now time.Time) time.Duration {
		s = start{}
		if err := s.count(path, now); err != nil {
			t.Fatal(err)
		}
		s.bound(time.Hour)
		return s.left
	}
	if left := begin(at); left != time.Hour || s.Starts != 1 {
		t.Errorf("at first: %s", left)
	}
	s.remember(at.Add(10*time.Minute), 0)
	if left := begin(at.Add(30 * time.Minute)); left != 30*time.Minute || s.Starts != 2 {
		t.Errorf("after half an hour, mostly down: %s", left)
	}
	s.remember(at.Add(35*time.Minute), 0)
	if left := begin(at.Add(-3 * time.Hour)); left != 45*time.Minute {
		t.Errorf("after 15 minutes of work, with a clock that was set back: %s", left)
	}
	if left := begin(at.Add(2 * time.Hour)); left > 0 {
		t.Errorf("after its time: %s", left)
	}
}

// The probe's answer is what agents start their servers with: it is here before they are.
func TestCellsWaitForAProbeThatAnotherMachineMakes(t *testing.T) {
	t.Parallel()
	a := cell("a")
	a.Needs = []record.Edge{{Job: "probe-1", When: record.AfterOK}}
	r := newRun(t, record.Job{ID: "probe-1", Kind: record.KindProbe, Attempt: 1}, a)
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	r.m.write(t, "claims/probe-1.json", record.Claim{Job: "probe-1", Unit: "pool-2", Boot: 1})
	answer := make(chan error, 1)
	m.play = func(p *player) {
		var res record.Result
		err := fsx.ReadJSON(p.m.c.Dir.Attempt(record.KindProbe, "", 2).Result(), &res)
		if err == nil && res.Utilization != 0.9 {
			err = fmt.Errorf("%+v", res)
		}
		answer <- err
		p.observe()
	}
	m.start()
	m.await("some looks", func() bool { return m.line.count() > 40 })
	r.m.write(t, "probe/1/result.json", record.Result{Outcome: record.OutcomeFailed, Complete: true})
	looked := m.line.count()
	m.await("some more", func() bool { return m.line.count() > looked+40 })
	if r.m.has("claims/a-1.json") {
		t.Fatal("claimed before the probe had an answer")
	}
	r.m.write(t, "probe/2/result.json", record.Result{Outcome: record.OutcomeDone, Complete: true, Utilization: 0.9})
	m.ends(diag.OK)
	if err := <-answer; err != nil {
		t.Errorf("the answer, at the agent's: %v", err)
	}
	allUp(t, mirror(t, r.m), m, a)
	if len(r.began["probe-1"]) > 0 {
		t.Error("it made the probe of another machine")
	}
}

func TestSecretsAreTheMachinesOwnersAndGoNowhere(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"))
	r.m.write(t, "secrets.env", "HF_TOKEN=x")
	m := r.machine("pool-1", record.PoolOrder{Idle: 1, Secrets: true}).start()
	m.ends(diag.OK)
	info, err := os.Stat(m.c.Dir.Secrets())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if files := mirror(t, r.m); files["secrets.env"] != "" {
		t.Error("a manifest has them")
	}
}

// What a collector does not want any more is not begun, or ended; others hear what cells hold, each of the others.
func TestWishesAndBestsOfOthersReachTheAgents(t *testing.T) {
	t.Parallel()
	r := newRun(t, cells(3)...)
	r.m.write(t, "jobs/c00-1/unwanted.json", struct{}{})
	r.m.write(t, "best/x-1.json", record.Feasible{Cell: "x", Rate: 4})
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	m.play = func(p *player) {
		p.must(fsx.PublishJSON(p.m.c.Dir.Best(p.j.ID), record.Feasible{Cell: p.j.Cell, Rate: 5}))
		if p.j.ID == "c01-1" {
			awaits(p)
			return
		}
		p.observe()
		p.m.await("what others hold", func() bool {
			var f record.Feasible
			return fsx.ReadJSON(p.m.c.Dir.Best("x-1"), &f) == nil && f.Rate == 6
		})
	}
	m.start()
	m.await("the second job", func() bool { return r.m.has("best/c01-1.json") && r.m.has("cells/c01/1/observations/001.json") })
	r.m.write(t, "best/x-1.json", record.Feasible{Cell: "x", Rate: 6})
	r.m.write(t, "jobs/c01-1/unwanted.json", struct{}{})
	m.ends(diag.OK)
	for id, begun := range map[string]bool{"c00-1": false, "c01-1": true, "c02-1": true} {
		var s record.Step
		r.m.read(t, "jobs/"+id+"/step.json", &s)
		if s.Cancelled != (id != "c02-1") || !s.Over() || s.Begun.IsZero() == begun || len(r.began[id]) == 1 != begun {
			t.Errorf("%s: %+v", id, s)
		}
	}
	files := mirror(t, r.m)
	if files["best/x-1.json"] != "" || files["best/c02-1.json"] == "" {
		t.Error("bests: each machine puts up its own")
	}
}

func TestACancelledRunEndsItsMachines(t *testing.T) {
	t.Parallel()
	r := newRun(t, cells(2)...)
	m := r.machine("pool-1", record.PoolOrder{})
	m.play = awaits
	m.start()
	m.await("an observation", func() bool { return r.m.has("cells/c00/1/observations/001.json") })
	r.m.write(t, "cancelled.json", record.Cancelled{})
	m.ends(diag.OK)
	if !r.m.has("jobs/pool-1/done.json") || !r.m.has("cells/c00/1/result.json") || r.m.has("claims/c01-1.json") {
		t.Error("it did not end as it should")
	}
}

// Names out of the bucket become paths here.
func TestNamesThatLeadOutOfTheRunArePassedOver(t *testing.T) {
	t.Parallel()
	r := newRun(t)
	for i, id := range []string{"../../x", "..", "a b", ".hidden"} {
		r.m.write(t, fmt.Sprintf("queue/pool/%06d-%s.json", i, id), record.Job{ID: id})
	}
	r.m.write(t, "queue/pool/000009-a-1.json", record.Job{ID: "../../a-1"})
	r.m.write(t, "queue/pool/000010-b-1.json", record.Job{ID: "b-1", Cell: "../../b", Kind: record.KindCell})
	r.m.write(t, "best/../x.json", record.Feasible{})
	r.put(11, cell("good"))
	m := r.machine("pool-1", record.PoolOrder{Idle: 1}).start()
	m.ends(diag.OK)
	if len(r.began) != 1 || len(r.began["good-1"]) != 1 {
		t.Errorf("begun: %v", r.began)
	}
}

// Where a machine cannot say that it takes no more, it stays: whoever feeds the queue must be able to believe the word.
func TestAMachineThatCannotSayThatItClosesStays(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"))
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	m.start()
	m.await("the job", func() bool { return r.m.has("jobs/a-1/step.json") && m.worker().Job == "" })
	m.line.set(func(_ int, op, name string) fault {
		if name == "workers/pool-1.json" {
			return refused
		}
		return fine
	})
	select {
	case <-m.end:
		t.Fatal("it ended")
	case <-time.After(seconds(1.2)):
	}
	r.put(2, cell("b"))
	m.await("the late job", func() bool { return r.m.has("jobs/b-1/step.json") })
	m.line.set(nil)
	m.ends(diag.OK)
	allUp(t, mirror(t, r.m), m, cell("a"), cell("b"))
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// Wherever one of two machines dies, and whatever becomes of their calls: no job is begun twice, what the dead one had claimed is begun
// by nobody else, and all the rest is done by the other.
func TestEachJobOfAQueueIsBegunOnceWhoeverDies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 1))
			r := newRun(t, cells(5)...)
			mortal, other := r.machine("pool-1", record.PoolOrder{}), r.machine("pool-2", record.PoolOrder{})
			last, how := 15+dice.IntN(120), []fault{refused, mute}[dice.IntN(2)]
			died := make(chan struct{})
			mortal.line.fault = func(n int, op, name string) fault {
				switch {
				case n == last:
					close(died)
					return how
				case n > last:
					return refused
				}
				return unlucky(dice, op)
			}
			lots := rand.New(rand.NewPCG(seed, 2))
			other.line.fault = func(_ int, op, name string) fault { return unlucky(lots, op) }
			mortal.start()
			other.start()
			select {
			case <-died:
			case <-mortal.end:
			case <-time.After(20 * time.Second):
				t.Fatal("it does not die")
			}
			mortal.die()
			<-mortal.end
			others := func() (js []record.Job) {
				for _, j := range r.jobs {
					var c record.Claim
					if !r.m.has("claims/" + j.ID + ".json") {
						return nil
					}
					if r.m.read(t, "claims/"+j.ID+".json", &c); c.Unit == "pool-2" {
						js = append(js, j)
					}
				}
				return js
			}
			other.await("every job to be somebody's", func() bool {
				return others() != nil && !slices.ContainsFunc(others(), func(j record.Job) bool {
					var s record.Step
					return fsx.ReadJSON(other.c.Dir.Step(j.ID), &s) != nil || !s.Over()
				}) || claimedBy(r, "pool-1") == len(r.jobs)
			})
			r.m.write(t, "state.json", record.State{Phase: record.PhaseOver})
			other.ends(diag.OK)
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, j := range r.jobs {
				var c record.Claim
				r.m.read(t, "claims/"+j.ID+".json", &c)
				if who := r.began[j.ID]; len(who) > 1 || len(who) == 1 && who[0] != c.Unit || len(who) == 0 && c.Unit != "pool-1" {
					t.Errorf("%s, claimed by %s, was begun by %s", j.ID, c.Unit, who)
				}
			}
			allUp(t, mirror(t, r.m), other, others()...)
		})
	}
}

func unlucky(dice *rand.Rand, op string) fault {
	switch n := dice.IntN(20); {
	case op == "put" && n == 0:
		return mute
	case n == 1:
		return refused
	}
	return fine
}

func claimedBy(r *run, unit string) (n int) {
	for _, j := range r.jobs {
		var c record.Claim
		if path := "claims/" + j.ID + ".json"; r.m.has(path) {
			if r.m.read(r.T, path, &c); c.Unit == unit {
				n++
			}
		}
	}
	return n
}

// At the last moment another start of this very unit may have come first.
func TestAClaimOfAnotherStartOfTheUnitIsNotItsOwn(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"), cell("b"))
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	m.line.fault = func(_ int, op, name string) fault {
		if op == "put" && name == "claims/a-1.json" && !r.m.has(name) {
			r.m.write(t, name, record.Claim{Job: "a-1", Unit: "pool-1", Boot: 7})
		}
		return fine
	}
	m.start().ends(diag.OK)
	if len(r.began["a-1"]) > 0 || len(r.began["b-1"]) != 1 {
		t.Errorf("begun: %v", r.began)
	}
}

// The log has grown by the time that it is clear that no answer comes: the piece that is there is as long as it was then.
func TestAPieceOfALogThatWentUpWithoutAnAnswerStaysAsItIs(t *testing.T) {
	t.Parallel()
	r := newRun(t, cell("a"))
	m := r.machine("pool-1", record.PoolOrder{Idle: 1})
	lost := 0
	m.line.fault = func(_ int, op, name string) fault {
		if op != "put" || name != "cells/a/1/server.log.part-000001" || lost > 0 {
			return fine
		}
		lost++
		f, err := os.OpenFile(m.c.Dir.Attempt(record.KindCell, "a", 1).ServerLog(), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = fmt.Fprintln(f, "meanwhile")
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Error(err)
		}
		return mute
	}
	m.play = func(p *player) {
		p.m.await("the log to have grown", func() bool {
			log, _ := os.ReadFile(p.dir().ServerLog())
			return strings.Contains(string(log), "meanwhile")
		})
		p.observe()
	}
	m.start().ends(diag.OK)
	allUp(t, mirror(t, r.m), m, cell("a"))
}
