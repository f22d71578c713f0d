package collect

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
)

// newTuned is a world of method vtune, in which a cell meets the limit up to a rate of its own. Its probe carries the first job.
func newTuned(t testing.TB, shape record.Shape, seqs, tokens []int) *world {
	t.Helper()
	w := newWorld(t, seqs, tokens, 0)
	w.plan.Policy = record.Policy{
		Method: search.Vtune, Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: 1000}}, Tolerance: 0.02, RateRequests: 100,
		Test:  record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxSeconds: 3600},
		Prune: record.PruneBound, Emulate: record.EmulateAuto,
	}
	w.plan.Shape, w.plan.Profile = shape, record.ProfileConfirm
	probe := w.plan.Units[0]
	w.plan.Units = nil
	var work []record.Job
	for _, col := range search.Columns(w.plan.Cells) {
		cells := append([]record.Cell{col.Cell}, col.Emulates...)
		for i, c := range cells {
			j := record.Job{ID: c.ID + "-1", Kind: record.KindCell, Cell: c.ID, Attempt: 1, Needs: []record.Edge{{Job: "probe-1", When: record.AfterOK}}}
			if shape == record.ShapeColumns {
				for _, e := range cells[1:] {
					j.Emulates = append(j.Emulates, e.ID)
				}
			}
			if i == 0 || shape == record.ShapeCells {
				work = append(work, j)
			}
		}
	}
	work[0].Needs, probe.Riders = nil, work[:1]
	w.plan.Units = append(w.plan.Units, probe)
	if len(work) > 1 {
		w.plan.Units = append(w.plan.Units, record.Unit{ID: string(shape), Jobs: work[1:]})
	}
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	return w
}

// cellOf is the plan's cell of that name.
func (w *world) cellOf(id string) record.Cell {
	i := slices.IndexFunc(w.plan.Cells, func(c record.Cell) bool { return c.ID == id })
	return w.plan.Cells[i]
}

// tune is the agent's loop of method vtune against known curves.
func (w *world) tune(j record.Job, dir record.AttemptDir, m mishap, res *record.Result) {
	type member struct {
		cell     string
		emulated bool
	}
	known := map[member][]record.Observation{}
	for _, o := range w.follow[j.ID].Known {
		known[member{o.Cell, o.Emulated}] = append(known[member{o.Cell, o.Emulated}], o)
	}
	explore := len(j.Emulates) > 0
	var native search.Decision
	for i, cell := range append([]string{j.Cell}, j.Emulates...) {
		is := member{cell, i > 0}
		var transferred []record.Observation
		if is.emulated {
			transferred = search.Transfer(known[member{j.Cell, false}], w.cellOf(cell).MaxNumSeqs)
		}
		for {
			d := search.Next(search.Question{
				Policy: w.plan.Policy, Observed: slices.Concat(transferred, known[is]), Best: w.told(cell, explore), Hint: w.follow[j.ID].Hint,
				Emulated: is.emulated, Explore: explore,
			})
			if d.Action != search.Try {
				if !is.emulated {
					native = d
				}
				w.tell(j.ID, cell, d)
				break
			}
			if m.cause != record.CauseNone && res.Observations >= m.after {
				res.Outcome, res.Cause = record.OutcomeContinue, m.cause
				return
			}
			c := w.truth[cell].at(w.factor(j))
			if wrong, is := w.emulation[cell]; is && i > 0 {
				c = wrong.at(w.factor(j))
			}
			if c.fails != record.CauseNone {
				res.Outcome, res.Cause, res.Message = record.OutcomeFailed, c.fails, "the engine says so"
				return
			}
			if is.emulated {
				d.Load.LetIn = w.cellOf(cell).MaxNumSeqs
			}
			res.Observations++
			o := c.judged(w.plan.Policy, d.Load)
			o.Cell, o.Attempt, o.Seq, o.Emulated, o.Complete = cell, j.Attempt, res.Observations, is.emulated, true
			known[is] = append(known[is], o)
			w.must(fsx.PublishJSON(dir.Observation(o.Seq), o))
		}
	}
	res.Message = native.Reason
	if native.Action == search.Accept && w.traces {
		trace := filepath.Join(dir.Trace(), j.ID+".pt.trace.json.gz")
		w.must(os.MkdirAll(dir.Trace(), 0o755))
		w.must(os.WriteFile(trace, []byte("trace"), 0o644))
		res.Profile = []string{w.nodes.Rel(trace)}
	}
}

func (w *world) told(cell string, explore bool) float64 {
	best := 0.0
	if w.plan.Policy.Prune == record.PruneNone {
		return 0
	}
	for _, f := range w.best {
		if f.Cell != cell && (f.Confirmed || explore) {
			best = max(best, f.Rate, f.Likely)
		}
	}
	return best
}

func (w *world) tell(job, cell string, d search.Decision) {
	switch d.Action {
	case search.Accept:
		w.best = append(w.best, record.Feasible{Cell: cell, Rate: search.Objective(*d.Best), Likely: search.Rival(*d.Best), Confirmed: true})
	case search.Own:
		w.best = append(w.best, record.Feasible{Cell: cell, Rate: d.Hint})
	}
}

// judged is what a run at a load shows of a curve: latency rises steeply to the limit, which the rate "meets" still is within.
func (c curve) judged(p record.Policy, l record.Load) record.Observation {
	top := record.Interval{Value: c.throughput, Low: c.throughput * 0.99, High: c.throughput * 1.01}
	o := record.Observation{Load: l, Verdict: record.Pass, Steady: &record.Steady{Throughput: top, Peak: 1000}}
	o.Metrics = record.Metrics{Completed: l.Requests, Seconds: 1, RequestThroughput: math.Min(c.throughput, float64(l.Rate)), TotalOutputTokens: 1}
	o.Metrics.E2EL.P50, o.Metrics.E2EL.P99 = 100, 500
	if l.Rate.IsInf() {
		return o
	}
	ratio := float64(l.Rate) / float64(c.meets)
	st := record.Standing{Limit: p.Limits[0], Verdict: record.Pass, At: record.Interval{Value: p.Limits[0].MS * min(ratio*ratio, 3)}}
	st.At.Low, st.At.High = st.At.Value*0.99, st.At.Value*1.01
	if ratio > 1 {
		st.Verdict = record.Miss
	}
	o.Verdict, o.Standings, o.Metrics.E2EL.P99 = st.Verdict, []record.Standing{st}, st.At.Value
	return o
}
