package page

import (
	"fmt"
	"slices"
	"strings"

	"vtune/internal/record"
)

// lens is one latency that charts look at: a metric at a percentile, and the limit on it.
type lens struct {
	Metric  record.Metric
	Percent float64
	MS      float64 // limit; 0: none
	limit   int     // index of its standing; -1: none has its interval
}

func (l lens) Name() string {
	return fmt.Sprintf("P%g %s", l.Percent, strings.ToUpper(string(l.Metric)))
}

// lenses are the limits, in their order, and then the metrics that none is on. Under a goodput, which gives limits no percentile of their
// own, it is the 99th.
func lenses(p record.Policy) (all []lens) {
	for i, l := range p.SLOs() {
		if p.GoodputPct > 0 {
			all = append(all, lens{l.Metric, 99, l.MS, -1})
		} else {
			all = append(all, lens{l.Metric, l.Percentile, l.MS, i})
		}
	}
	for _, m := range []record.Metric{record.E2EL, record.TTFT, record.TPOT, record.ITL} {
		if !slices.ContainsFunc(all, func(l lens) bool { return l.Metric == m }) {
			all = append(all, lens{m, 99, 0, -1})
		}
	}
	return all
}

func latency(m record.Metrics, of record.Metric) record.Latency {
	switch of {
	case record.TTFT:
		return m.TTFT
	case record.TPOT:
		return m.TPOT
	case record.ITL:
		return m.ITL
	}
	return m.E2EL
}

// seen is what an observation says through a lens, in ms; 0: nothing. High percentile and interval are of the steady state, where a limit
// has them; the client's own numbers are of all requests, of which it knows three percentiles.
type seen struct{ P50, Value, Low, High float64 }

func (l lens) of(o record.Observation) seen {
	lat := latency(o.Metrics, l.Metric)
	s := seen{P50: lat.P50}
	switch l.Percent {
	case 50:
		s.Value = lat.P50
	case 90:
		s.Value = lat.P90
	case 99:
		s.Value = lat.P99
	}
	if l.limit >= 0 && l.limit < len(o.Standings) {
		if st := o.Standings[l.limit]; st.Metric == l.Metric && st.At.Value > 0 {
			s.Value, s.Low, s.High = st.At.Value, st.At.Low, st.At.High
		}
	}
	return s
}

// mark is an observation with where it stands.
type mark struct {
	Cell, Index int // in State.Cells, and among the cell's observations
	*record.Observation
	seen
}

// front are the marks that no other beats in throughput and latency, from slow to fast: what one can choose between. An observation on
// another cell's server, one of failures or one that repeats another is no choice. Where there are loads at a rate, one of all requests
// at once is none either: its latency says how many requests were sent.
func front(marks []mark) (best []mark) {
	var all []mark
	atRate := finite(marks)
	for _, m := range marks {
		if atRate && m.Load.Rate.IsInf() {
			continue
		}
		if m.Verdict != record.Invalid && !m.Emulated && !m.Alone && m.Value > 0 && m.Metrics.RequestThroughput > 0 {
			all = append(all, m)
		}
	}
	slices.SortStableFunc(all, func(a, b mark) int {
		if a.Metrics.RequestThroughput != b.Metrics.RequestThroughput {
			if a.Metrics.RequestThroughput > b.Metrics.RequestThroughput {
				return -1
			}
			return 1
		}
		if a.Value < b.Value {
			return -1
		} else if a.Value > b.Value {
			return 1
		}
		return 0
	})
	for _, m := range all {
		if len(best) == 0 || m.Value < best[len(best)-1].Value {
			best = append(best, m)
		}
	}
	slices.Reverse(best)
	return best
}

// finite reports whether a load had a rate.
func finite(marks []mark) bool {
	return slices.ContainsFunc(marks, func(m mark) bool { return !m.Load.Rate.IsInf() })
}

// verdicts, by the code that the page's data have.
var verdicts = []record.Verdict{record.Pass, record.Miss, record.Unsure, record.Invalid}

// purposes likewise.
var purposes = []record.Purpose{"", record.Bound, record.Explore, record.Confirm}

// remarks are what else one must know of an observation.
func remarks(o record.Observation) string {
	var words []string
	if o.Emulated {
		words = append(words, "emulated")
	}
	if o.Alone {
		words = append(words, "repeated alone")
	}
	if o.Neighbours > 0 {
		words = append(words, fmt.Sprintf("beside %d", o.Neighbours))
	}
	if slices.ContainsFunc(o.Standings, func(s record.Standing) bool { return s.Near }) {
		words = append(words, "near the limit")
	}
	return strings.Join(words, ", ")
}
