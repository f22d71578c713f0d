package verdict

import (
	"math/rand/v2"
	"testing"

	"vtune/internal/record"
)

// steadily answers requests that need 100 to 200 ms, of which the first token takes a half, in 10 gaps of which some are long.
func steadily(n int, rate, longGaps float64) []Request {
	rng := rand.New(rand.NewPCG(3, 4))
	rs := arrivals(rng, n, rate)
	for i := range rs {
		ms := 100 + 100*rng.Float64()
		rs[i].TTFT, rs[i].TPOT = ms/2, ms/20
		answer(&rs[i], ms/1000)
		for range 10 {
			gap := ms / 20
			if rng.Float64() < longGaps {
				gap = 1000
			}
			rs[i].Gaps = append(rs[i].Gaps, float32(gap))
		}
	}
	return rs
}

func limit(m record.Metric, p, ms float64) record.Limit {
	return record.Limit{Metric: m, Percentile: p, MS: ms}
}

// Every percentile of every metric is a share of its samples; a load holds several limits if it holds each, and a goodput if so many
// requests are within all of them at once.
func TestLimitsOfEveryKind(t *testing.T) {
	for _, test := range []struct {
		name     string
		limits   []record.Limit
		goodput  float64
		longGaps float64
		want     record.Verdict
	}{
		{"a TTFT that holds", []record.Limit{limit(record.TTFT, 99, 150)}, 0, 0, record.Pass},
		{"a TTFT that does not", []record.Limit{limit(record.TTFT, 99, 70)}, 0, 0, record.Miss},
		{"a median", []record.Limit{limit(record.E2EL, 50, 180)}, 0, 0, record.Pass},
		{"a median that does not hold", []record.Limit{limit(record.E2EL, 50, 120)}, 0, 0, record.Miss},
		{"TPOT", []record.Limit{limit(record.TPOT, 95, 15)}, 0, 0, record.Pass},
		{"one of two misses", []record.Limit{limit(record.E2EL, 99, 400), limit(record.TTFT, 99, 70)}, 0, 0, record.Miss},
		{"both hold", []record.Limit{limit(record.E2EL, 99, 400), limit(record.TTFT, 99, 200)}, 0, 0, record.Pass},
		{"few long gaps", []record.Limit{limit(record.ITL, 99, 50)}, 0, 0.001, record.Pass},
		{"many long gaps", []record.Limit{limit(record.ITL, 99, 50)}, 0, 0.1, record.Miss},
		{"goodput", []record.Limit{limit(record.E2EL, 99, 400), limit(record.TTFT, 99, 200)}, 99, 0, record.Pass},
		{"goodput that is missed", []record.Limit{limit(record.E2EL, 99, 150), limit(record.TTFT, 99, 200)}, 90, 0, record.Miss},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := record.Policy{Limits: test.limits, GoodputPct: test.goodput, Test: defaults()}
			rule := Of(p, record.Load{Rate: 10, Purpose: record.Confirm, Requests: budget, Capacity: 100})
			rs := steadily(budget, 10, test.longGaps)
			o := rule.Judge(rs, rs[len(rs)-1].Due+10, true)
			if o.Verdict != test.want {
				t.Errorf("%s: %s", o.Verdict, o.Reason)
			}
			want := len(test.limits)
			if test.goodput > 0 {
				want = 1
			}
			if len(o.Standings) != want {
				t.Errorf("%d standings", len(o.Standings))
			}
			for _, s := range o.Standings {
				if s.Share.Low > s.Share.Value || s.Share.High < s.Share.Value || s.At.Low > s.At.Value || s.At.High < s.At.Value {
					t.Errorf("an interval that does not hold its value: %+v", s)
				}
			}
		})
	}
}

// Quick answers are not counted before slow ones are known, and a request that waits longer than the limit is beyond it already.
func TestOpenRequestsAreNotForgotten(t *testing.T) {
	rs := steadily(60, 10, 0)
	for i := 20; i < 60; i++ {
		rs[i].End, rs[i].TTFT, rs[i].E2EL = 0, 0, 0 // the server stopped answering
	}
	p := record.Policy{Limits: []record.Limit{limit(record.E2EL, 99, 500)}, Test: defaults()}
	rule := Of(p, record.Load{Rate: 10, Purpose: record.Explore, Requests: 200})
	if o := rule.Judge(rs, rs[59].Due+5, false); o.Verdict != record.Miss {
		t.Errorf("%s: %s", o.Verdict, o.Reason)
	}
	if o := rule.Judge(rs[:21], rs[20].Due+0.1, false); o.Sure() {
		t.Errorf("%s: %s", o.Verdict, o.Reason)
	}
}

// The throughput of requests that come at once is that of full batches, not of the ramps.
func TestTheThroughputAtInf(t *testing.T) {
	var rs []Request
	const batch, seconds = 32, 2.0 // 16 requests/s, in waves
	for i := range 600 {
		begin := float64(i/batch) * seconds
		r := Request{TTFT: begin*1000 + 100}
		answer(&r, begin+seconds)
		rs = append(rs, r)
	}
	rule := Of(record.Policy{Test: defaults()}, record.Load{Rate: record.Inf, Purpose: record.Bound, Requests: 600})
	o := rule.Judge(rs, rs[599].End, true)
	if v := o.Steady.Throughput.Value; o.Verdict != record.Pass || v < 15 || v > 17 {
		t.Errorf("%s, %v requests/s: %s", o.Verdict, v, o.Reason)
	}
	// A claim is compared with the interval, at the end.
	known := o.Steady.Throughput
	for claim, want := range map[float64]record.Verdict{
		10: record.Pass, known.Low * 0.999: record.Pass, known.Value * 0.999: record.Unsure, known.Value * 1.001: record.Unsure, known.High * 1.001: record.Miss, 99: record.Miss,
	} {
		p := record.Policy{Test: defaults(), Tolerance: 0.01, Verify: record.Verification{Rate: claim / 0.99}}
		rule := Of(p, record.Load{Rate: record.Inf, Purpose: record.Verify, Requests: 600})
		if o := rule.Judge(rs, rs[599].End, true); o.Verdict != want {
			t.Errorf("a claim of %v requests/s: %s: %s", claim, o.Verdict, o.Reason)
		}
		if few := rule.Judge(rs[:19], rs[19].End, true); few.Verdict != record.Unsure {
			t.Errorf("of so few requests: %s: %s", few.Verdict, few.Reason)
		}
	}
}

// For a while nobody hears of an answer: the server stands still, or only its client does, to whom all of it comes at once later.
// Every answer under way is then as slow as any other, and what is alike is no proof of what is the rule.
func TestAStandstillIsNotTakenForTheThroughput(t *testing.T) {
	const lanes, life, n = 16, 6.4, 600
	const truth = lanes / life
	late := map[string]func(at, from, to float64) float64{
		"the server stands still": func(at, from, to float64) float64 { return at + to - from },
		"the client stands still": func(at, _, to float64) float64 { return max(at, to) },
	}
	for name, shift := range late {
		for _, lives := range []float64{0.5, 1, 2} {
			for begin := 0.0; begin < 6*life; begin += 1.7 {
				end := begin + lives*life
				heard := func(at float64) float64 {
					if at > begin {
						return shift(at, begin, end)
					}
					return at
				}
				var rs []Request
				for i := range n { // one after the other in each lane, and the lanes began one by one
					first := life * (float64(i/lanes) + float64(i%lanes)/lanes)
					r := Request{TTFT: 1000 * heard(first)}
					answer(&r, heard(first+life))
					rs = append(rs, r)
				}
				rule := Of(record.Policy{Limits: []record.Limit{limit(record.E2EL, 99, 1)}, Test: defaults()},
					record.Load{Rate: record.Inf, Purpose: record.Bound, Requests: n, Beat: 0.9 * truth})
				o := whileItGoesOn(rule, rs)
				if known := o.Steady.Throughput; o.Verdict != record.Pass || known.High < truth || known.Low > truth {
					t.Errorf("%s for %g s from %g s on: of %g requests/s it is said: %s: %v, %s", name, end-begin, begin, truth, o.Verdict, known, o.Reason)
				}
			}
		}
	}
}

// whileItGoesOn asks at every answer, as of which the fate of the others is not known yet.
func whileItGoesOn(rule Rule, all []Request) Outcome {
	seen := make([]Request, len(all))
	for _, last := range all {
		for i, r := range all {
			if r.End > last.End {
				r.End, r.E2EL = 0, 0
			}
			seen[i] = r
		}
		if o := rule.Judge(seen, last.End, false); o.Sure() {
			return o
		}
	}
	return rule.Judge(all, all[len(all)-1].End, true)
}
