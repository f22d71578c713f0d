package collect

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
)

// world stands in for submitter, scheduler and agents around one real run directory: it writes the records they would write.
// Its cells have a known throughput and a known highest rate that meets the limit, so the right answer is known too.
type world struct {
	t     testing.TB
	dir   record.Dir
	nodes record.Dir // the same directory as the nodes see it
	run   record.Run
	plan  record.Plan
	truth map[string]curve
	// mishap is asked before each job runs what happens to it; the zero answer is nothing.
	mishap func(j record.Job) mishap
	// ends is asked too: what the scheduler says of a job that leaves no result; nil: it does its work.
	ends func(j record.Job) *Seen

	now     time.Time
	nextID  int
	follow  map[string]FollowUp
	state   map[string]Seen // what the scheduler says of a job
	order   []string        // submitted, not yet run
	units   map[string]record.Unit
	cancels []string

	// Of method vtune:
	best      []record.Feasible // what agents told each other
	traces    bool              // accepted cells are traced
	emulation map[string]curve  // what an emulation shows, where that is not the truth
	lowered   float64           // utilization of cells that ran out of memory under load; 0: none did
	farm      *farm             // nil: there is one node, and it is not compared
}

type curve struct {
	throughput float64
	meets      int // highest integer rate that meets the limit; 0: none
	fails      record.Cause
}

// mishap of one job.
type mishap struct {
	after int          // observations made before it strikes
	cause record.Cause // lost: no result at all; anything else: a result that says so
	node  bool         // the scheduler says that the node failed
}

func newWorld(t testing.TB, seqs, tokens []int, limit float64) *world {
	t.Helper()
	dir := record.Dir(t.TempDir())
	w := &world{
		t: t, dir: dir, nodes: dir, run: record.Run{ID: "r", Scheduler: "world"}, truth: map[string]curve{}, now: time.Unix(1e9, 0),
		follow: map[string]FollowUp{}, state: map[string]Seen{}, units: map[string]record.Unit{},
		plan: record.Plan{Policy: record.Policy{Method: "auto_tune", LimitMS: limit, InfRequests: 1000, RateRequests: 100}, RateSearch: "in-job"},
	}
	probe := record.Job{ID: "probe-1", Kind: record.KindProbe, Attempt: 1}
	w.plan.Units = []record.Unit{{ID: probe.ID, Jobs: []record.Job{probe}}}
	array := record.Unit{ID: "cells"}
	for _, s := range seqs {
		for _, tok := range tokens {
			id := record.CellID(s, tok)
			w.plan.Cells = append(w.plan.Cells, record.Cell{ID: id, MaxNumSeqs: s, MaxNumBatchedTokens: tok})
			array.Jobs = append(array.Jobs, record.Job{
				ID: id + "-1", Kind: record.KindCell, Cell: id, Attempt: 1,
				Needs: []record.Edge{{Job: probe.ID, When: record.AfterOK}},
			})
			w.truth[id] = curve{throughput: 5.37, meets: 3}
		}
	}
	w.plan.Units = append(w.plan.Units, array)
	for _, d := range []string{dir.Jobs(), dir.Events(), dir.Profile()} {
		w.must(os.MkdirAll(d, 0o755))
	}
	w.must(fsx.PublishJSON(dir.Run(), w.run))
	w.must(fsx.PublishJSON(dir.Plan(), w.plan))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) collector() *Collector {
	return New(Config{
		Dir: w.dir, Look: w.look, Submit: w.submit, Cancel: w.cancel, Now: func() time.Time { return w.now }, Grace: time.Minute,
	})
}

func (w *world) look(context.Context) ([]Seen, error) {
	var all []Seen
	for _, s := range w.state {
		all = append(all, s)
	}
	return all, nil
}

func (w *world) cancel(_ context.Context, ids []string) error {
	w.cancels = append(w.cancels, ids...)
	for _, id := range ids {
		w.state[id] = Seen{Job: id, Over: true, Cause: record.CauseStopped, Word: "CANCELLED"}
		w.order = slices.DeleteFunc(w.order, func(o string) bool { return o == id })
	}
	return nil
}

func (w *world) submit(_ context.Context, units []record.Unit, follow []FollowUp) error {
	for _, f := range follow {
		name := f.Cell
		if f.Kind != record.KindCell {
			name = string(f.Kind)
		}
		j := record.Job{ID: fmt.Sprintf("%s-%d", name, f.Attempt), Kind: f.Kind, Cell: f.Cell, Attempt: f.Attempt, Emulates: f.Emulates}
		w.follow[j.ID] = f
		units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
	}
	for _, u := range units {
		if _, twice := w.units[u.ID]; twice {
			w.t.Errorf("unit %s was submitted twice", u.ID)
		}
		w.units[u.ID] = u
		w.must(os.MkdirAll(w.dir.Job(u.ID), 0o755))
		w.nextID++
		w.must(fsx.PublishJSON(w.dir.Intent(u.ID), record.Intent{Name: u.ID, Unit: u, At: w.now}))
		w.must(fsx.PublishJSON(w.dir.Submitted(u.ID), record.Submitted{Name: u.ID, ID: fmt.Sprint(w.nextID), At: w.now}))
		for _, j := range u.Jobs {
			w.must(os.MkdirAll(w.dir.Job(j.ID), 0o755))
			w.state[j.ID] = Seen{Job: j.ID, Word: "PENDING"}
			w.order = append(w.order, j.ID)
		}
		for _, j := range u.Riders {
			w.must(os.MkdirAll(w.dir.Job(j.ID), 0o755))
			w.state[j.ID] = Seen{Job: j.ID, Word: "PENDING"}
		}
	}
	return nil
}

// work runs every submitted job to its end, in order.
func (w *world) work() {
	order := w.order
	w.order = nil
	for _, id := range order {
		for _, u := range w.units {
			for _, j := range u.Jobs {
				if j.ID != id {
					continue
				}
				w.do(j)
				for _, r := range u.Riders {
					if w.probed() {
						w.do(r)
					} else {
						fate := w.state[j.ID]
						fate.Job = r.ID
						w.state[r.ID] = fate
					}
				}
			}
		}
	}
}

func (w *world) probed() bool {
	_, err := os.Stat(w.nodes.Attempt(record.KindProbe, "", 1).Result())
	return err == nil
}

func (w *world) do(j record.Job) {
	var m mishap
	if w.mishap != nil {
		m = w.mishap(j)
	}
	if w.ends != nil {
		if seen := w.ends(j); seen != nil {
			w.state[j.ID] = *seen
			return
		}
	}
	w.state[j.ID] = Seen{Job: j.ID, Over: true, Word: "COMPLETED"}
	if m.node {
		w.state[j.ID] = Seen{Job: j.ID, Over: true, Cause: record.CauseNode, Word: "NODE_FAIL"}
		return
	}
	dir := w.nodes.Attempt(j.Kind, j.Cell, j.Attempt)
	w.claim(j)
	w.must(os.WriteFile(dir.ServerLog(), []byte("log\n"), 0o644))
	res := record.Result{
		Run: "r", Job: j.ID, Kind: j.Kind, Cell: j.Cell, Attempt: j.Attempt, Outcome: record.OutcomeDone,
		ServerVersion: "0.32.0", Started: w.now, Ended: w.now.Add(time.Minute), Complete: true, Ledger: record.Ledger{record.SpendStarting: 50},
		Starts: []record.Start{{OK: true}},
	}
	switch j.Kind {
	case record.KindProbe:
		res.Utilization = 0.98
	case record.KindProfile:
		res.Profile = []string{"profile/trace.json.gz"}
	case record.KindCell:
		if w.plan.Policy.Method == search.Vtune {
			res.Utilization = w.lowered
			w.tune(j, dir, m, &res)
		} else {
			w.search(j, dir, m, &res)
		}
	}
	switch {
	case m.cause == record.CauseLost:
		w.state[j.ID] = Seen{Job: j.ID, Over: true, Word: "FAILED", Cause: record.CauseAgent}
		return
	case m.cause != record.CauseNone && j.Kind != record.KindCell:
		res.Outcome, res.Cause, res.Message = record.OutcomeFailed, m.cause, "said so"
	}
	w.must(fsx.PublishJSON(dir.Result(), res))
}

// claim is what an agent leaves that has begun.
func (w *world) claim(j record.Job) {
	dir := w.nodes.Attempt(j.Kind, j.Cell, j.Attempt)
	w.must(os.MkdirAll(dir.Observations(), 0o755))
	w.must(fsx.PublishJSON(dir.Attempt(), record.Attempt{Job: j.ID, Node: w.placed(j)}))
	w.check(j, dir)
}

// search is the agent's loop against a known curve.
func (w *world) search(j record.Job, dir record.AttemptDir, m mishap, res *record.Result) {
	c := w.truth[j.Cell]
	if c.fails != record.CauseNone {
		res.Outcome, res.Cause, res.Message = record.OutcomeFailed, c.fails, "the engine says so"
		return
	}
	obs := slices.Clone(w.follow[j.ID].Known)
	for n := 1; ; n++ {
		if m.cause != record.CauseNone && n > m.after {
			res.Outcome, res.Cause, res.Observations = record.OutcomeContinue, m.cause, n-1
			return
		}
		d := search.Next(search.Question{Policy: w.plan.Policy, Observed: obs})
		if d.Action != search.Try {
			res.Observations = n - 1
			return
		}
		o := c.observe(w.plan.Policy, d.Load)
		o.Cell, o.Attempt, o.Seq, o.Complete = j.Cell, j.Attempt, n, true
		obs = append(obs, o)
		w.must(fsx.PublishJSON(dir.Observation(n), o))
	}
}

func (c curve) observe(p record.Policy, l record.Load) record.Observation {
	o := record.Observation{Load: l, Metrics: record.Metrics{
		Completed: l.Requests, Seconds: 1, RequestThroughput: math.Min(c.throughput, float64(l.Rate)*0.9), TotalOutputTokens: 1,
		E2EL: record.Latency{P99: p.LimitMS + 1},
	}}
	if p.LimitMS == 0 || !l.Rate.IsInf() && float64(l.Rate) <= float64(c.meets) {
		o.Metrics.E2EL.P99 = max(p.LimitMS-1, 1)
	}
	o.Verdict, o.Cause, o.Detail = search.Judge(p, o.Metrics, l.Requests)
	return o
}

// finish lets collector and world take turns until the run is over, or gives up.
func (w *world) finish(c *Collector) record.State {
	w.t.Helper()
	for range 300 {
		st, err := c.Pass(context.Background(), true)
		w.must(err)
		if st.Phase.Over() {
			return st
		}
		w.work()
		w.now = w.now.Add(2 * time.Minute)
	}
	w.t.Fatal("the run does not come to an end")
	return record.State{}
}

// rebuilt deletes the cache and lets a collector that knows nothing derive it again.
func (w *world) rebuilt() (before, after string) {
	w.t.Helper()
	read := func() string {
		data, err := os.ReadFile(w.dir.State())
		w.must(err)
		return string(data)
	}
	before = read()
	for _, f := range []string{"state.json", "result.txt", "result.json"} {
		w.must(os.Remove(filepath.Join(string(w.dir), f)))
	}
	_, err := w.collector().Pass(context.Background(), false)
	w.must(err)
	return before, read()
}

// answer is what an undisturbed search of the curve accepts, worked out without a directory.
func (c curve) answer(p record.Policy) *record.Observation {
	if c.fails != record.CauseNone {
		return nil
	}
	var obs []record.Observation
	for {
		d := search.Next(search.Question{Policy: p, Observed: obs})
		if d.Action != search.Try {
			return d.Best
		}
		o := c.observe(p, d.Load)
		o.Seq = len(obs) + 1
		obs = append(obs, o)
	}
}
