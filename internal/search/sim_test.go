package search

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/record"
	"vtune/internal/sim"
)

// simulated is one cell of a simulated machine, in virtual time: a tuning takes milliseconds.
type simulated struct {
	engine   *sim.Engine
	workload record.Workload
	limitMS  float64
}

func (s simulated) observe(t *rapid.T, p record.Policy, l record.Load, seq int) record.Observation {
	t.Helper()
	s.engine.ResetPrefixCache()
	prefix := s.workload.PrefixLen()
	r, err := sim.Bench(s.engine, sim.Load{
		Rate: float64(l.Rate), N: l.Requests, Input: s.workload.InputLen - prefix, Prefix: prefix, Output: s.workload.OutputLen, GoodputMS: s.limitMS,
	})
	if err != nil {
		t.Fatal(err)
	}
	o := record.Observation{Load: l, Attempt: 1, Seq: seq, Complete: true, Metrics: record.Metrics{
		Completed: r.Completed, Seconds: r.Duration.Seconds(), RequestThroughput: r.Throughput, RequestGoodput: r.Goodput,
		TotalOutputTokens: r.Completed * s.workload.OutputLen, E2EL: record.Latency{P50: r.P50E2EL, P90: r.P90E2EL, P99: r.P99E2EL},
	}}
	o.Verdict, o.Cause, o.Detail = Judge(p, o.Metrics, l.Requests)
	return o
}

// On an engine whose answers are repeatable, the procedure ends with the highest integer rate at and below int(T)+1 that meets
// the limit, and it has tried every rate above it once.
func TestAutoTuneFindsTheHighestRateOfASimulatedServer(t *testing.T) {
	started := time.Now()
	tunings := 0
	rapid.Check(t, func(t *rapid.T) {
		hardware, err := sim.HardwareNamed(rapid.SampledFrom(sim.HardwareNames()).Draw(t, "hardware"))
		if err != nil {
			t.Fatal(err)
		}
		model, err := sim.ModelNamed("8b")
		if err != nil {
			t.Fatal(err)
		}
		o := sim.DefaultOptions(hardware, model)
		o.MaxSeqs, o.MaxTokens, o.MaxLength = rapid.SampledFrom([]int{2, 8, 32, 128}).Draw(t, "seqs"), rapid.SampledFrom([]int{512, 2048}).Draw(t, "tokens"), 4096
		engine, err := sim.New(sim.Config{Hardware: hardware, Model: model, Options: o, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		s := simulated{engine, record.Workload{
			InputLen: rapid.IntRange(1000, 3000).Draw(t, "input"), OutputLen: rapid.IntRange(2, 20).Draw(t, "output"),
			CacheHitPct: rapid.SampledFrom([]int{0, 60}).Draw(t, "prefix"),
		}, math.Exp(rapid.Float64Range(math.Log(200), math.Log(20000)).Draw(t, "log limit"))}
		p := record.Policy{Method: AutoTune, LimitMS: s.limitMS, InfRequests: 100, RateRequests: 30}
		var made []record.Observation
		for {
			d := Next(Question{Policy: p, Observed: made})
			if d.Action == Try {
				made = append(made, s.observe(t, p, d.Load, len(made)+1))
				continue
			}
			tunings++
			top := int(made[0].Metrics.RequestThroughput*100+0.5)/100 + 1
			for i, o := range made {
				last := i == len(made)-1
				if i > 0 && int(o.Load.Rate) != top-i+1 {
					t.Fatalf("load %d is at %s, int(T)+1 is %d", i, o.Load.Rate, top)
				}
				if pass := o.Verdict == record.Pass; pass != (last && d.Action == Accept) {
					t.Fatalf("load %d at %s is a %s; the search ended with %s", i, o.Load.Rate, o.Verdict, d.Action)
				}
			}
			if d.Action == GiveUp && made[len(made)-1].Load.Rate != 1 {
				t.Fatalf("gave up at %s", made[len(made)-1].Load.Rate)
			}
			return
		}
	})
	t.Logf("%d tunings in %s", tunings, time.Since(started).Round(time.Millisecond))
}
