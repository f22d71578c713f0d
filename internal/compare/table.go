package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vtune/internal/record"
)

// table makes the rows.
type table struct {
	a, b record.State
	o    Options
	rows []Row
	rest []Row // that do not decide
	inB  map[string]record.CellState
}

func (t *table) build() {
	t.inB = byID(t.b)
	for _, m := range Metrics {
		if t.o.Metric != "" && t.o.Metric != m {
			continue
		}
		switch m {
		case Throughput:
			t.each(m, "throughput at inf", throughput)
		case Rate:
			t.each(m, "request rate shown", feasible)
		case Latency:
			t.latencies()
		}
	}
	// Where no winner was measured in both, what was decides: there is no other evidence.
	if !slices.ContainsFunc(t.rows, func(r Row) bool { return r.P != nil }) {
		for i := range t.rest {
			t.rest[i].Decides = t.rest[i].P != nil
		}
		slices.SortStableFunc(t.rest, func(a, b Row) int { return last(a.Decides) - last(b.Decides) })
	}
	t.rows = append(t.rows, t.rest...)
}

func last(decides bool) int {
	if decides {
		return 0
	}
	return 1
}

// winners reports whether a cell won in either run. Both ways round it is the same question.
func (t *table) winners(id string) bool {
	return t.a.Best != nil && t.a.Best.Cell.ID == id || t.b.Best != nil && t.b.Best.Cell.ID == id
}

// each is a metric of every cell, and of all cells together.
func (t *table) each(m Metric, what string, of func(record.CellState) *estimate) {
	var as, bs []estimate
	for _, c := range t.a.Cells {
		other, common := t.inB[c.ID]
		if !common {
			continue
		}
		a, b := of(c), of(other)
		if a != nil && b != nil {
			as, bs = append(as, *a), append(bs, *b)
		}
		// What a winner could be shown to hold is in its run's line; it cannot be tested alone.
		if decides := t.winners(c.ID) && m != Rate; decides || a != nil && b != nil {
			r := t.row(m, what, "req/s", a, b)
			r.Cell, r.Decides = c.ID, decides
			t.add(r)
		}
	}
	if len(as) >= fewestPairs {
		r := Row{Metric: m, What: what, Unit: "req/s", Cells: len(as), Decides: true, Outcome: Noise}
		r.tested(paired(as, bs, nodes(t.a), nodes(t.b), t.o.Alpha))
		t.add(r)
	}
}

// beyond is how far outside of the rates that both runs measured a run still says something about those in between.
var beyond = math.Log(1.1)

// latencies are those of every cell at a rate in the middle of what both runs measured: one that is chosen by the rates alone.
func (t *table) latencies() {
	for _, l := range t.a.Policy.SLOs() {
		what, _, _ := strings.Cut(l.String(), " <=")
		for _, c := range t.a.Cells {
			ra, rb := runsAt(c, l), runsAt(t.inB[c.ID], l)
			fromA, toA := span(ra)
			fromB, toB := span(rb)
			from, to := max(fromA, fromB), min(toA, toB)
			decides := t.winners(c.ID)
			var a, b *estimate
			at := (from + to) / 2
			if from <= to {
				if fa, fb := fit(ra, from-beyond, to+beyond), fit(rb, from-beyond, to+beyond); fa != nil && fb != nil {
					a, b = fa.latencyAt(at), fb.latencyAt(at)
				}
			}
			if a == nil && !(decides && len(ra) > 0 && len(rb) > 0) {
				continue
			}
			r := t.row(Latency, what, "ms", a, b)
			r.Cell, r.Decides = c.ID, decides
			if a != nil {
				r.At = math.Exp(at)
			}
			t.add(r)
		}
	}
}

func (t *table) add(r Row) {
	if r.Decides {
		t.rows = append(t.rows, r)
	} else {
		t.rest = append(t.rest, r)
	}
}

// row is one pair of estimates, either of which may be missing.
func (t *table) row(m Metric, what, unit string, a, b *estimate) Row {
	r := Row{Metric: m, What: what, Unit: unit, A: t.value(a), B: t.value(b), Outcome: Noise}
	switch {
	case a == nil || b == nil:
		r.Why = needed(m)
	case !a.tested() || !b.tested():
		change := math.Expm1(b.log - a.log)
		r.Change = &change
		r.Why = fmt.Sprintf("it has no interval; all cells together are tested where there are >= %d", fewestPairs)
	default:
		r.tested(welch(*a, *b, t.o.Alpha))
	}
	return r
}

// needed is what a test wants of either run.
func needed(m Metric) string {
	if m == Latency {
		return fmt.Sprintf("need >= %d runs of the cell's own server at rates that both runs have in common", fewestRuns)
	}
	return "need a run of all requests at once on the cell's own server"
}

func (r *Row) tested(t tested) { r.Change, r.Low, r.High, r.P = &t.change, &t.low, &t.high, &t.p }

func (t *table) value(e *estimate) *Value {
	if e == nil {
		return nil
	}
	v := &Value{Value: math.Exp(e.log), N: e.n}
	if e.tested() {
		half := math.Sqrt(e.variance) * quantile(1-t.o.Alpha/2, e.df)
		v.Low, v.High = math.Exp(e.log-half), math.Exp(e.log+half)
	}
	return v
}

// reasons are why what would decide was not tested.
func (t *table) reasons() []string {
	var all []string
	for _, r := range t.rows {
		if r.Decides && r.Why != "" {
			all = append(all, fmt.Sprintf("%s of %s: %s", r.What, r.whose(), r.Why))
		}
	}
	if len(all) == 0 {
		all = append(all, "no cell is common to both that won in either")
	}
	return all
}

func byID(st record.State) map[string]record.CellState {
	cells := map[string]record.CellState{}
	for _, c := range st.Cells {
		cells[c.ID] = c
	}
	return cells
}

// nodes are on how many a run measured.
func nodes(st record.State) int {
	seen := map[string]bool{}
	for _, c := range st.Cells {
		for _, a := range c.Attempts {
			if a.Node != "" && a.Observed > 0 {
				seen[a.Node] = true
			}
		}
	}
	return len(seen)
}
