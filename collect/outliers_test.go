package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"vtune/collect/fleet"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// newCompared is a run of method vtune on four nodes. Without its nodes' differences s4-t10 would win.
func newCompared(t testing.TB, shape record.Shape, repeat bool) *world {
	t.Helper()
	w := newTuned(t, shape, []int{1, 2, 4}, []int{10, 20, 30, 40})
	w.farm, w.plan.RepeatOutliers, w.traces = newFarm(4), repeat, true
	for i, c := range w.plan.Cells {
		w.truth[c.ID] = curve{throughput: 60, meets: 30 - i}
	}
	w.truth["s4-t10"] = curve{throughput: 90, meets: 45}
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	return w
}

func TestWhatWasMeasuredOnASlowNodeIsMarked(t *testing.T) {
	w := newCompared(t, record.ShapeCells, false)
	w.farm.slow["n3"] = 0.23
	w.farm.hot["n2"] = true
	st := w.finish(w.collector())
	there, hot := 0, 0
	for _, c := range st.Cells {
		for _, a := range c.Attempts {
			if slow := a.Slow > 0.18 && a.Slow < 0.28; slow != (a.Node == "n3") || a.Slow > 0 && !slow {
				t.Errorf("%s on %s: %v slow", a.Job, a.Node, a.Slow)
			}
			if (len(a.Throttled) > 0) != (a.Node == "n2") {
				t.Errorf("%s on %s: %v", a.Job, a.Node, a.Throttled)
			}
			if a.Node == "n3" && len(c.Observations) > 0 {
				there++
			}
			if a.Node == "n2" && len(c.Observations) > 0 {
				hot++
			}
		}
	}
	if there == 0 || hot == 0 || len(w.follow) != 0 {
		t.Fatalf("%d on n3, %d on n2, follow-ups %v", there, hot, w.follow)
	}
	if len(st.Warnings) != 2 || !strings.HasPrefix(st.Warnings[0], "n3 is 2") || !strings.Contains(st.Warnings[0], "% slower than the run's other nodes (self-check: ") ||
		strings.Count(st.Warnings[0], "-t") != there || !strings.HasPrefix(st.Warnings[1], "n2 had hardware thermal slowdown of GPU 2: ") {
		t.Errorf("%q", st.Warnings)
	}
	if len(st.Nodes) != 4 || st.Nodes[2].Node != "n3" || st.Nodes[2].Slow == 0 || st.Nodes[0].Slow != 0 || st.Nodes[0].Checks == 0 {
		t.Errorf("%+v", st.Nodes)
	}
	if before, after := w.rebuilt(); before != after {
		t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
	}
}

// rounds holds that each cell was begun again at most once, and returns how many were.
func (w *world) rounds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(w.dir.Repeats())
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	w.must(err)
	asked := map[string]int{}
	for _, r := range fleet.Read(w.dir) {
		if asked[r.Cell]++; asked[r.Cell] > 1 {
			t.Errorf("%s is repeated twice", r.Cell)
		}
	}
	return len(entries)
}

func TestWhatWasMeasuredOnASlowNodeIsRepeatedElsewhere(t *testing.T) {
	for _, shape := range shapes {
		for _, node := range []string{"n1", "n2", "n3", "n4"} {
			t.Run(string(shape)+" "+node, func(t *testing.T) {
				w := newCompared(t, shape, true)
				w.farm.slow[node] = 0.6
				c := w.collector()
				st := w.finish(c)
				if n := w.rounds(t); n == 0 && shape == record.ShapeCells {
					t.Fatalf("nothing was repeated: %+v, %q", st.Nodes, st.Warnings)
				}
				s, err := c.scan.Scan()
				w.must(err)
				for _, r := range s.Repeats {
					f := w.follow[fmt.Sprintf("%s-%d", r.Cell, r.From)]
					if column := shape == record.ShapeColumns && r.From == 2; column && len(f.Emulates) != 2 || !column && len(f.Emulates) != 0 {
						t.Errorf("%s is repeated by a server that stands for %v too", r.Cell, f.Emulates)
					}
				}
				for _, cell := range st.Cells {
					for _, j := range fleet.Made(s.Fleet()).Of(cell) {
						if j.Claim.Node == node && s.Repeats.From(cell.ID)+s.Repeats.From(j.Cell) > 0 {
							t.Errorf("%s still rests on %s", cell.ID, j.ID)
						}
					}
				}
				if st.Best == nil || st.Best.Cell.ID != "s4-t10" || st.Best.Observation.Load.Rate < 41 {
					t.Errorf("best %+v", st.Best)
				}
				if again := Decide(s, st); len(again.FollowUps)+len(again.Unsubmitted) > 0 {
					t.Errorf("an over run goes on: %+v", again)
				}
				if before, after := w.rebuilt(); before != after {
					t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
				}
			})
		}
	}
}

// Until a repetition has shown something, what is known stands; then it does not count any more.
func TestARepetitionReplacesWhatWasKnownWhenItHasSomethingToShow(t *testing.T) {
	w := newCompared(t, record.ShapeCells, false)
	c := w.collector()
	st := w.finish(c)
	before := st.Best.Observation
	s, err := c.scan.Scan()
	w.must(err)
	all, err := fleet.Wished(st, s.Fleet(), fleet.Wish{Cells: []string{"s4-t10"}, Avoid: []string{"n2"}, By: "me"})
	w.must(err)
	if len(all) != 1 || all[0].From != 2 || all[0].By != "me" || !slices.Equal(all[0].Avoid, []string{"n2"}) {
		t.Fatalf("%+v", all)
	}
	w.must(fleet.Ask(w.dir, all[0]))
	if err := fleet.Ask(w.dir, all[0]); !errors.Is(err, fs.ErrExist) {
		t.Errorf("asked for twice: %v", err)
	}
	w.truth["s4-t10"] = curve{throughput: 80, meets: 40} // a little less, this time
	st, err = c.Pass(context.Background(), true)
	w.must(err)
	cell := st.Cells[slices.IndexFunc(st.Cells, func(c record.CellState) bool { return c.ID == "s4-t10" })]
	if st.Phase != record.PhaseMeasuring || cell.Phase != record.WorkFollowUp || cell.Accepted == nil || st.Best == nil || st.Best.Observation.Load != before.Load {
		t.Errorf("%s, %s, accepted %v, best %v", st.Phase, cell.Phase, cell.Accepted != nil, st.Best)
	}
	if f, out := w.follow["s4-t10-2"]; !out || len(f.Known) != 0 || !slices.Contains(f.Avoid, "n2") || f.Attempt != 2 {
		t.Fatalf("%+v", w.follow)
	}
	st, err = c.Pass(context.Background(), true) // the job waits in the queue
	w.must(err)
	if st.Phase != record.PhaseMeasuring || len(w.cancels) != 0 || len(w.follow) != 1 {
		t.Errorf("%s, cancelled %v, follow-ups %v", st.Phase, w.cancels, w.follow)
	}
	st = w.finish(c)
	if st.Best == nil || st.Best.Cell.ID != "s4-t10" || st.Best.Observation.Attempt != 2 || st.Best.Observation.Load.Rate > 40 || st.Best.Observation.Load.Rate >= before.Load.Rate {
		t.Errorf("best %+v", st.Best)
	}
	cell = st.Cells[slices.IndexFunc(st.Cells, func(c record.CellState) bool { return c.ID == "s4-t10" })]
	if len(cell.Attempts) != 2 || slices.ContainsFunc(cell.Observations, func(o record.Observation) bool { return o.Attempt != 2 }) {
		t.Errorf("%d attempts, %+v", len(cell.Attempts), cell.Observations)
	}
	if before, after := w.rebuilt(); before != after {
		t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
	}
}

func TestARepetitionThatFailsLeavesTheAnswerThatThereWas(t *testing.T) {
	w := newCompared(t, record.ShapeCells, false)
	c := w.collector()
	st := w.finish(c)
	w.must(fleet.Ask(w.dir, record.Repeat{Cell: "s4-t10", From: 2}))
	w.truth["s4-t10"] = curve{fails: record.CauseFlags}
	again := w.finish(c)
	if again.Best == nil || again.Best.Observation.Load != st.Best.Observation.Load || again.Best.Observation.Attempt != 1 {
		t.Errorf("best %+v, was %+v", again.Best, st.Best)
	}
	if _, out := w.follow["s4-t10-2"]; !out {
		t.Error("it was not tried")
	}
}

func TestARunThatWasCancelledIsNotRepeatedAndKeepsItsAnswers(t *testing.T) {
	w := newCompared(t, record.ShapeCells, true)
	c := w.collector()
	before := w.finish(c)
	w.must(fleet.Ask(w.dir, record.Repeat{Cell: "s4-t10", From: 2}))
	w.must(fsx.PublishJSON(w.dir.Cancelled(), record.Cancelled{By: "me"}))
	st, err := c.Pass(context.Background(), true)
	if err != nil || st.Phase != record.PhaseCancelled || len(w.follow) != 0 {
		t.Errorf("%s, %v, %v", st.Phase, err, w.follow)
	}
	i := slices.IndexFunc(st.Cells, func(c record.CellState) bool { return c.ID == "s4-t10" })
	if st.Cells[i].Phase != record.WorkDone || st.Cells[i].Accepted == nil || st.Best.Observation.Load != before.Best.Observation.Load {
		t.Errorf("%+v", st.Cells[i].WorkState)
	}
}

// Where every node is hot, another one is no better.
func TestWhatIsTrueOfMostNodesIsNotRepeated(t *testing.T) {
	w := newCompared(t, record.ShapeCells, true)
	for _, n := range w.farm.names[:3] {
		w.farm.hot[n] = true
	}
	if st := w.finish(w.collector()); w.rounds(t) != 0 || len(st.Warnings) != 3 {
		t.Errorf("%d repeated, %q", w.rounds(t), st.Warnings)
	}
	w = newCompared(t, record.ShapeCells, true)
	w.farm.hot["n2"] = true
	if w.finish(w.collector()); w.rounds(t) == 0 {
		t.Error("what one hot node measured was not repeated")
	}
}

// A cell that was only emulated gets a server of its own when somebody wants it measured again.
func TestAnEmulatedCellIsRepeatedOnAServerOfItsOwn(t *testing.T) {
	w := newCompared(t, record.ShapeColumns, false)
	c := w.collector()
	st := w.finish(c)
	i := slices.IndexFunc(st.Cells, func(c record.CellState) bool { return c.Emulated && c.MaxNumBatchedTokens > 10 })
	if i < 0 {
		t.Fatal("no cell is emulated")
	}
	cell := st.Cells[i].ID
	s, err := c.scan.Scan()
	w.must(err)
	native := "s4" + cell[strings.Index(cell, "-"):] // its column's turn at the same time is not its own
	all, err := fleet.Wished(st, s.Fleet(), fleet.Wish{Cells: []string{cell, native}})
	w.must(err)
	if len(all) != 2 || all[0].From != 1 || all[1].From != 2 {
		t.Fatalf("%+v", all)
	}
	for _, r := range all {
		w.must(fleet.Ask(w.dir, r))
	}
	st = w.finish(c)
	if slices.ContainsFunc(slices.Collect(maps.Values(w.follow)), func(f FollowUp) bool { return slices.Contains(f.Emulates, cell) }) {
		t.Errorf("%s rides again: %+v", cell, w.follow)
	}
	if now := st.Cells[i]; now.Emulated || len(now.Attempts) != 1 || len(now.Observations) == 0 || len(w.follow[cell+"-1"].Emulates) != 0 {
		t.Errorf("%s: emulated %t, %+v", cell, now.Emulated, now.Attempts)
	}
	if before, after := w.rebuilt(); before != after {
		t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
	}
}

func TestAWishMustMakeSense(t *testing.T) {
	w := newCompared(t, record.ShapeCells, false)
	w.farm.slow["n3"] = 0.4
	c := w.collector()
	st := w.finish(c)
	s, err := c.scan.Scan()
	w.must(err)
	if _, err := fleet.Wished(st, s.Fleet(), fleet.Wish{Cells: []string{"s9-t9"}}); err == nil {
		t.Error("a cell that the run does not have")
	}
	if all, err := fleet.Wished(st, s.Fleet(), fleet.Wish{Outliers: true}); err != nil || len(all) == 0 || !slices.Equal(all[0].Avoid, []string{"n3"}) || !strings.Contains(all[0].Reason, "n3 is ") {
		t.Errorf("%+v, %v", all, err)
	}
	st.Cells[0].Phase = record.WorkRunning
	if _, err := fleet.Wished(st, s.Fleet(), fleet.Wish{Cells: []string{st.Cells[0].ID}}); err == nil {
		t.Error("a cell that is being measured")
	}
}

// Whatever happens on the way, a run with a slow node ends, with the cell that holds most, and the same state from nothing.
func TestMishapsAndASlowNodeChangeTheWayAndNotTheAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTuned(t, rapid.SampledFrom(shapes).Draw(rt, "shape"), []int{1, 4}, []int{10, 20, 30})
		w.farm, w.plan.RepeatOutliers = newFarm(4), true
		w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
		w.traces = true
		w.farm.slow[rapid.SampledFrom(w.farm.names).Draw(rt, "slow")] = 0.5
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
				{node: true}, {cause: record.CauseLost}, {cause: record.CauseTimeLimit, after: rapid.IntRange(0, 12).Draw(rt, "after")},
			}).Draw(rt, "mishap")
		})
		st := w.finish(w.collector())
		if st.Best == nil {
			rt.Fatalf("no winner: %+v", st.Cells)
		}
		compared := slices.ContainsFunc(st.Nodes, func(n record.NodeState) bool { return n.Slow > 0 })
		if got := w.truth[st.Best.Cell.ID].meets; compared && float64(got) < 0.9*float64(best) {
			rt.Fatalf("%s holds %d, the best %d: %+v", st.Best.Cell.ID, got, best, st.Nodes)
		}
		w.rounds(t)
		if before, after := w.rebuilt(); before != after {
			rt.Fatalf("the rebuilt state differs:\n%s\n%s", before, after)
		}
	})
}
