package compare

import (
	"fmt"
	"math"
	"strings"

	"vtune/internal/record"
)

// table makes the rows.
type table struct {
	a, b record.State
	o    Options
	rows []Row
	rest []Row // that do not decide
}

func (t *table) build() {
	for _, m := range Metrics {
		if t.o.Metric != "" && t.o.Metric != m {
			continue
		}
		switch m {
		case Throughput:
			t.each(m, "throughput at inf", throughput, throughput)
		case Rate:
			if len(t.a.Policy.SLOs()) > 0 && len(t.b.Policy.SLOs()) > 0 {
				t.each(m, "request rate at the limit",
					func(c record.CellState) *estimate { return feasible(c, t.a.Policy) },
					func(c record.CellState) *estimate { return feasible(c, t.b.Policy) })
			}
		case Latency:
			t.latencies()
		}
	}
	t.rows = append(t.rows, t.rest...)
}

// winners reports whether a cell won in either run. Both ways round it is the same question.
func (t *table) winners(id string) bool {
	return t.a.Best != nil && t.a.Best.Cell.ID == id || t.b.Best != nil && t.b.Best.Cell.ID == id
}

// each is a metric of every cell, of the winners against each other, and of all cells together.
func (t *table) each(m Metric, what string, ofA, ofB func(record.CellState) *estimate) {
	var as, bs []estimate
	inB := byID(t.b)
	for _, c := range t.a.Cells {
		other, common := inB[c.ID]
		if !common {
			continue
		}
		a, b := ofA(c), ofB(other)
		if a != nil && b != nil {
			as, bs = append(as, *a), append(bs, *b)
		}
		if won := t.winners(c.ID); won || a != nil && b != nil {
			r := t.row(m, what, "req/s", a, b)
			r.Cell, r.Decides = c.ID, won
			t.add(r)
		}
	}
	if t.a.Best != nil && t.b.Best != nil && t.a.Best.Cell.ID != t.b.Best.Cell.ID && t.answers(m) {
		r := t.row(m, what, "req/s", ofA(byID(t.a)[t.a.Best.Cell.ID]), ofB(inB[t.b.Best.Cell.ID]))
		r.Cell, r.CellB, r.Decides = t.a.Best.Cell.ID, t.b.Best.Cell.ID, true
		t.add(r)
	}
	if len(as) >= fewestPairs {
		r := Row{Metric: m, What: what, Unit: "req/s", Cells: len(as), Decides: true, Outcome: Noise}
		r.tested(paired(as, bs, nodes(t.a), nodes(t.b), t.o.Alpha))
		t.add(r)
	}
}

// answers reports whether a metric is what cells are chosen by.
func (t *table) answers(m Metric) bool { return (m == Rate) == (len(t.a.Policy.SLOs()) > 0) }

// latencies are those of every cell at a rate in the middle of what both runs measured: one that is chosen by the rates alone.
func (t *table) latencies() {
	inB := byID(t.b)
	for _, l := range t.a.Policy.SLOs() {
		for _, c := range t.a.Cells {
			other, common := inB[c.ID]
			if !common {
				continue
			}
			a, b := fit(c, l), fit(other, l)
			if a == nil || b == nil {
				continue // the rate at the limit says why
			}
			from, to := max(a.from, b.from), min(a.to, b.to)
			if from > to {
				continue
			}
			at := (from + to) / 2
			what := strings.TrimSuffix(strings.SplitN(l.String(), " <=", 2)[0], " ")
			r := t.row(Latency, what, "ms", a.latencyAt(at), b.latencyAt(at))
			r.Cell, r.Decides, r.At = c.ID, t.winners(c.ID), math.Exp(at)
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
	switch missing := map[bool]string{true: "A", false: "B"}[a == nil]; {
	case a == nil && b == nil:
		r.Why = "neither run measured it: " + needed(m)
	case a == nil || b == nil:
		r.Why = missing + " has not measured it: " + needed(m)
	case !a.tested() || !b.tested():
		change := math.Expm1(b.log - a.log)
		r.Change = &change
		r.Why = fmt.Sprintf("it has no interval; all cells together are tested where there are >= %d", fewestPairs)
	default:
		r.tested(welch(*a, *b, t.o.Alpha))
	}
	return r
}

// needed is what a test wants.
func needed(m Metric) string {
	if m == Throughput {
		return "need a run of all requests at once"
	}
	return fmt.Sprintf("need >= %d runs of its own server at different rates about the limit", fewestRuns)
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
