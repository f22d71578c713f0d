package search

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

// monotone is a server whose latency rises with the rate as one over what is left of its capacity.
type monotone struct {
	capacity, unloaded float64 // requests/s, ms
	margin             float64 // a confirming run shows a rate only where the latency is below so much of the limit
}

func (m monotone) latency(rate float64) float64 {
	if rate >= m.capacity {
		return 1e12
	}
	return m.unloaded / (1 - rate/m.capacity)
}

// boundary is the highest rate within the limit.
func (m monotone) boundary(limit float64) float64 { return m.capacity * (1 - m.unloaded/limit) }

func (m monotone) observe(p record.Policy, l record.Load, seq int) record.Observation {
	o := record.Observation{Attempt: 1, Seq: seq, Load: l, Complete: true, Steady: &record.Steady{Throughput: record.Interval{Value: float64(l.Rate)}}}
	if l.Rate.IsInf() {
		o.Verdict = record.Pass
		o.Steady.Throughput = record.Interval{Value: m.capacity, Low: 0.98 * m.capacity, High: 1.02 * m.capacity}
		o.Metrics = record.Metrics{RequestThroughput: m.capacity, E2EL: record.Latency{P50: 100 * m.unloaded}, TTFT: record.Latency{P50: 99 * m.unloaded}}
		return o
	}
	v := m.latency(float64(l.Rate))
	limit := p.Limits[0]
	o.Metrics = record.Metrics{RequestThroughput: float64(l.Rate), E2EL: record.Latency{P50: v / 2, P99: v}}
	s := record.Standing{Limit: limit, At: record.Interval{Value: v, Low: v, High: v}, Independent: 100}
	switch {
	case v > limit.MS:
		o.Verdict, s.Share = record.Miss, record.Interval{Value: min(1, v/limit.MS-0.9)}
	case l.Purpose == record.Confirm && v > m.margin*limit.MS:
		o.Verdict = record.Unsure
	default:
		o.Verdict = record.Pass
	}
	s.Verdict = o.Verdict
	o.Standings = []record.Standing{s}
	return o
}

func tuned(limit float64) record.Policy {
	return record.Policy{
		Method: Vtune, Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: limit}}, Tolerance: 0.02,
		Test: record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxSeconds: 600},
	}
}

// searched plays a search to its end.
func searched(t *rapid.T, q Question, m monotone) (Decision, []record.Observation) {
	for seq := 1; ; seq++ {
		d := Next(q)
		if d.Action != Try {
			return d, q.Observed
		}
		if seq > 60 {
			t.Fatalf("no end after %d runs", seq)
		}
		o := m.observe(q.Policy, d.Load, seq)
		o.Emulated = q.Emulated
		q.Observed = append(q.Observed, o)
	}
}

func drawWorld(t *rapid.T) (monotone, float64) {
	m := monotone{
		capacity: math.Exp(rapid.Float64Range(math.Log(0.05), math.Log(500)).Draw(t, "log capacity")),
		margin:   rapid.Float64Range(0.5, 1).Draw(t, "margin"),
	}
	// So many requests at once make up the capacity.
	m.unloaded = 1000 / m.capacity * math.Exp(rapid.Float64Range(0, math.Log(200)).Draw(t, "log batch"))
	return m, m.unloaded / m.margin * rapid.Float64Range(1.3, 50).Draw(t, "limit over latency")
}

// Rates below 1/s are ordinary, what is found holds, and it is near the highest that does.
func TestAMonotoneWorldIsSolvedToTolerance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, limit := drawWorld(t)
		d, made := searched(t, Question{Policy: tuned(limit)}, m)
		if d.Action != Accept {
			t.Fatalf("%s: %s", d.Action, d.Reason)
		}
		truth, found := m.boundary(limit), float64(d.Best.Load.Rate)
		if found > truth*1.0001 {
			t.Fatalf("%v is accepted, %v is the highest that holds", found, truth)
		}
		if likely := d.Best.Load.Likely; likely < truth/(1+4*tuned(limit).Tolerance) {
			t.Fatalf("%v is called likely, %v holds", likely, truth)
		}
		rates := map[record.Load]int{}
		for _, o := range made {
			l := record.Load{Rate: o.Load.Rate, Purpose: o.Load.Purpose}
			if rates[l]++; rates[l] > 1 {
				t.Fatalf("%s is run a second time", o.Load)
			}
		}
	})
}

func TestASearchIsResumedFromObservationsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, limit := drawWorld(t)
		q := Question{Policy: tuned(limit)}
		_, made := searched(t, q, m)
		q.Observed = made[:rapid.IntRange(0, len(made)).Draw(t, "so far")]
		want := Next(q)
		q.Observed = append(rapid.Permutation(q.Observed).Draw(t, "order"), q.Observed...)
		if got := Next(q); got.Action != want.Action || got.Load != want.Load || got.Reason != want.Reason {
			t.Fatalf("%+v, in another order %+v", want, got)
		}
	})
}

// What cannot win is left, and what can is not: the best of others is never beaten by a cell that was left.
func TestACellIsLeftOnlyIfItCannotWin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, limit := drawWorld(t)
		truth := m.boundary(limit)
		q := Question{
			Policy: tuned(limit), Best: truth * rapid.Float64Range(0.3, 3).Draw(t, "best of others over the truth"),
			Emulated: rapid.Bool().Draw(t, "emulated"), Explore: rapid.Bool().Draw(t, "explore"),
		}
		d, made := searched(t, q, m)
		beat := q.Best * (1 + q.Policy.Tolerance)
		switch {
		case d.Action == Leave && beat*1.01 < truth && q.Best*(1+5*q.Policy.Tolerance) < truth:
			t.Fatalf("left, although it holds %v and the best only %v: %s", truth, q.Best, d.Reason)
		case d.Action == Accept && (q.Emulated || q.Explore):
			t.Fatalf("accepted on a server that answers for others")
		case d.Action != Leave && beat > truth*1.05:
			t.Fatalf("%s after %d runs, although it holds %v at most and the best %v", d.Action, len(made), truth, q.Best)
		case d.Action == Leave && beat > 1.1*truth && len(made) > 2:
			t.Fatalf("it took %d runs to leave", len(made))
		}
	})
}

// An infeasible limit is given up soon, as an answer.
func TestALimitBelowTheLatencyOfOneRequestIsGivenUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, _ := drawWorld(t)
		d, made := searched(t, Question{Policy: tuned(m.unloaded * rapid.Float64Range(0.05, 0.9).Draw(t, "limit over latency"))}, m)
		if d.Action != GiveUp || d.Cause != record.CauseNone {
			t.Fatalf("%s, %s after %d runs", d.Action, d.Cause, len(made))
		}
	})
}

func TestWithoutALimitTheThroughputIsTheAnswer(t *testing.T) {
	m := monotone{capacity: 20, unloaded: 100, margin: 1}
	p := tuned(1)
	p.Limits = nil
	first := Next(Question{Policy: p})
	if first.Action != Try || first.Load.Purpose != record.Bound || !first.Load.Rate.IsInf() {
		t.Fatalf("%+v", first)
	}
	o := m.observe(tuned(1), first.Load, 1)
	for _, test := range []struct {
		q    Question
		want Action
	}{
		{Question{Policy: p, Observed: []record.Observation{o}}, Accept},
		{Question{Policy: p, Observed: []record.Observation{o}, Best: 21}, Leave},
		{Question{Policy: p, Observed: []record.Observation{o}, Best: 19}, Accept},
	} {
		if d := Next(test.q); d.Action != test.want {
			t.Errorf("best of others %v: %+v", test.q.Best, d)
		}
	}
}

// A run that ended without a verdict is not made again.
func TestAnUnsureExploringRunIsNoReasonToRepeatIt(t *testing.T) {
	m := monotone{capacity: 20, unloaded: 100, margin: 1}
	q := Question{Policy: tuned(500)}
	for seq := 1; ; seq++ {
		d := Next(q)
		if d.Action != Try {
			if d.Action != GiveUp || d.Cause != record.CauseNone {
				t.Errorf("%+v", d)
			}
			return
		}
		o := m.observe(q.Policy, d.Load, seq)
		if !d.Load.Rate.IsInf() {
			o.Verdict = record.Unsure
		}
		if q.Observed = append(q.Observed, o); seq > 5 {
			t.Fatal("no end")
		}
	}
}

// A load that is invalid twice ends the search with its cause; once may be chance.
func TestASpoiltLoadIsRepeatedOnce(t *testing.T) {
	q := Question{Policy: tuned(500)}
	d := Next(q)
	bad := record.Observation{Attempt: 1, Seq: 1, Load: d.Load, Verdict: record.Invalid, Cause: record.CauseRequests, Detail: "3 of 100 requests failed", Complete: true}
	q.Observed = append(q.Observed, bad)
	if again := Next(q); again.Action != Try || again.Load != d.Load {
		t.Fatalf("%+v", again)
	}
	bad.Seq = 2
	q.Observed = append(q.Observed, bad)
	if end := Next(q); end.Action != GiveUp || end.Cause != record.CauseRequests {
		t.Fatalf("%+v", end)
	}
}

// A column's own cell answers for one that lets in fewer, as long as never more were in the server.
func TestObservationsAreTransferredWhereTheQueueNeverActed(t *testing.T) {
	native := []record.Observation{
		{Seq: 1, Load: record.Load{Rate: 5, Purpose: record.Explore}, Steady: &record.Steady{Peak: 16}},
		{Seq: 2, Load: record.Load{Rate: 9, Purpose: record.Explore}, Steady: &record.Steady{Peak: 40}},
		{Seq: 3, Load: record.Load{Rate: record.Inf, Purpose: record.Bound}, Steady: &record.Steady{Peak: 10}},
	}
	if got := Transfer(native, 16); len(got) != 1 || got[0].Load.Rate != 5 || !got[0].Emulated {
		t.Errorf("%+v", got)
	}
}

// The most promising goes first; a cell whose own server contradicts its emulation ends the belief in the others.
func TestNeedsOwn(t *testing.T) {
	m := monotone{capacity: 20, unloaded: 100, margin: 0.9}
	p := tuned(500)
	explored := func(id string, capacity float64, emulated bool, best float64) record.CellState {
		m := m
		m.capacity = capacity
		var state record.CellState
		rapid.Check(t, func(t *rapid.T) {
			_, made := searched(t, Question{Policy: p, Best: best, Emulated: emulated, Explore: true}, m)
			state = record.CellState{Cell: record.Cell{ID: id}, Observations: made, Emulated: emulated}
		})
		return state
	}
	cells := []record.CellState{explored("a", 20, false, 0), explored("b", 30, true, 16), explored("c", 25, true, 16)}
	cell, hint, holds, _ := NeedsOwn(p, cells)
	if cell != "b" || hint < 20 || hint > 24 || !holds {
		t.Fatalf("%s at %v, %v", cell, hint, holds)
	}
	rapid.Check(t, func(t *rapid.T) { // b's own server is much slower than its emulation
		slow := m
		slow.capacity = 18
		own, made := searched(t, Question{Policy: p, Hint: hint}, slow)
		cells[1].Observations = append(cells[1].Observations, made...)
		cells[1].Emulated = false
		cells[1].Accepted = own.Best
	})
	if cell, _, holds, warning := NeedsOwn(p, cells); holds || warning == "" || cell != "c" {
		t.Errorf("%s, %v %q", cell, holds, warning)
	}
}
