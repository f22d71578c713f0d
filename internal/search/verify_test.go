package search

import (
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

func claiming(p record.Policy, rate, seconds float64) record.Policy {
	p.Verify = record.Verification{Rate: rate, Seconds: seconds}
	return p
}

func TestAClaimIsBoundedAndThenMeasuredOnce(t *testing.T) {
	m := monotone{capacity: 20, unloaded: 100, margin: 0.9} // holds 16 req/s within 500 ms
	for _, test := range []struct {
		rate float64
		ends Action
	}{{12.34567, Accept}, {15.9, Accept}, {16.1, GiveUp}, {40, GiveUp}} {
		p := claiming(tuned(500), test.rate, 600)
		var known []record.Observation
		for len(known) < 2 {
			d := Next(Question{Policy: p, Observed: known})
			want := record.Load{Rate: record.Inf, Purpose: record.Bound, Requests: 3000}
			if len(known) == 1 {
				want = record.Load{Rate: record.Rate(test.rate), Purpose: record.Verify, Requests: d.Load.Requests, Capacity: 19.6}
				if n := float64(d.Load.Requests); n < 600*test.rate || n > 600*test.rate+1 {
					t.Errorf("%g requests for 10 min at %g req/s", n, test.rate)
				}
			}
			if d.Action != Try || d.Load != want {
				t.Fatalf("after %d loads: %+v, want %+v", len(known), d, want)
			}
			o := m.observe(p, d.Load, len(known)+1)
			o.Detail = "as it was"
			known = append(known, o)
		}
		d := Next(Question{Policy: p, Observed: known})
		if d.Action != test.ends || d.Action == Accept && float64(d.Best.Load.Rate) != test.rate || d.Action == GiveUp && (d.Reason != "as it was" || d.Cause != record.CauseNone) {
			t.Errorf("%g req/s: %+v", test.rate, d)
		}
	}
}

func TestAClaimWithoutALimitIsOfTheThroughput(t *testing.T) {
	p := claiming(tuned(500), 8, 100)
	p.Limits = nil
	d := Next(Question{Policy: p})
	if want := (record.Load{Rate: record.Inf, Purpose: record.Verify, Requests: 800}); d.Action != Try || d.Load != want {
		t.Fatalf("%+v", d)
	}
	o := monotone{capacity: 7}.observe(p, d.Load, 1)
	for verdict, ends := range map[record.Verdict]Action{record.Pass: Accept, record.Miss: GiveUp, record.Unsure: GiveUp, record.Invalid: Try} {
		o.Verdict = verdict
		if d := Next(Question{Policy: p, Observed: []record.Observation{o}}); d.Action != ends {
			t.Errorf("%s: %+v", verdict, d)
		}
	}
}

// Whatever else is known of the cell, in whatever order: the first valid long run is the answer, and there is no second one.
func TestOnlyTheClaimsOwnRunDecides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := claiming(tuned(500), 10, 60)
		var known []record.Observation
		var first *record.Observation
		spoilt := map[record.Rate]int{}
		for seq := range rapid.IntRange(0, 8).Draw(t, "runs") {
			l := record.Load{Rate: 10, Purpose: rapid.SampledFrom([]record.Purpose{record.Verify, record.Bound, record.Explore, record.Confirm}).Draw(t, "purpose")}
			if l.Purpose == record.Bound {
				l.Rate = record.Inf
			}
			o := monotone{capacity: 20, unloaded: 100, margin: 1}.observe(p, l, seq+1)
			o.Verdict = rapid.SampledFrom([]record.Verdict{record.Pass, record.Miss, record.Unsure, record.Invalid}).Draw(t, "verdict")
			if o.Verdict == record.Invalid {
				spoilt[l.Rate]++
			}
			if known = append(known, o); first == nil && l.Purpose == record.Verify && o.Verdict != record.Invalid {
				first = &o
			}
		}
		d := Next(Question{Policy: p, Observed: rapid.Permutation(known).Draw(t, "order")})
		switch {
		case first == nil && d.Action == GiveUp && d.Cause != record.CauseNone: // no valid run in two tries
			if spoilt[10] < triesPerLoad && spoilt[record.Inf] < triesPerLoad {
				t.Fatalf("%+v of %v", d, spoilt)
			}
		case first == nil && d.Action == Try, first != nil && first.Verdict == record.Pass && d.Action == Accept && d.Best.Seq == first.Seq:
		case first != nil && first.Verdict != record.Pass && d.Action == GiveUp:
		default:
			t.Fatalf("%+v, the first was %+v", d, first)
		}
	})
}
