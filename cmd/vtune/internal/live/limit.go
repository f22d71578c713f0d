package live

import (
	"fmt"

	"vtune/internal/record"
)

// against is an observation beside the limit that it came closest to, or exceeded most.
type against struct {
	value, limit float64
	unit         string
}

func (a against) beyond() bool { return a.value > a.limit }

// compare sets an observation against the limits; not ok: it says nothing of them. A bound run is there for its throughput.
func compare(p record.Policy, o record.Observation) (worst against, ok bool) {
	if o.Verdict == record.Invalid || o.Load.Purpose == record.Bound {
		return against{}, false
	}
	take := func(a against) {
		if a.limit > 0 && (!ok || a.value/a.limit > worst.value/worst.limit) {
			worst, ok = a, true
		}
	}
	for _, s := range o.Standings {
		if s.Metric == record.Goodput {
			take(against{100 * s.Share.Value, 100 * s.Limit.Share(), "%"})
		}
	}
	if p.GoodputPct > 0 {
		return worst, ok
	}
	for i, l := range p.SLOs() {
		v := percentile(o.Metrics, l)
		if v == 0 && i < len(o.Standings) {
			v = o.Standings[i].At.Value // of another percentile than the load client tells
		}
		if v > 0 {
			take(against{v, l.MS, "ms"})
		}
	}
	return worst, ok
}

// percentile is the one that a limit is on, where the load client told it.
func percentile(m record.Metrics, l record.Limit) float64 {
	latency := map[record.Metric]record.Latency{record.TTFT: m.TTFT, record.TPOT: m.TPOT, record.ITL: m.ITL, record.E2EL: m.E2EL}[l.Metric]
	return map[float64]float64{50: latency.P50, 90: latency.P90, 99: latency.P99}[l.Percentile]
}

// spark is the last loads of a cell, a column each: how near to the limit they came, or, where there is none, how much they reached.
func (m *model) spark(obs []record.Observation, columns int) line {
	if n := len(obs); n > columns {
		obs = obs[n-columns:]
	}
	most := 0.0
	for _, o := range obs {
		most = max(most, o.Metrics.RequestThroughput)
	}
	limited := len(m.state.Policy.SLOs()) > 0
	var l line
	for _, o := range obs {
		a, ok := compare(m.state.Policy, o)
		if !limited && o.Verdict != record.Invalid {
			a, ok = against{o.Metrics.RequestThroughput, most, ""}, most > 0
		}
		switch {
		case ok && a.beyond():
			l = append(l, say(bad, m.glyphs.beyond))
		case ok:
			step := min(int(a.value/a.limit*float64(len(m.glyphs.bars))), len(m.glyphs.bars)-1)
			l = append(l, say(accent, m.glyphs.bars[max(step, 0)]))
		case o.Verdict == record.Invalid:
			l = append(l, say(bad, m.glyphs.invalid))
		}
	}
	return l
}

// verdict is the last load that says something of the limits, in numbers: "431 ≤ 500 ms".
func (m *model) verdict(obs []record.Observation) line {
	for i := len(obs) - 1; i >= 0; i-- {
		a, ok := compare(m.state.Policy, obs[i])
		if !ok {
			continue
		}
		sign, look := m.glyphs.atMost, plain
		if a.beyond() {
			sign, look = ">", bad
		}
		return line{say(look, fmt.Sprintf("%s %s %s %s", digits(a.value), sign, digits(a.limit), a.unit))}
	}
	return nil
}

// digits is a number in three digits or more.
func digits(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
