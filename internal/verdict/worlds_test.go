package verdict

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"vtune/internal/record"
	"vtune/internal/stat"
)

// These worlds stand for what the rules rest on: independent requests, queues of requests of one shape at several loads, and slow
// processes that neighbours share. In each the true share beyond a limit is known from a long run.

// world draws requests whose latencies are dependent in some way.
type world struct {
	name string
	rate float64
	cap  float64
	draw func(rng *rand.Rand, n int, rate float64) []Request
}

// arrivals are Poisson.
func arrivals(rng *rand.Rand, n int, rate float64) []Request {
	rs := make([]Request, n)
	at := 0.0
	for i := range rs {
		at += rng.ExpFloat64() / rate
		rs[i].Due = at
	}
	return rs
}

func answer(r *Request, seconds float64) { r.End, r.E2EL = r.Due+seconds, seconds*1000 }

// independent latencies with a log-normal spread.
func independent(rng *rand.Rand, n int, rate float64) []Request {
	rs := arrivals(rng, n, rate)
	for i := range rs {
		answer(&rs[i], 0.3*math.Exp(0.3*rng.NormFloat64()))
	}
	return rs
}

// queue with one server (Lindley's recursion); service is drawn by mean 1.
func queue(load float64, service func(*rand.Rand) float64) func(*rand.Rand, int, float64) []Request {
	return func(rng *rand.Rand, n int, rate float64) []Request {
		rs := arrivals(rng, n, rate)
		free := 0.0
		for i := range rs {
			start := max(free, rs[i].Due)
			free = start + load/rate*service(rng)
			answer(&rs[i], free-rs[i].Due)
		}
		return rs
	}
}

func constant(*rand.Rand) float64 { return 1 }

// smooth latencies follow a slow process, as those of long answers do, which all share their neighbours' batches.
func smooth(span, spread float64) func(*rand.Rand, int, float64) []Request {
	return func(rng *rand.Rand, n int, rate float64) []Request {
		rs := arrivals(rng, n, rate)
		x, at := rng.NormFloat64(), 0.0
		for i := range rs {
			keep := math.Exp(-(rs[i].Due - at) / span)
			x, at = keep*x+math.Sqrt(1-keep*keep)*rng.NormFloat64(), rs[i].Due
			answer(&rs[i], span*(1+spread*x+0.2*spread*rng.NormFloat64()))
		}
		return rs
	}
}

func worlds() []world {
	return []world{
		{"independent", 10, 100, independent},
		{"M/D/1 at 0.5", 20, 40, queue(0.5, constant)},
		{"M/D/1 at 0.8", 20, 25, queue(0.8, constant)},
		{"M/D/1 at 0.9", 20, 20 / 0.9, queue(0.9, constant)},
		{"smooth, 2 s", 10, 20, smooth(2, 0.1)},
		{"smooth, 10 s", 5, 10, smooth(10, 0.05)},
	}
}

// limitAt is the latency that a share of all requests exceeds, from a long run.
func (w world) limitAt(share float64) float64 {
	rng := rand.New(rand.NewPCG(1, 2))
	rs := w.draw(rng, 2_000_000, w.rate)
	x := make([]float64, 0, len(rs))
	for _, r := range rs[1000:] {
		x = append(x, r.E2EL)
	}
	slices.Sort(x)
	return stat.Percentile(x, 100*(1-share))
}

// play asks a rule as an agent does, and stops when it is told to.
func play(rule Rule, all []Request) (Outcome, int) {
	end := all[len(all)-1].Due
	seen := make([]Request, 0, len(all))
	asked := 0
	due := 0
	for now := 0.1; ; now = math.Max(now*1.05, now+0.1) {
		over := now >= end+60
		for due < len(all) && all[due].Due <= now {
			due++
		}
		if due < asked+8 && !over {
			continue
		}
		asked = due
		seen = seen[:0]
		for _, r := range all[:due] {
			if r.End > now && !over {
				r.End, r.E2EL, r.TTFT, r.TPOT = 0, 0, 0, 0
			}
			seen = append(seen, r)
		}
		o := rule.Judge(seen, now, over)
		if o.Sure() || over {
			return o, due
		}
	}
}

func defaults() record.Test {
	return record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxSeconds: 600}
}

// rule for the world's load with a limit that a share of all requests exceeds.
func (w world) rule(share float64, purpose record.Purpose, budget int) Rule {
	p := record.Policy{Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: w.limitAt(share)}}, Test: defaults()}
	return Of(p, record.Load{Rate: record.Rate(w.rate), Purpose: purpose, Requests: budget, Capacity: w.cap})
}

// verdicts of many runs, each with its own seed.
func (w world) verdicts(rule Rule, runs, budget int) (n map[record.Verdict]int, requests int) {
	n = map[record.Verdict]int{}
	for i := range runs {
		rng := rand.New(rand.NewPCG(uint64(i), 77))
		o, used := play(rule, w.draw(rng, budget, w.rate))
		n[o.Verdict]++
		requests += used
	}
	return n, requests / runs
}

const (
	runs   = 100
	budget = 3000
)

// atMost is the number of so many cases that an event of probability p exceeds once in a thousand tests.
func atMost(p float64, cases int) int {
	mean := p * float64(cases)
	return int(mean + 3.1*math.Sqrt(mean) + 0.5)
}

func TestALoadBeyondTheZoneIsHardlyEverAccepted(t *testing.T) {
	accepted := 0
	for _, w := range worlds() {
		n, requests := w.verdicts(w.rule(0.015, record.Confirm, budget), runs, budget)
		t.Logf("%-14s pass %3d miss %3d unsure %3d of %d, %d requests", w.name, n[record.Pass], n[record.Miss], n[record.Unsure], runs, requests)
		accepted += n[record.Pass]
	}
	if most := atMost(0.01, runs*len(worlds())); accepted > most {
		t.Errorf("%d of %d were accepted, more than %d", accepted, runs*len(worlds()), most)
	}
}

func TestALoadWithinTheZoneIsHardlyEverRejected(t *testing.T) {
	rejected := 0
	for _, w := range worlds() {
		n, requests := w.verdicts(w.rule(0.005, record.Confirm, budget), runs, budget)
		t.Logf("%-14s pass %3d miss %3d unsure %3d of %d, %d requests", w.name, n[record.Pass], n[record.Miss], n[record.Unsure], runs, requests)
		rejected += n[record.Miss]
	}
	if most := atMost(0.01, runs*len(worlds())); rejected > most {
		t.Errorf("%d of %d were rejected, more than %d", rejected, runs*len(worlds()), most)
	}
}

// What is clear is told soon: most of the gain over runs of a fixed length is here.
func TestWhatIsClearIsToldEarly(t *testing.T) {
	for _, w := range worlds() {
		if n, requests := w.verdicts(w.rule(0.3, record.Confirm, budget), 30, budget); n[record.Pass] > 0 || n[record.Miss] < 15 || requests > 600 {
			t.Errorf("%s: with 30 %% beyond the limit %v, after %d requests", w.name, n, requests)
		}
		r := w.rule(0.01, record.Confirm, budget)
		r.Limits[0].MS *= 3
		if n, requests := w.verdicts(r, 30, budget); n[record.Pass] < 28 || requests > 1000 {
			t.Errorf("%s: with a limit far above the latencies %v, after %d requests", w.name, n, requests)
		}
	}
}

// An exploring run is decided by what is likelier, never unsure, and with few requests.
func TestExploringRunsDecide(t *testing.T) {
	for _, w := range worlds() {
		for share, want := range map[float64]record.Verdict{0.0003: record.Pass, 0.3: record.Miss} {
			n, requests := w.verdicts(w.rule(share, record.Explore, 300), runs, 300)
			t.Logf("%-14s %.2f %% beyond: %v, %d requests", w.name, 100*share, n, requests)
			if n[record.Unsure] > 0 || n[want] < runs*7/10 {
				t.Errorf("%s, %.2f %% beyond the limit: %v", w.name, 100*share, n)
			}
		}
	}
}

// A server that does less than arrives is not said to hold it, however far the limit is.
func TestAQueueWithoutEndIsNotAccepted(t *testing.T) {
	w := world{"overloaded", 20, 15, queue(20.0/15, constant)}
	p := record.Policy{Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: 1e6}}, Test: defaults()}
	for _, purpose := range []record.Purpose{record.Explore, record.Confirm} {
		for _, known := range []float64{0, 15} {
			rule := Of(p, record.Load{Rate: record.Rate(w.rate), Purpose: purpose, Requests: 1000, Capacity: known})
			likely := 0 // an exploring run may be misled by a lull
			if purpose == record.Explore {
				likely = 8
			}
			if n, requests := w.verdicts(rule, 30, 1000); n[record.Pass] > likely || requests > 500 {
				t.Errorf("%s: %v after %d requests", purpose, n, requests)
			}
		}
	}
}

// A claim's run is looked at once, when it is over. It may be wrong as seldom, and what is clear takes it no more requests than must
// be seen without one beyond the limit, but where neighbours share their fate.
func TestARunThatIsJudgedOnceIsHardlyEverWrong(t *testing.T) {
	var accepted, rejected, judged int
	for name, fewest := range map[string]int{"M/D/1 at 0.8": 320, "smooth, 2 s": 1000} {
		all := worlds()
		w := all[slices.IndexFunc(all, func(w world) bool { return w.name == name })]
		beyond, within := w.rule(0.015, record.Verify, budget), w.rule(0.005, record.Verify, budget)
		clear := within
		clear.Limits = []record.Limit{within.Limits[0]}
		clear.Limits[0].MS *= 3
		for _, requests := range []int{320, 1000, budget} {
			passed := 0
			for i := range runs {
				all := w.draw(rand.New(rand.NewPCG(uint64(i), 78)), requests, w.rate)
				end := all[len(all)-1].Due + 60
				pass := func(r Rule, v record.Verdict) int {
					if r.Judge(all, end, true).Verdict == v {
						return 1
					}
					return 0
				}
				accepted, rejected = accepted+pass(beyond, record.Pass), rejected+pass(within, record.Miss)
				passed, judged = passed+pass(clear, record.Pass), judged+1
			}
			if requests >= fewest && passed < runs*9/10 {
				t.Errorf("%s: of %d clear runs of %d requests %d pass", w.name, runs, requests, passed)
			}
		}
	}
	t.Logf("of %d runs %d accepted, %d rejected", judged, accepted, rejected)
	if most := atMost(0.01, judged); accepted > most || rejected > most {
		t.Errorf("of %d runs %d were accepted and %d rejected, more than %d", judged, accepted, rejected, most)
	}
}
