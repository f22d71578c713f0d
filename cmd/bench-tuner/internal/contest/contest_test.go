package contest

import (
	"math"
	"testing"

	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/cmd/bench-tuner/internal/world"
	"vtune/internal/record"
)

// Every second of a tuning is booked once: under an activity, in a job, and under load in a run.
func TestTheClockAddsUp(t *testing.T) {
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*math.Max(1, math.Abs(b)) }
	for _, number := range []int{0, 1, 4, 10} {
		s, err := scenario.Generate(1, number, 0.01)
		if err != nil {
			t.Fatal(err)
		}
		o, err := world.Find(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range Methods {
			r, err := Play(s, o, m, false)
			if err != nil {
				t.Fatal(err)
			}
			sum, starts, runs, longest, loads := 0.0, 0, 0, 0.0, 0.0
			for _, j := range r.Jobs {
				booked := 0.0
				for _, v := range j.Ledger {
					booked += v
				}
				if !near(booked, j.Seconds) {
					t.Errorf("%s, %s: job %s took %v s, its ledger says %v", s.ID, m, j.Name, j.Seconds, booked)
				}
				sum, starts, runs, longest = sum+j.Seconds, starts+j.Starts, runs+j.Runs, max(longest, j.Seconds)
			}
			for _, l := range r.Loads {
				loads += l.Seconds
			}
			if !near(r.Seconds, sum*float64(s.TP)) || !near(r.Wall[0], sum) || r.Wall[1] > r.Wall[0] || r.Wall[1] < longest {
				t.Errorf("%s, %s: jobs of %v s on %d GPUs, %v accelerator-seconds, wall %v", s.ID, m, sum, s.TP, r.Seconds, r.Wall)
			}
			if r.Starts != starts || r.Runs != runs || runs != len(r.Loads) || !near(r.Ledger[record.SpendMeasured], loads) {
				t.Errorf("%s, %s: %d starts and %d runs in jobs, %d and %d in all; %d loads of %v s, %v s measured",
					s.ID, m, starts, runs, r.Starts, r.Runs, len(r.Loads), loads, r.Ledger[record.SpendMeasured])
			}
		}
	}
}

func TestAnAnswerIsMeasuredAgainstTheTruth(t *testing.T) {
	cells := []record.Cell{{ID: "a"}, {ID: "b"}}
	o := &world.Oracle{Truth: world.Truth{Cells: map[string]float64{"a": 10, "b": 8}, Best: 10, Cell: "a"}}
	for _, tc := range []struct {
		name, cell string
		regret     float64
	}{{"nothing", "", 1}, {"the best", "a", 0}, {"another", "b", 0.2}} {
		u := &tuning{scenario: scenario.Scenario{TP: 1, Cells: cells}}
		u.result.Cell, u.result.Rate = tc.cell, 12
		if err := u.close(o); err != nil {
			t.Fatal(err)
		}
		if !u.result.Feasible || math.Abs(u.result.Regret-tc.regret) > 1e-9 {
			t.Errorf("%s: regret %v, want %v", tc.name, u.result.Regret, tc.regret)
		}
	}
}

// The costs of the script are known: a start for the probe, one for each cell and one for the profile, and the rates one by one.
func TestAutoTuneCostsWhatTheScriptDoes(t *testing.T) {
	s, err := scenario.Generate(1, 4, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	o, err := world.Find(s)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Play(s, o, AutoTune, false)
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + len(s.Cells) + 1; r.Starts != want || r.Cell == "" {
		t.Fatalf("%d starts, want %d; the answer is %q", r.Starts, want, r.Cell)
	}
	last := map[string]record.Rate{}
	for i, l := range r.Loads {
		before, seen := last[l.Cell]
		profile := i == len(r.Loads)-1
		if !profile && seen != !l.Load.Rate.IsInf() || !profile && seen && !before.IsInf() && l.Load.Rate != before-1 {
			t.Errorf("run %d of %s at %v, after %v", i, l.Cell, l.Load.Rate, before)
		}
		last[l.Cell] = l.Load.Rate
	}
	if r.Ledger[record.SpendProfile] != world.TraceWriting {
		t.Errorf("the profile took %v s", r.Ledger[record.SpendProfile])
	}
	if _, err := Play(s, o, "nobody's", false); err == nil {
		t.Error("a method that nobody knows is played")
	}
}
