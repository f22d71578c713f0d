package world

import (
	"math"
	"slices"
	"testing"
	"time"

	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/sim"
	"vtune/internal/verdict"
)

// of is the first scenario of a kind.
func of(t *testing.T, kind scenario.Kind) scenario.Scenario {
	t.Helper()
	for n := range 100 {
		s, err := scenario.Generate(1, n, 0.01)
		if err != nil {
			t.Fatal(err)
		}
		if s.Kind == kind && len(s.Cells) <= 9 {
			return s
		}
	}
	t.Fatalf("no scenario is %s", kind)
	return scenario.Scenario{}
}

func up(t *testing.T, s scenario.Scenario, c record.Cell) *Server {
	t.Helper()
	server, boot, err := NewSite(s).Start(c, 0.90)
	if err != nil || boot.Err != nil {
		t.Fatal(err, boot.Err)
	}
	return server
}

func run(t *testing.T, s *Server, l Load) Run {
	t.Helper()
	r, err := s.Run(l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func arrivals(rate float64, n int) []time.Duration {
	return load.Arrivals(load.Workload{Rate: rate, Requests: n, Seed: 1})
}

func TestALoadAtInfIsWhatSimSays(t *testing.T) {
	s := of(t, scenario.NoLimit)
	c := s.Largest()
	got := Metrics(run(t, up(t, s, c), Load{Due: arrivals(math.Inf(1), 300)}), s.Workload)
	e, err := sim.New(s.Config(c, 0.90, scenario.Hash(s.Seed, c.ID, "1")))
	if err != nil {
		t.Fatal(err)
	}
	shape := s.Shape()
	want, err := sim.Bench(e, sim.Load{Rate: math.Inf(1), N: 300, Prefix: shape.Prefix, Input: shape.Prompt - shape.Prefix, Output: shape.Output})
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string][2]float64{
		"throughput": {got.RequestThroughput, want.Throughput}, "P50": {got.E2EL.P50, want.P50E2EL}, "P99": {got.E2EL.P99, want.P99E2EL},
		"P99 TTFT": {got.TTFT.P99, want.P99TTFT}, "TPOT": {got.TPOT.P50, want.MedianTPOT},
	} {
		if math.Abs(v[0]-v[1]) > 1e-6*v[1] {
			t.Errorf("%s is %v, sim says %v", name, v[0], v[1])
		}
	}
}

// With one let in, requests are served one by one: each begins when it is due and its predecessor is gone.
func TestLetInIsFirstComeAndExact(t *testing.T) {
	s := of(t, scenario.Moderate)
	s.Noise, s.StartNoise = 0, 0
	server := up(t, s, s.Largest())
	rate := 1.5e3 / s.UnloadedMS // more than one at once can serve
	one := run(t, server, Load{Due: arrivals(rate, 60), LetIn: 1})
	free, alone := 0.0, 0.0
	for i, r := range one.Requests {
		took := r.End - math.Max(r.Due, free)
		if alone = took; i > 1 && math.Abs(took-s.UnloadedMS/1e3) > 0.02*took {
			t.Errorf("request %d took %.4f s of its own, alone it takes %.4f", i, took, s.UnloadedMS/1e3)
		}
		if math.Abs(r.E2EL-(r.End-r.Due)*1e3) > 1e-6 {
			t.Errorf("request %d: E2EL %.3f ms does not begin when it is due", i, r.E2EL)
		}
		free = r.End
	}
	if one.Peak != 1 || alone == 0 {
		t.Errorf("%d were in the server at once, 1 may be", one.Peak)
	}
	some := run(t, server, Load{Due: arrivals(4*rate, 200), LetIn: 3})
	firsts := make([]float64, 0, 200)
	for _, r := range some.Requests {
		firsts = append(firsts, r.Due+r.TTFT/1e3)
	}
	if some.Peak != 3 || !slices.IsSorted(firsts) {
		t.Errorf("peak %d, want 3; first come first served: %v", some.Peak, slices.IsSorted(firsts))
	}
	all, none := run(t, up(t, s, s.Largest()), Load{Due: arrivals(rate, 50), LetIn: 50}), run(t, up(t, s, s.Largest()), Load{Due: arrivals(rate, 50)})
	for i := range all.Requests {
		if a, b := all.Requests[i], none.Requests[i]; a.End != b.End || a.TTFT != b.TTFT {
			t.Fatalf("request %d ends at %v with room for all, at %v without a queue", i, a.End, b.End)
		}
	}
}

func TestALoadEndsWhenItIsToldTo(t *testing.T) {
	s := of(t, scenario.Moderate)
	server := up(t, s, s.Largest())
	asked := 0
	early := run(t, server, Load{Due: arrivals(s.Saturated, 500), Ask: func(requests []verdict.Request, answered int, now float64) bool {
		asked++
		done := 0
		for _, r := range requests {
			if r.Due > now {
				t.Fatalf("told at %v of a request that is due at %v", now, r.Due)
			}
			if r.End > 0 {
				done++
			}
		}
		if done != answered {
			t.Fatalf("told of %d answers, the requests say %d", answered, done)
		}
		return answered >= 20
	}})
	if !early.Early || len(early.Requests) >= 500 || asked == 0 {
		t.Errorf("early %v after %d requests", early.Early, len(early.Requests))
	}
	full := run(t, server, Load{Due: arrivals(s.Saturated/2, 100)})
	for i, r := range full.Requests {
		if r.End < r.Due || r.TTFT <= 0 || r.TTFT > r.E2EL+1e-9 {
			t.Fatalf("after a load that was ended, request %d is %+v", i, r)
		}
	}
	limited := run(t, server, Load{Due: arrivals(s.Saturated, 5000), MaxSeconds: 5})
	if n := len(limited.Requests); n == 5000 || limited.Requests[n-1].Due > 5 || limited.Requests[n-1].End == 0 {
		t.Errorf("%d requests within 5 s, the last one %+v", n, limited.Requests[n-1])
	}
	burst := run(t, server, Load{Due: arrivals(math.Inf(1), 5000), MaxSeconds: 5})
	if burst.Seconds < 5 || burst.Seconds > 6+s.UnloadedMS/1e3 {
		t.Errorf("a burst given up after 5 s took %.1f", burst.Seconds)
	}
}

// More requests a second never help, and the truth lies where they begin to be too many.
func TestTheTruthIsTheHighestRateThatIsHeld(t *testing.T) {
	for _, kind := range []scenario.Kind{scenario.Strict, scenario.Moderate} {
		s := of(t, kind)
		o, err := Find(s)
		if err != nil {
			t.Fatal(err)
		}
		best := s.Cells[slices.IndexFunc(s.Cells, func(c record.Cell) bool { return c.ID == o.Truth.Cell })]
		last := 0.0
		for _, times := range []float64{0.5, 0.97, 1.03, 1.3} {
			g, err := o.gauge(best, times*o.Truth.Best, longest, 0.01)
			if err != nil {
				t.Fatal(err)
			}
			if share := g.share(); share < last && share < 0.01 {
				t.Errorf("%s: %.4f are beyond the limit at %.2f of the truth, %.4f at less", s.ID, share, times, last)
			} else {
				last = share
			}
			if g.held() != (times < 1) {
				t.Errorf("%s: held is %v at %.2f of the truth", s.ID, g.held(), times)
			}
		}
		for id, r := range o.Truth.Cells {
			if r > o.Truth.Best {
				t.Errorf("%s: %s holds %.4g, the best %.4g", s.ID, id, r, o.Truth.Best)
			}
		}
		s.LimitMS *= 1.5
		wider, err := Find(s)
		if err != nil {
			t.Fatal(err)
		}
		if wider.Truth.Best < 0.99*o.Truth.Best {
			t.Errorf("%s: a wider limit is held at %.4g, the narrower one at %.4g", s.ID, wider.Truth.Best, o.Truth.Best)
		}
	}
	s := of(t, scenario.Infeasible)
	if o, err := Find(s); err != nil || o.Truth.Best != 0 {
		t.Errorf("%s holds %.4g under a limit below what a request takes (%v)", s.ID, o.Truth.Best, err)
	}
}

func TestJobsWaitForSlotsAndForEachOther(t *testing.T) {
	jobs := []Job{{Seconds: 10}, {Seconds: 30, After: []int{0}}, {Seconds: 20, After: []int{0}}, {Seconds: 5, After: []int{1, 2}}}
	for slots, want := range map[int]float64{1: 65, 2: 45, 8: 45} {
		if got := Wall(jobs, slots); got != want {
			t.Errorf("%d slots: %v s, want %v", slots, got, want)
		}
	}
	if Wall(nil, 1) != 0 {
		t.Error("no jobs take time")
	}
}

func TestWhoPollsSeesAStartLate(t *testing.T) {
	for seconds, want := range map[float64]float64{0: 0, 0.1: 10, 33.8: 40, 40: 40, 50.9: 60} {
		if got := Polled(seconds); got != want {
			t.Errorf("up after %v s, seen after %v, want %v", seconds, got, want)
		}
	}
}

func TestTheCompileCacheIsTheTunings(t *testing.T) {
	s := of(t, scenario.Moderate)
	site := NewSite(s)
	_, first, err := site.Start(s.Largest(), 0.90)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := site.Start(s.Largest(), 0.90)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Cold || second.Cold || second.Seconds > first.Seconds-5 {
		t.Errorf("first %+v, second %+v", first, second)
	}
	s.HeldGiB = 200
	if _, held, err := NewSite(s).Start(s.Largest(), 0.90); err != nil || held.Err == nil || held.Seconds < 20 || held.Seconds > 31 {
		t.Errorf("with the memory held by others: %+v (%v)", held, err)
	}
}
