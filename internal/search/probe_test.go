package search

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/record"
)

// probe runs a probe to its end against a server that answers by utilization and by how often it was tried there.
func probe(t interface{ Fatalf(string, ...any) }, server func(u float64, try int) record.Start) ([]record.Start, ProbeDecision) {
	var starts []record.Start
	tries := map[float64]int{}
	for range 100 {
		d := NextProbe(policy, starts)
		if d.Action != Try {
			return starts, d
		}
		tries[d.Utilization]++
		s := server(d.Utilization, tries[d.Utilization])
		s.Utilization = d.Utilization
		starts = append(starts, s)
	}
	t.Fatalf("no end after %d starts", len(starts))
	return nil, ProbeDecision{}
}

func utilizations(starts []record.Start) []float64 {
	var us []float64
	for _, s := range starts {
		us = append(us, s.Utilization)
	}
	return us
}

func TestTheProbeStepsForMemoryAlone(t *testing.T) {
	nine := []float64{0.98, 0.97, 0.96, 0.95, 0.94, 0.93, 0.92, 0.91, 0.90}
	fits := record.Start{OK: true}
	fails := func(c record.Cause) record.Start { return record.Start{Cause: c, Message: "it said " + string(c)} }
	below := func(limit float64) func(float64, int) record.Start {
		return func(u float64, _ int) record.Start {
			if u <= limit {
				return fits
			}
			return fails(record.CauseOOM)
		}
	}
	always := func(c record.Cause) func(float64, int) record.Start {
		return func(float64, int) record.Start { return fails(c) }
	}
	first := func(n int, c record.Cause, then record.Start) func(float64, int) record.Start {
		return func(_ float64, try int) record.Start {
			if try <= n {
				return fails(c)
			}
			return then
		}
	}
	for _, test := range []struct {
		name   string
		server func(float64, int) record.Start
		starts []float64
		want   ProbeDecision
	}{
		{"the first fits", below(1), nine[:1], ProbeDecision{Action: Accept, Utilization: 0.98}},
		{"one in the middle fits", below(0.955), nine[:4], ProbeDecision{Action: Accept, Utilization: 0.95}},
		{"the last fits", below(0.9), nine, ProbeDecision{Action: Accept, Utilization: 0.90}},
		{"nothing fits", always(record.CauseOOM), nine, ProbeDecision{
			Action: GiveUp, Cause: record.CauseOOM,
			Reason: "no gpu-memory-utilization from 0.98 down to 0.90 fits: it said oom",
		}},
		{
			"refused flags end it at once", always(record.CauseFlags), nine[:1],
			ProbeDecision{Action: GiveUp, Cause: record.CauseFlags, Reason: "it said flags"},
		},
		{"a crash may be chance once", first(1, record.CauseCrash, fits), []float64{0.98, 0.98}, ProbeDecision{Action: Accept, Utilization: 0.98}},
		{
			"a crash twice is an answer", always(record.CauseCrash),
			[]float64{0.98, 0.98},
			ProbeDecision{Action: GiveUp, Cause: record.CauseCrash, Reason: "it said crash"},
		},
		{
			"a hang twice is an answer", always(record.CauseTimeout),
			[]float64{0.98, 0.98},
			ProbeDecision{Action: GiveUp, Cause: record.CauseTimeout, Reason: "it said timeout"},
		},
		{
			"a crash, then memory, goes on", first(1, record.CauseCrash, fails(record.CauseOOM)),
			[]float64{0.98, 0.98, 0.97, 0.97, 0.96, 0.96, 0.95, 0.95, 0.94, 0.94, 0.93, 0.93, 0.92, 0.92, 0.91, 0.91, 0.90, 0.90},
			ProbeDecision{Action: GiveUp, Cause: record.CauseOOM, Reason: "no gpu-memory-utilization from 0.98 down to 0.90 fits: it said oom"},
		},
		{"a taken port is tried on another", first(2, record.CausePort, fits), []float64{0.98, 0.98, 0.98}, ProbeDecision{Action: Accept, Utilization: 0.98}},
		{
			"a port that is always taken ends it", always(record.CausePort),
			[]float64{0.98, 0.98, 0.98},
			ProbeDecision{Action: GiveUp, Cause: record.CausePort, Reason: "it said port"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			starts, got := probe(t, test.server)
			if diff := cmp.Diff(test.starts, utilizations(starts)); diff != "" {
				t.Errorf("starts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("end (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAProbeWithoutAMessageStillHasAReason(t *testing.T) {
	_, d := probe(t, func(float64, int) record.Start { return record.Start{} })
	if d.Action != GiveUp || d.Cause != record.CauseCrash || d.Reason == "" {
		t.Errorf("got %+v", d)
	}
}

func TestAnyProbeEndsAtTheHighestValueThatFits(t *testing.T) {
	causes := []record.Cause{record.CauseOOM, record.CauseOOM, record.CauseOOM, record.CausePort, record.CauseCrash, record.CauseTimeout, record.CauseFlags, ""}
	rapid.Check(t, func(t *rapid.T) {
		starts, d := probe(t, func(u float64, try int) record.Start {
			c := rapid.SampledFrom(causes).Draw(t, "cause")
			return record.Start{OK: c == "" && try < 3, Cause: c, Message: "it said " + string(c)}
		})
		memory := map[float64]bool{}
		for _, s := range starts {
			memory[s.Utilization] = memory[s.Utilization] || s.Cause == record.CauseOOM
		}
		last := starts[len(starts)-1]
		switch d.Action {
		case Accept:
			if !last.OK || d.Utilization != last.Utilization {
				t.Fatalf("accepts %v after %+v", d.Utilization, last)
			}
		case GiveUp:
			if last.OK || d.Cause == record.CauseNone || !strings.Contains(d.Reason, last.Message) {
				t.Fatalf("%+v after %+v", d, last)
			}
		}
		for u, oom := range memory {
			if u > last.Utilization && !oom {
				t.Fatalf("left %v although memory was not why it failed", u)
			}
		}
		if again := NextProbe(policy, rapid.Permutation(starts).Draw(t, "another order")); again.Action != d.Action || again.Utilization != d.Utilization {
			t.Fatalf("%+v, in another order %+v", d, again)
		}
	})
}
