package search

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/record"
)

var policy = record.Policy{Method: AutoTune, LimitMS: 500, InfRequests: 1000, RateRequests: 100}

// drawCurve has throughputs with a fine grain, so that some are printed as another number than they are, and latencies of no
// order at all: the walk must not rest on a curve being well behaved.
func drawCurve(t *rapid.T) curve {
	inf := rapid.Float64Range(0.004, 40).Draw(t, "throughput at inf")
	share := rapid.Float64Range(0.3, 1.2).Draw(t, "share of the rate that is reached")
	late := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(1, 2000), rapid.Float64Range(499.98, 500.02)), 64, 64).Draw(t, "P99 E2EL")
	return curve{
		throughput: func(rate int) float64 {
			if rate == 0 {
				return inf
			}
			return share * float64(rate)
		},
		e2el: func(rate int) float64 { return late[rate] },
	}
}

// walkOf runs a search to its end and returns the rates it tried.
func walkOf(t interface{ Fatalf(string, ...any) }, p record.Policy, c curve, known []record.Observation) ([]string, Decision) {
	var rates []string
	for seq := 1; ; seq++ {
		d := Next(Question{Policy: p, Observed: known})
		if d.Action != Try {
			return rates, d
		}
		if seq > 100 {
			t.Fatalf("no end after %v", rates)
		}
		rates = append(rates, d.Load.Rate.String())
		o := measure(c, p, d.Load, seq)
		o.Attempt = 9
		known = append(slices.Clone(known), o)
	}
}

func TestTheWalkIsTheScripts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCurve(t)
		p := policy
		p.LimitMS = rapid.SampledFrom([]float64{1, 100, 499.99, 500, 1999}).Draw(t, "limit")
		wantRuns, wantRate := scripted(c, strconv.FormatFloat(p.LimitMS, 'f', -1, 64))
		runs, d := walkOf(t, p, c, nil)
		if diff := cmp.Diff(wantRuns, runs); diff != "" {
			t.Fatalf("runs differ from the script's (-script +vtune):\n%s", diff)
		}
		if wantRate == "" {
			if d.Action != GiveUp || d.Cause != record.CauseNone {
				t.Fatalf("got %+v, the script accepts nothing", d)
			}
			return
		}
		if d.Action != Accept || d.Best.Load.Rate.String() != wantRate {
			t.Fatalf("got %+v, the script accepts %s", d, wantRate)
		}
	})
}

func TestTheNumberOfFiniteRunsIsTheFormulas(t *testing.T) {
	for _, test := range []struct {
		name       string
		throughput float64
		accepted   int // 0: nothing is
		want       int
	}{
		{"the verified example", 5.37, 3, 4},
		{"nothing is acceptable", 5.37, 0, 6},
		{"the first rate is accepted", 5.37, 6, 1},
		{"below one request per second only rate 1 is tried", 0.37, 0, 1},
		{"a throughput that is printed as zero", 0.004, 1, 1},
		{"a throughput that is printed as the next whole number", 4.996, 0, 6},
		{"a whole number", 5, 5, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := curve{
				throughput: func(rate int) float64 { return test.throughput },
				e2el: func(rate int) float64 {
					if rate == 0 || rate > test.accepted {
						return 900
					}
					return 400
				},
			}
			rates, _ := walkOf(t, policy, c, nil)
			if got := len(rates) - 1; got != test.want {
				t.Errorf("%d finite runs (%v), want %d", got, rates, test.want)
			}
		})
	}
}

func TestWithoutALimitTheInfRunIsTheAnswer(t *testing.T) {
	p := policy
	p.LimitMS = 0
	c := curve{throughput: func(int) float64 { return 12 }, e2el: func(int) float64 { return 1e9 }}
	rates, d := walkOf(t, p, c, nil)
	if len(rates) != 1 || d.Action != Accept || !d.Best.Load.Rate.IsInf() {
		t.Errorf("tried %v, then %+v", rates, d)
	}
}

func TestASearchGoesOnFromAnyPointWhereItWasCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCurve(t)
		all, end := walkOf(t, policy, c, nil)
		cut := rapid.IntRange(0, len(all)).Draw(t, "observations before the cut")
		known := observe(c, all[:cut])
		rest, d := walkOf(t, policy, c, known)
		if !slices.Equal(all[cut:], rest) {
			t.Fatalf("after %d of %v it goes on with %v", cut, all, rest)
		}
		if d.Action != end.Action || d.Reason != end.Reason {
			t.Fatalf("resumed ends in %+v, uncut in %+v", d, end)
		}
	})
}

func observe(c curve, rates []string) []record.Observation {
	var known []record.Observation
	for i, r := range rates {
		load := record.Load{Rate: record.Inf, Requests: policy.InfRequests}
		if n, err := strconv.Atoi(r); err == nil {
			load = record.Load{Rate: record.Rate(n), Requests: policy.RateRequests}
		}
		known = append(known, measure(c, policy, load, i+1))
	}
	return known
}

// drawTrouble is any set of observations that a run could leave, of several attempts, many of them invalid.
func drawTrouble(t *rapid.T) []record.Observation {
	causes := []record.Cause{record.CauseRequests, record.CauseClient, record.CauseCrash, record.CauseOOM, record.CauseNone}
	var known []record.Observation
	for i := range rapid.IntRange(0, 20).Draw(t, "observations") {
		rate := rapid.IntRange(0, 6).Draw(t, "rate")
		load := record.Load{Rate: record.Inf, Requests: policy.InfRequests}
		if rate > 0 {
			load = record.Load{Rate: record.Rate(rate), Requests: policy.RateRequests}
		}
		o := record.Observation{Attempt: 1 + i/4, Seq: 1 + i%4, Load: load}
		o.Verdict = rapid.SampledFrom([]record.Verdict{record.Pass, record.Miss, record.Miss, record.Invalid, ""}).Draw(t, "verdict")
		if o.Verdict == record.Invalid {
			o.Cause = rapid.SampledFrom(causes).Draw(t, "cause")
		}
		throughput := rapid.SampledFrom([]float64{0, 0.5, 3.2, 5.9, math.NaN(), math.Inf(1), -1}).Draw(t, "throughput")
		o.Metrics = metrics(load.Requests, throughput, 700)
		known = append(known, o)
	}
	return known
}

func TestADecisionDependsNeitherOnOrderNorOnRepetition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := drawTrouble(t)
		want := Next(Question{Policy: policy, Observed: known})
		again := rapid.Permutation(known).Draw(t, "another order")
		if len(known) > 0 {
			again = append(again, rapid.SliceOf(rapid.SampledFrom(known)).Draw(t, "repeated")...)
		}
		got := Next(Question{Policy: policy, Observed: again})
		if got.Action != want.Action || got.Load != want.Load || got.Reason != want.Reason || got.Cause != want.Cause {
			t.Fatalf("%+v, in another order %+v", want, got)
		}
		if want.Best != nil && (got.Best.Attempt != want.Best.Attempt || got.Best.Seq != want.Best.Seq) {
			t.Fatalf("accepts %d/%d, in another order %d/%d", want.Best.Attempt, want.Best.Seq, got.Best.Attempt, got.Best.Seq)
		}
	})
}

func TestOnlyAValidObservationIsAcceptedAndNoLoadIsTriedForEver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known := drawTrouble(t)
		tries := map[record.Load]int{}
		for range 100 {
			d := Next(Question{Policy: policy, Observed: known})
			switch d.Action {
			case Accept:
				if d.Best.Verdict != record.Pass || !positive(d.Best.Metrics.RequestThroughput) {
					t.Fatalf("accepted %+v", d.Best)
				}
				return
			case GiveUp:
				if d.Reason == "" {
					t.Fatalf("gives up without a reason")
				}
				return
			}
			for _, o := range known {
				if o.Load == d.Load && (o.Verdict == record.Pass || o.Verdict == record.Miss) && positive(o.Metrics.RequestThroughput) {
					t.Fatalf("tries %s again, which has a valid observation", d.Load)
				}
			}
			if tries[d.Load]++; tries[d.Load] > triesPerLoad {
				t.Fatalf("tries %s for the %dth time", d.Load, tries[d.Load])
			}
			o := record.Observation{Attempt: 100, Seq: len(known), Load: d.Load, Verdict: record.Miss, Metrics: metrics(1, 4.2, 700)}
			if rapid.Bool().Draw(t, "invalid") {
				o.Verdict, o.Cause = record.Invalid, record.CauseClient
			}
			known = append(known, o)
		}
		t.Fatalf("no end")
	})
}

func TestInvalidObservationsAreRepeatedOnceAndNeverPass(t *testing.T) {
	inf := record.Load{Rate: record.Inf, Requests: 1000}
	at := func(rate int) record.Load { return record.Load{Rate: record.Rate(rate), Requests: 100} }
	miss := func(l record.Load, throughput float64) record.Observation {
		return record.Observation{Load: l, Verdict: record.Miss, Metrics: metrics(l.Requests, throughput, 900)}
	}
	bad := func(l record.Load, c record.Cause, throughput float64) record.Observation {
		return record.Observation{Load: l, Verdict: record.Invalid, Cause: c, Detail: "it broke", Metrics: metrics(l.Requests, throughput, 100)}
	}
	const crash, client, requests = record.CauseCrash, record.CauseClient, record.CauseRequests
	for _, test := range []struct {
		name   string
		known  []record.Observation
		action Action
		load   record.Load
		cause  record.Cause
		reason string // a part of it
	}{
		{"nothing is known", nil, Try, inf, "", ""},
		{"an invalid inf run is repeated", []record.Observation{bad(inf, client, 9)}, Try, inf, "", ""},
		{
			"two invalid inf runs leave nothing to walk from",
			[]record.Observation{bad(inf, client, 9), bad(inf, client, 9)},
			GiveUp,
			record.Load{},
			client, "no valid inf run: it broke",
		},
		{
			"a server that died twice leaves nothing to walk from",
			[]record.Observation{bad(inf, crash, 0), bad(inf, crash, 0)},
			GiveUp,
			record.Load{},
			crash, "no valid inf run",
		},
		{
			"requests that fail twice at inf leave the throughput of the others",
			[]record.Observation{bad(inf, requests, 2.5), bad(inf, requests, 3.5)},
			Try, at(4), "", "",
		},
		{
			"requests that all fail twice at inf leave nothing",
			[]record.Observation{bad(inf, requests, 0), bad(inf, requests, 0)},
			GiveUp,
			record.Load{},
			requests, "no valid inf run",
		},
		{"a valid inf run goes before an invalid one", []record.Observation{bad(inf, client, 9), miss(inf, 2.5)}, Try, at(3), "", ""},
		{"an invalid rate is repeated", []record.Observation{miss(inf, 2.5), bad(at(3), crash, 0)}, Try, at(3), "", ""},
		{
			"an invalid rate then counts as a miss",
			[]record.Observation{miss(inf, 2.5), bad(at(3), crash, 0), bad(at(3), crash, 0)},
			Try, at(2), "", "",
		},
		{
			"an invalid last rate is no miss of the limit",
			[]record.Observation{miss(inf, 0.5), bad(at(1), crash, 0), bad(at(1), crash, 0)},
			GiveUp,
			record.Load{},
			crash, "no valid run at 1 req/s: it broke",
		},
		{
			"a valid miss at the last rate is an answer",
			[]record.Observation{miss(inf, 1.5), bad(at(2), crash, 0), bad(at(2), crash, 0), miss(at(1), 1)},
			GiveUp,
			record.Load{},
			"", "P99 E2EL is 900.00 ms even at 1 req/s, the limit is 500 ms",
		},
		{
			"three rates in a row without a valid run end the walk",
			[]record.Observation{
				miss(inf, 9.5),
				miss(at(10), 9), bad(at(9), client, 0), bad(at(9), client, 0), bad(at(8), client, 0), bad(at(8), client, 0), bad(at(7), client, 0), bad(at(7), crash, 0),
			},
			GiveUp,
			record.Load{},
			crash, "no valid run at 3 rates in a row, down to 7 req/s: it broke",
		},
		{
			"a valid run between them lets it go on",
			[]record.Observation{
				miss(inf, 9.5),
				bad(at(10), client, 0), bad(at(10), client, 0), bad(at(9), client, 0), bad(at(9), client, 0), miss(at(8), 8), bad(at(7), client, 0), bad(at(7), client, 0),
			},
			Try, at(6), "", "",
		},
		{"a load with another number of requests is not the method's", []record.Observation{miss(record.Load{Rate: record.Inf, Requests: 100}, 5)}, Try, inf, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i := range test.known {
				test.known[i].Attempt, test.known[i].Seq = 1, i+1
			}
			d := Next(Question{Policy: policy, Observed: test.known})
			if d.Action != test.action || d.Load != test.load || d.Cause != test.cause || !strings.Contains(d.Reason, test.reason) {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestAMethodOfANewerBuildIsRefused(t *testing.T) {
	p := policy
	p.Method = "tomorrow"
	if d := Next(Question{Policy: p, Observed: nil}); d.Action != GiveUp || !strings.Contains(d.Reason, `"tomorrow"`) {
		t.Errorf("got %+v", d)
	}
}
