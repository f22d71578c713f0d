package collect

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

var shapes = []record.Shape{record.ShapeCells, record.ShapeColumns}

func TestARunOfMethodVtuneFindsTheCellThatHoldsMost(t *testing.T) {
	for _, shape := range shapes {
		t.Run(string(shape), func(t *testing.T) {
			w := newTuned(t, shape, []int{8, 32, 64}, []int{256, 1024})
			w.traces = true
			for id, meets := range map[string]int{"s8-t256": 20, "s32-t256": 40, "s64-t256": 30, "s8-t1024": 18, "s32-t1024": 31, "s64-t1024": 28} {
				w.truth[id] = curve{throughput: 1.5 * float64(meets), meets: meets}
			}
			st := w.finish(w.collector())
			if st.Best == nil || st.Best.Cell.ID != "s32-t256" || st.Best.Observation.Load.Rate < 37 || st.Best.Observation.Emulated {
				t.Fatalf("best: %+v", st.Best)
			}
			for _, c := range st.Cells {
				if c.Phase != record.WorkDone || (c.Accepted == nil) != (c.Left || c.Emulated) || c.Left != (c.Bound > 0 && c.Message != "") {
					t.Errorf("%s: %s, accepted %t, left %t below %v, %q", c.ID, c.Phase, c.Accepted != nil, c.Left, c.Bound, c.Message)
				}
				if real := slices.ContainsFunc(c.Observations, func(o record.Observation) bool { return !o.Emulated }); c.Emulated == real {
					t.Errorf("%s: emulated %t, real %t", c.ID, c.Emulated, real)
				}
			}
			if st.Profile.Phase != record.WorkDone || len(st.Profile.Attempts) != 0 || len(st.ProfileFiles) != 1 {
				t.Errorf("profile %+v, %v", st.Profile, st.ProfileFiles)
			}
			if before, after := w.rebuilt(); before != after {
				t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
			}
			for _, name := range []string{"vllm_log_64_1024.txt", "vllm_log_32_256.txt"} {
				if _, err := os.Stat(filepath.Join(string(w.dir), name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestMishapsChangeTheWayOfMethodVtuneAndNotTheAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTuned(t, rapid.SampledFrom(shapes).Draw(rt, "shape"), []int{1, 2, 4}, []int{10, 20})
		w.traces = rapid.Bool().Draw(rt, "traces")
		best := 0
		for _, c := range w.plan.Cells {
			meets := rapid.IntRange(5, 60).Draw(rt, "meets "+c.ID)
			w.truth[c.ID] = curve{throughput: 1.5 * float64(meets), meets: meets}
			best = max(best, meets)
		}
		left := rapid.IntRange(0, 3).Draw(rt, "mishaps")
		w.mishap = onlyOf(func(j record.Job) mishap {
			if left == 0 || !rapid.Bool().Draw(rt, "strikes "+j.ID) {
				return mishap{}
			}
			left--
			return rapid.SampledFrom([]mishap{
				{node: true},
				{cause: record.CauseLost, after: rapid.IntRange(0, 12).Draw(rt, "after")},
				{cause: record.CauseTimeLimit, after: rapid.IntRange(0, 12).Draw(rt, "after")},
				{cause: record.CauseCrash, after: rapid.IntRange(0, 12).Draw(rt, "after")},
			}).Draw(rt, "mishap")
		})
		st := w.finish(w.collector())
		if st.Best == nil {
			rt.Fatalf("no winner: %+v", st.Cells)
		}
		if got := w.truth[st.Best.Cell.ID].meets; float64(got) < 0.9*float64(best) {
			rt.Fatalf("%s holds %d, the best %d", st.Best.Cell.ID, got, best)
		}
		for _, c := range st.Cells {
			if c.Phase != record.WorkDone || c.Accepted == nil && !c.Left {
				rt.Errorf("%s: %s, left %t, %q", c.ID, c.Phase, c.Left, c.Message)
			}
		}
		if before, after := w.rebuilt(); before != after {
			rt.Fatalf("the rebuilt state differs:\n%s\n%s", before, after)
		}
	})
}

// What was explored in columns is confirmed on servers that each cost a start: the next is decided upon when the last has spoken.
func TestCandidatesGetTheirServersOneByOneTheMostPromisingFirst(t *testing.T) {
	w := newTuned(t, record.ShapeColumns, []int{8, 32}, []int{256, 1024})
	w.plan.Policy.Prune = record.PruneNone // all of them go on to the end
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	for id, meets := range map[string]int{"s8-t256": 20, "s32-t256": 30, "s8-t1024": 40, "s32-t1024": 10} {
		w.truth[id] = curve{throughput: 1.5 * float64(meets), meets: meets}
	}
	c := w.collector()
	var order []string
	for range 100 {
		st, err := c.Pass(context.Background(), true)
		w.must(err)
		if st.Phase.Over() {
			break
		}
		var own []string
		for _, id := range w.order {
			if f, follow := w.follow[id]; follow && f.Kind == record.KindCell {
				own = append(own, f.Cell)
				if f.Hint == 0 || slices.ContainsFunc(f.Known, func(o record.Observation) bool { return o.Emulated }) {
					t.Errorf("%s goes on from %+v", id, f)
				}
			}
		}
		if len(own) > 1 {
			t.Errorf("%v at once", own)
		}
		order = append(order, own...)
		w.work()
		w.now = w.now.Add(2 * time.Minute)
	}
	if want := []string{"s8-t1024", "s32-t256", "s8-t256", "s32-t1024"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
}

// An emulation that a cell's own server contradicts is not believed of the others either: what it ruled out by little is measured.
func TestCellsThatAWrongEmulationRuledOutAreMeasured(t *testing.T) {
	w := newTuned(t, record.ShapeColumns, []int{8, 32, 64}, []int{256})
	for id, meets := range map[string]int{"s8-t256": 40, "s32-t256": 20, "s64-t256": 35} {
		w.truth[id] = curve{throughput: 1.5 * float64(meets), meets: meets}
	}
	w.emulation = map[string]curve{"s8-t256": {throughput: 51, meets: 34}, "s32-t256": {throughput: 60, meets: 40}}
	st := w.finish(w.collector())
	if st.Best == nil || st.Best.Cell.ID != "s8-t256" || len(st.Warnings) != 1 {
		t.Errorf("best %+v, warnings %q", st.Best, st.Warnings)
	}
	if before, after := w.rebuilt(); before != after {
		t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
	}
}

// A rider shares its carrier's fate: when the carrier is over and the rider left no result, the rider is lost, whatever the probe
// found.
func TestARiderThatItsCarrierLeftBehindIsFollowedUp(t *testing.T) {
	w := newTuned(t, record.ShapeCells, []int{8}, []int{256})
	w.mishap = func(j record.Job) mishap {
		if j.ID == "s8-t256-1" {
			return mishap{node: true}
		}
		return mishap{}
	}
	st := w.finish(w.collector())
	if a := st.Cells[0].Attempts; len(a) != 2 || a[0].Outcome != "" || !a[0].Ended || a[0].Submitted == "" || st.Best == nil || len(st.Probe.Attempts) != 1 {
		t.Errorf("attempts %+v, best %+v", a, st.Best)
	}
}

func TestAColumnThatWasCutShortGoesOnAsOne(t *testing.T) {
	w := newTuned(t, record.ShapeColumns, []int{1, 2, 4}, []int{10})
	w.mishap = func(j record.Job) mishap {
		if j.ID == "s4-t10-1" {
			return mishap{cause: record.CauseTimeLimit, after: 1}
		}
		return mishap{}
	}
	for _, id := range []string{"s1-t10", "s2-t10", "s4-t10"} {
		w.truth[id] = curve{throughput: 9, meets: 6}
	}
	w.finish(w.collector())
	if f := w.follow["s4-t10-2"]; len(f.Emulates) != 2 || len(f.Known) != 1 {
		t.Errorf("the column's next job: %+v", f)
	}
}

// Without memory for its server a column says nothing about cells with fewer max-num-seqs.
func TestCellsOfAColumnThatFailedGetServersOfTheirOwn(t *testing.T) {
	w := newTuned(t, record.ShapeColumns, []int{1, 2}, []int{10})
	w.truth["s2-t10"] = curve{fails: record.CauseOOM}
	w.truth["s1-t10"] = curve{throughput: 9, meets: 6}
	st := w.finish(w.collector())
	if st.Best == nil || st.Best.Cell.ID != "s1-t10" || st.Cells[1].Phase != record.WorkFailed || st.Cells[1].Cause != record.CauseOOM {
		t.Errorf("best %+v, cells %+v", st.Best, st.Cells)
	}
	w = newTuned(t, record.ShapeColumns, []int{1, 2}, []int{10})
	w.truth["s2-t10"] = curve{fails: record.CauseFlags}
	st = w.finish(w.collector())
	if st.Best != nil || st.Cells[0].Phase != record.WorkFailed || st.Cells[0].Cause != record.CauseFlags || len(st.Cells[0].Attempts) > 0 {
		t.Errorf("%+v", st.Cells)
	}
}

func TestWhatAModelRulesOutIsNotRun(t *testing.T) {
	w := newTuned(t, record.ShapeCells, []int{8}, []int{256, 512, 1024, 2048})
	w.plan.Policy.Prune, w.plan.Policy.Limits = record.PruneModel, nil // throughputs tell apart what a limit leaves open
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	for id, meets := range map[string]int{"s8-t256": 40, "s8-t512": 20, "s8-t1024": 19, "s8-t2048": 18} {
		w.truth[id] = curve{throughput: 1.5 * float64(meets), meets: meets}
	}
	c := w.collector()
	for range 100 {
		st, err := c.Pass(context.Background(), true)
		w.must(err)
		if st.Phase.Over() {
			if w.truth[st.Best.Cell.ID].meets != 40 {
				t.Errorf("%+v", st.Best)
			}
			if last := st.Cells[2]; !last.Left || last.Bound == 0 || len(last.Observations) > 0 || last.Phase != record.WorkDone {
				t.Errorf("%+v", last)
			}
			break
		}
		rest := w.order[min(1, len(w.order)):] // one job after another
		w.order = w.order[:min(1, len(w.order))]
		w.work()
		w.order = append(slices.DeleteFunc(rest, func(id string) bool { return slices.Contains(w.cancels, id) }), w.order...)
		w.now = w.now.Add(time.Second)
	}
	if !slices.Equal(slices.Compact(w.cancels), []string{"s8-t1024-1"}) { // again at each pass, until it is over
		t.Errorf("cancelled %v", w.cancels)
	}
	if before, after := w.rebuilt(); before != after {
		t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
	}
}

func TestTheWinnersTraceReplacesThatOfAnEarlierWinner(t *testing.T) {
	w := newTuned(t, record.ShapeCells, []int{8}, []int{256})
	w.traces = true
	earlier := filepath.Join(w.dir.Profile(), "earlier.pt.trace.json.gz")
	w.must(os.Symlink("../cells/s9-t9/1/trace/earlier.pt.trace.json.gz", earlier))
	kept := filepath.Join(w.dir.Profile(), "a-file-of-somebody")
	w.must(os.WriteFile(kept, nil, 0o644))
	st := w.finish(w.collector())
	names, err := filepath.Glob(filepath.Join(w.dir.Profile(), "*"))
	if err != nil || len(names) != 2 || slices.Contains(names, earlier) || !slices.Contains(names, kept) {
		t.Errorf("%v, %v", names, err)
	}
	for _, f := range st.ProfileFiles {
		if data, err := os.ReadFile(filepath.Join(w.dir.Profile(), filepath.Base(f))); err != nil || len(data) == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func TestAWinnerWithoutATraceGetsAProfileOfItsOwnIfOneIsWanted(t *testing.T) {
	for with, jobs := range map[record.Profiling]int{record.ProfileConfirm: 1, record.ProfileOwnStart: 1, record.ProfileNone: 0} {
		w := newTuned(t, record.ShapeCells, []int{8}, []int{256})
		w.plan.Profile, w.traces = with, with == record.ProfileOwnStart
		w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
		st := w.finish(w.collector())
		if len(st.Profile.Attempts) != jobs || st.Best == nil {
			t.Errorf("%s: profile %+v", with, st.Profile)
		}
		for _, f := range st.ProfileFiles {
			if !strings.HasPrefix(f, "profile/") {
				t.Errorf("%s: %s", with, f)
			}
		}
	}
}

func TestWhatALoadLeftOfTheUtilizationIsWhatFollowUpsStartWith(t *testing.T) {
	w := newTuned(t, record.ShapeCells, []int{8}, []int{256})
	w.mishap = func(j record.Job) mishap {
		if j.ID == "s8-t256-1" {
			return mishap{cause: record.CauseTimeLimit, after: 1}
		}
		return mishap{}
	}
	w.lowered = 0.94
	st := w.finish(w.collector())
	if st.Cells[0].Utilization != 0.94 || w.follow["s8-t256-2"].Utilization != 0.94 || st.Utilization != 0.98 {
		t.Errorf("cell %v, follow-up %+v", st.Cells[0].Utilization, w.follow["s8-t256-2"])
	}
	if f := w.follow["profile-1"]; f.Utilization != 0.94 {
		t.Errorf("profile at %v", f.Utilization)
	}
}
