package agent

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"

	"vtune/internal/client"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/serving"
	"vtune/internal/vllm"
	"vtune/internal/vocab"
)

// What follows when a server runs out of memory under load: the next one starts with less, a few times.
const (
	lowerBy     = 0.02
	lowestUnder = 0.80
	lowerings   = 5
)

// tuning is a job of method vtune under way: the search of its own cell, then by emulation those of the cells that its server
// answers for.
type tuning struct {
	w       *work
	client  client.Sequential
	serve   vllm.Serve
	srv     *serving.Server // nil: none is up yet
	known   map[member][]record.Observation
	found   map[string]record.Feasible // by cell: what searches of this job ended with
	lowered int
	notes   []string // for the result's message
}

// member is a cell that a job answers for: the server's own, or an emulated one.
type member struct {
	cell     string
	emulated bool
}

// tune is the whole of such a job. What earlier attempts observed counts, and no server is started when nothing is left to ask.
func (w *work) tune(ctx context.Context) error {
	if w.a.Client != clientVtune {
		return &ending{record.OutcomeFailed, record.CauseFlags, "method vtune measures with the client vtune: another one keeps no times of single requests"}
	}
	t := &tuning{w: w, known: map[member][]record.Observation{}, found: map[string]record.Feasible{}, srv: w.warm}
	for _, o := range w.a.Known {
		t.add(o)
	}
	native, err := t.all(ctx)
	if err == nil {
		err = verdict(native)
		t.traceWinner(ctx, native)
		t.alone(ctx)
	}
	t.release(ctx)
	return t.annotated(err)
}

// all searches the job's own cell and then the emulated ones, and returns how the first one ended. One emulation that comes to
// nothing is no reason to end the others: its cell gets a server of its own.
func (t *tuning) all(ctx context.Context) (search.Decision, error) {
	native, err := t.search(ctx, t.w.a.Cell, false)
	if err != nil || native.Action == search.GiveUp && native.Cause != record.CauseNone {
		return native, err
	}
	for _, c := range t.w.a.Emulates {
		d, err := t.search(ctx, c, true)
		if err != nil {
			return native, err
		}
		t.w.say("%s, emulated: %s: %s", c.ID, d.Action, d.Reason)
	}
	return native, nil
}

// explores: a server that answers for a column finds out what is likely of each cell. Those that could win are confirmed on servers
// of their own, when all columns are known.
func (t *tuning) explores() bool { return len(t.w.a.Emulates) > 0 }

// search goes on with one cell's search until it is over.
func (t *tuning) search(ctx context.Context, c record.Cell, emulated bool) (search.Decision, error) {
	m := member{c.ID, emulated}
	q := search.Question{Policy: t.w.a.Policy, Emulated: emulated, Explore: t.explores()}
	var native []record.Observation
	if emulated {
		native = search.Transfer(t.known[member{t.w.a.Cell.ID, false}], c.MaxNumSeqs)
	} else {
		q.Hint = t.w.a.Hint
	}
	for {
		q.Observed, q.Best = slices.Concat(native, t.known[m]), t.best(c.ID)
		d := search.Next(q)
		if d.Action != search.Try {
			t.tell(c.ID, d)
			return d, nil
		}
		if emulated {
			d.Load.LetIn = c.MaxNumSeqs
		}
		o, err := t.run(ctx, m, d.Load)
		if f := serving.AsFailure(err); f != nil && f.Cause == record.CauseOOM && t.srv != nil && ctx.Err() == nil {
			if err := t.lower(ctx, f); err != nil {
				return d, err
			}
			continue
		}
		if err != nil {
			return d, err
		}
		t.add(o)
	}
}

// add leaves out what a server said that ran out of memory: it is the server's word on its memory and not on the load, and the
// load is put on another one.
func (t *tuning) add(o record.Observation) {
	if o.Verdict == record.Invalid && o.Cause == record.CauseOOM {
		return
	}
	m := member{o.Cell, o.Emulated}
	t.known[m] = append(t.known[m], o)
}

// run makes one observation on a server that is empty.
func (t *tuning) run(ctx context.Context, m member, l record.Load) (record.Observation, error) {
	if err := t.ready(ctx); err != nil {
		return record.Observation{}, err
	}
	if err := t.w.settle(ctx, t.srv, record.SpendDraining); err != nil {
		return record.Observation{}, err
	}
	o := record.Observation{Cell: m.cell, Emulated: m.emulated, Load: l, Seed: t.seed(m)}
	return t.w.observe(ctx, t.srv, t.client, o, t.w.c.Load)
}

// seed is a run's own: with one seed for all of them a lucky draw would be lucky in every run of every cell. NumPy and the record
// of other clients know seeds of 32 bits.
func (t *tuning) seed(m member) int64 {
	h := fnv.New32a()
	fmt.Fprintf(h, "%d/%s/%t/%d/%d", t.w.a.Seed, m.cell, m.emulated, t.w.a.Attempt, t.w.result.Observations+1)
	return int64(h.Sum32())
}

// ready has a server up that has answered once. Afterwards t.srv is nil only if none could be started.
func (t *tuning) ready(ctx context.Context) error {
	if t.client.IDs != nil && t.srv != nil {
		return nil
	}
	if t.client.IDs == nil {
		if err := t.prepare(); err != nil {
			return err
		}
	}
	if t.srv != nil && !t.srv.Is(t.serve) {
		t.w.stop(ctx, t.srv)
		t.srv = nil
	}
	if t.srv == nil {
		srv, err := t.w.start(ctx, t.serve, t.w.dir.ServerLog())
		if err != nil {
			return err
		}
		t.srv = srv
	}
	t.w.result.ServerVersion = t.srv.Version
	back := t.w.spending(record.SpendClient)
	err := t.client.WarmUp(ctx, client.Target{Server: t.srv, Load: record.Load{Rate: record.Inf, Requests: 1}, Seed: t.w.a.Seed})
	back()
	if err == nil {
		return t.check(ctx)
	}
	if why := t.srv.Diagnose(ctx, nil); why != nil {
		return why
	}
	return &ending{record.OutcomeFailed, record.CauseRequests, fmt.Sprintf("the first request failed: %v", err)}
}

// prepare finds out what every server of the attempt needs, before one is started.
func (t *tuning) prepare() error {
	w := t.w
	utilization, version, err := w.utilization()
	if err != nil {
		return err
	}
	ids, err := w.vocabulary()
	if err != nil {
		return err
	}
	t.client = client.Sequential{Setting: w.setting(), IDs: ids}
	t.serve = vllm.Serve{Server: w.a.Server, Cell: w.a.Cell, Utilization: utilization}
	w.result.Utilization = utilization
	if w.a.TraceWinner && (t.srv == nil || !t.srv.Is(t.serve)) {
		if t.serve.Profiler, err = w.profiler(version, w.a.ProfileIterations); err != nil {
			return err
		}
	}
	return nil
}

// vocabulary is what prompts are made of. It is asked for before a server is started, which may take minutes.
func (w *work) vocabulary() ([]int, error) {
	if n := w.a.Workload.VocabSize; n > 0 {
		return vocab.FromSize(n).IDs, nil
	}
	env := slices.Clone(w.c.Env)
	for name, value := range w.a.Server.Environment {
		env = append(env, name+"="+value)
	}
	v, err := vocab.Find(w.a.Server.Model, w.a.Server.DownloadDir, env)
	if err != nil {
		return nil, &ending{record.OutcomeFailed, record.CauseFlags, err.Error()}
	}
	return v.IDs, nil
}

// lower gives up a server that ran out of memory under load. What was observed before stands: a cache that is a little smaller is
// not what decided it.
func (t *tuning) lower(ctx context.Context, f *vllm.Failure) error {
	before := t.serve.Utilization
	lower := math.Round(100*(before-lowerBy)) / 100
	t.w.stop(ctx, t.srv)
	t.srv = nil
	if t.lowered++; t.lowered > lowerings || lower < lowestUnder || t.w.a.Policy.Verifies() { // another server than the claim's
		return f
	}
	t.serve.Utilization, t.w.result.Utilization = lower, lower
	t.notes = append(t.notes, fmt.Sprintf("out of memory under load at gpu-memory-utilization %.2f, so measured at %.2f", before, lower))
	t.w.say("%s: %s", t.notes[len(t.notes)-1], f.Message)
	return nil
}

// release stops the server, or leaves it up for the next rider.
func (t *tuning) release(ctx context.Context) {
	t.w.warm = nil
	switch {
	case t.srv == nil:
	case t.w.leave && t.srv.Good() && ctx.Err() == nil:
		t.w.warm = t.srv
	default:
		t.w.stop(ctx, t.srv)
	}
}

// annotated puts what a reader of the result should know beside how it ended.
func (t *tuning) annotated(err error) error {
	if len(t.notes) == 0 {
		return err
	}
	end := &ending{outcome: record.OutcomeDone}
	if f := serving.AsFailure(err); f != nil {
		end = &ending{record.OutcomeFailed, f.Cause, f.Message}
	} else if err != nil && !errors.As(err, &end) {
		return err
	}
	text := append(slices.DeleteFunc([]string{end.message}, blank), t.notes...)
	return &ending{end.outcome, end.cause, strings.Join(text, "; ")}
}
