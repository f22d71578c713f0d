package collect

import (
	"slices"
	"testing"

	"vtune/collect/fleet"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// A run that was made again alone is compared with the one beside others, and is nobody's answer.
func TestWhatCellsCostEachOtherIsReportedAndDecidesNothing(t *testing.T) {
	inf := record.Load{Rate: record.Inf, Requests: 100, Purpose: record.Bound}
	run := func(neighbours int, alone bool, rate float64) record.Observation {
		o := record.Observation{Cell: "s1-t1", Load: inf, Neighbours: neighbours, Alone: alone, Verdict: record.Pass, Complete: true}
		o.Metrics.RequestThroughput = rate
		o.Steady = &record.Steady{Throughput: record.Interval{Value: rate, Low: 0.9 * rate, High: 1.1 * rate}}
		return o
	}
	job := JobRecord{Job: record.Job{ID: "s1-t1-1", Kind: record.KindCell, Cell: "s1-t1", Attempt: 1}}
	job.Observations = []record.Observation{run(3, false, 12.1), run(0, true, 12.5)}
	got := fleet.Beside([][]record.Observation{job.Observations})
	if len(got) != 1 || got[0].String() != "s1-t1 completed 12.10 req/s beside 3 others and 12.50 alone: 3.2 % less (each known to 10.0 %)" {
		t.Errorf("%v", got)
	}
	st := newStanding(record.Cell{ID: "s1-t1"}, map[string][]JobRecord{workOf(record.KindCell, "s1-t1"): {job}})
	if len(st.real) != 1 || st.real[0].Alone || len(st.Observations) != 1 {
		t.Errorf("the search is told of %+v", st.real)
	}
	for name, obs := range map[string][]record.Observation{
		"not alone after all": {run(3, false, 12), run(1, true, 12)},
		"never packed":        {run(0, false, 12), run(0, true, 12)},
		"not made again":      {run(3, false, 12)},
	} {
		job.Observations = obs
		if got := fleet.Beside([][]record.Observation{job.Observations}); len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// An allocation that ends early leaves jobs whose turn never came. They go out again, however often it happens.
func TestAJobWhoseTurnNeverCameGoesOutAgainAndIsNotToBlame(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
	w.ends = func(j record.Job) *Seen {
		if j.Kind != record.KindCell || j.Attempt > 12 {
			return nil
		}
		return &Seen{Job: j.ID, Over: true, Cause: record.CauseUnbegun, Word: "NOT BEGUN", Node: "n1"}
	}
	c := w.finish(w.collector()).Cells[0]
	if c.Phase != record.WorkDone || c.Accepted == nil || len(c.Attempts) != 13 || c.Failures != 0 {
		t.Errorf("%s (%s) after %d attempts", c.Phase, c.Message, len(c.Attempts))
	}
	if avoids := w.follow["s8-t256-13"].Avoid; slices.Contains(avoids, "n1") {
		t.Errorf("avoids %s", avoids)
	}
}

// The probe leads its crew, so what rides on it is not the last job's.
func TestARiderOfACrewGoesWithItsFirstJob(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256, 512}, 500)
	probe, cells := w.plan.Units[0].Jobs[0], w.plan.Units[1].Jobs
	w.plan.Units = []record.Unit{{
		ID: "crew-1", Jobs: []record.Job{probe, cells[1]}, Riders: cells[:1], Crew: &record.Crew{Slots: 2, Nodes: 1, Feed: true},
	}}
	log := "probe/1/server-0.98.log"
	for _, j := range append([]record.Job{probe}, cells...) {
		w.claim(j)
		res := record.Result{Outcome: record.OutcomeDone, Complete: true}
		if j.Kind == record.KindProbe {
			res.Starts = []record.Start{{OK: true, LogFile: log}}
		}
		w.must(fsx.PublishJSON(w.dir.Attempt(j.Kind, j.Cell, j.Attempt).Result(), res))
	}
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	scan := Scanner{Dir: w.dir}
	snap, err := scan.Scan()
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range snap.Jobs {
		if rider := j.ID == cells[0].ID; j.Rider != rider || rider && j.ServerLog != log {
			t.Errorf("%s: rider %t, log %q", j.ID, j.Rider, j.ServerLog)
		}
	}
}
