package collect

import (
	"os"
	"testing"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// newClaim is a world in which one cell is said to hold a rate, with a memory utilization that is known.
func newClaim(t *testing.T, rate float64, holds int) *world {
	w := newTuned(t, record.ShapeCells, []int{8}, []int{256})
	w.plan.Profile = record.ProfileNone
	w.plan.Policy.Verify = record.Verification{Rate: rate, Seconds: 600, Utilization: 0.93}
	w.plan.Units = []record.Unit{{ID: "s8-t256-1", Jobs: []record.Job{{ID: "s8-t256-1", Kind: record.KindCell, Cell: "s8-t256", Attempt: 1}}}}
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	w.truth["s8-t256"] = curve{throughput: 2 * float64(holds), meets: holds}
	return w
}

func TestARunThatChecksAClaimIsOverWithItsOneLongLoad(t *testing.T) {
	for _, test := range []struct {
		rate  float64
		holds bool
	}{{9.5, true}, {10.5, false}} {
		w := newClaim(t, test.rate, 10)
		st := w.finish(w.collector())
		c := st.Cells[0]
		if st.Phase != record.PhaseOver || c.Phase != record.WorkDone || (st.Best != nil) != test.holds || st.Utilization != 0.93 || len(c.Observations) != 2 {
			t.Errorf("%g req/s: %s, %+v, best %+v at %g", test.rate, st.Phase, c, st.Best, st.Utilization)
		}
		if o := c.Observations[1]; o.Load.Purpose != record.Verify || float64(o.Load.Rate) != test.rate || (o.Verdict == record.Pass) != test.holds {
			t.Errorf("%g req/s: %+v", test.rate, o)
		}
		if len(w.units) != 1 || st.Probe.Phase != record.WorkDone || len(st.Probe.Attempts) != 0 {
			t.Errorf("units %v, probe %+v", w.units, st.Probe)
		}
		if before, after := w.rebuilt(); before != after {
			t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
		}
	}
}

// What was cut off says nothing: the next attempt puts the whole load on again. What bounds the rate is known by then.
func TestALongLoadThatWasCutOffIsMadeAnew(t *testing.T) {
	w := newClaim(t, 9.5, 10)
	w.mishap = func(j record.Job) mishap {
		if j.Attempt <= 2 {
			return mishap{after: 2 - j.Attempt, cause: record.CausePreempted} // in the middle of the long load, both times
		}
		return mishap{}
	}
	st := w.finish(w.collector())
	c := st.Cells[0]
	if st.Best == nil || len(c.Attempts) != 3 || len(c.Observations) != 2 || c.Accepted.Attempt != 3 || c.Accepted.Load.Requests != 5700 {
		t.Fatalf("best %+v, %+v", st.Best, c)
	}
	if f := w.follow["s8-t256-3"]; f.Utilization != 0.93 || len(f.Known) != 1 || f.Known[0].Load.Purpose != record.Bound {
		t.Errorf("it goes on from %+v", f)
	}
	if _, err := os.Stat(w.dir.Work(record.KindProbe, "")); err == nil {
		t.Error("somebody probed")
	}
}

func TestAClaimThatNothingCouldBeMeasuredOfHasNoAnswer(t *testing.T) {
	w := newClaim(t, 9.5, 10)
	w.truth["s8-t256"] = curve{fails: record.CauseOOM}
	st := w.finish(w.collector())
	if c := st.Cells[0]; st.Phase != record.PhaseOver || st.Best != nil || c.Phase != record.WorkFailed || c.Cause != record.CauseOOM || len(c.Attempts) != 1 {
		t.Errorf("%s, %+v", st.Phase, c)
	}
}
