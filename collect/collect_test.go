package collect

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

func TestARunWithoutMishapsIsOverAndHasAWinner(t *testing.T) {
	w := newWorld(t, []int{8, 32}, []int{256, 1024}, 500)
	w.truth["s32-t256"] = curve{throughput: 9.1, meets: 7}
	w.truth["s8-t1024"] = curve{fails: record.CauseOOM}
	w.truth["s32-t1024"] = curve{throughput: 2.5, meets: 0}
	st := w.finish(w.collector())
	if st.Best == nil || st.Best.Cell.ID != "s32-t256" || st.Best.Observation.Load.Rate != 7 {
		t.Fatalf("best: %+v", st.Best)
	}
	for i, want := range []record.WorkPhase{record.WorkDone, record.WorkFailed, record.WorkDone, record.WorkDone} {
		if st.Cells[i].Phase != want {
			t.Errorf("%s is %s, want %s", st.Cells[i].ID, st.Cells[i].Phase, want)
		}
	}
	if n := len(st.Cells[1].Attempts); n != 1 {
		t.Errorf("out of memory was tried %d times", n)
	}
	text, err := os.ReadFile(w.dir.ResultTxt())
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(rows) != 6 || !strings.HasPrefix(rows[0], "hash:") || !strings.HasPrefix(rows[5], "best_max_num_seqs: 32, best_num_batched_tokens: 256,") {
		t.Errorf("result.txt:\n%s", text)
	}
	if target, err := os.Readlink(filepath.Join(string(w.dir), "vllm_log_32_256.txt")); err != nil || target != "cells/s32-t256/1/server.log" {
		t.Errorf("vllm_log_32_256.txt -> %q, %v", target, err)
	}
	if before, after := w.rebuilt(); before != after {
		t.Errorf("the rebuilt state differs:\n%s\n%s", before, after)
	}
}

func TestTheScriptsWinnerIsNotProfiledWhereNoneIsWanted(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
	w.plan.Profile = record.ProfileNone
	w.must(fsx.PublishJSON(w.dir.Plan(), w.plan))
	if st := w.finish(w.collector()); st.Best == nil || st.Profile.Phase != record.WorkSkipped || len(w.follow) > 0 {
		t.Errorf("profile %+v, follow-ups %v", st.Profile, w.follow)
	}
}

// Whatever is lost, cut off or repeated on the way, the answer is the one of an undisturbed run, and the state that one
// collector kept up to date is the state that another one derives from nothing.
func TestMishapsChangeTheWayAndNotTheAnswer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		truth := map[string]curve{}
		for _, id := range []string{"s1-t10", "s1-t20", "s2-t10"} {
			throughput := rapid.Float64Range(0.3, 9).Draw(rt, "throughput "+id)
			truth[id] = curve{throughput: throughput, meets: rapid.IntRange(0, int(throughput)+1).Draw(rt, "meets "+id)}
		}
		w := newWorld(t, []int{1, 2}, []int{10, 20}, 500)
		truth["s2-t20"] = curve{fails: record.CauseOOM}
		w.truth = truth
		left := rapid.IntRange(0, 3).Draw(rt, "mishaps")
		w.mishap = func(j record.Job) mishap {
			if left == 0 || !rapid.Bool().Draw(rt, "strikes "+j.ID) {
				return mishap{}
			}
			left--
			return rapid.SampledFrom([]mishap{
				{node: true},
				{cause: record.CauseLost, after: rapid.IntRange(0, 4).Draw(rt, "after")},
				{cause: record.CauseTimeLimit, after: rapid.IntRange(0, 4).Draw(rt, "after")},
			}).Draw(rt, "mishap")
		}
		if left > 0 {
			w.mishap = onlyOf(w.mishap)
		}
		st := w.finish(w.collector())
		best := record.Cell{}
		throughput := 0.0
		for _, c := range st.Cells {
			want := truth[c.ID].answer(w.plan.Policy)
			if (c.Accepted == nil) != (want == nil) || want != nil && c.Accepted.Load != want.Load {
				rt.Fatalf("%s: accepted %+v, undisturbed %+v", c.ID, c.Accepted, want)
			}
			if want == nil {
				continue
			}
			// As they are printed, so that of equals the first is the best.
			if printed := math.Round(100 * want.Metrics.RequestThroughput); printed > throughput {
				best, throughput = c.Cell, printed
			}
		}
		if (st.Best == nil) != (throughput == 0) || st.Best != nil && st.Best.Cell != best {
			rt.Fatalf("best %+v, undisturbed %+v", st.Best, best)
		}
		if before, after := w.rebuilt(); before != after {
			rt.Fatalf("the rebuilt state differs:\n%s\n%s", before, after)
		}
	})
}

// onlyOf keeps a job that crashed twice from being given up: a crash may be the cell's own answer, a lost node never is.
func onlyOf(f func(record.Job) mishap) func(record.Job) mishap {
	struck := map[string]bool{}
	return func(j record.Job) mishap {
		key := string(j.Kind) + j.Cell
		if struck[key] {
			return mishap{}
		}
		m := f(j)
		if m != (mishap{}) {
			struck[key] = true
		}
		return m
	}
}

func TestAFailedProbeEndsTheRunAtOnce(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256, 512}, 500)
	w.mishap = func(j record.Job) mishap {
		if j.Kind == record.KindProbe {
			return mishap{cause: record.CauseFlags}
		}
		return mishap{}
	}
	c := w.collector()
	if _, err := c.Pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	w.order = w.order[:1] // the cells wait for the probe at the scheduler
	w.work()
	st, err := c.Pass(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	if st.Phase != record.PhaseOver || st.Cells[0].Phase != record.WorkSkipped {
		t.Fatalf("phase %s, first cell %s", st.Phase, st.Cells[0].Phase)
	}
	text, _ := os.ReadFile(w.dir.ResultTxt())
	if !strings.HasSuffix(string(text), "\nbest_max_num_seqs: 0, best_num_batched_tokens: 0, best_throughput: 0\n") {
		t.Errorf("result.txt:\n%s", text)
	}
	if len(w.cancels) != 2 {
		t.Errorf("cancelled %v, want the two cells that wait for ever", w.cancels)
	}
}

func TestAJobThatIsOverOrUnknownIsLostOnlyAfterAGrace(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 0)
	c := w.collector()
	pass := func() record.State {
		t.Helper()
		st, err := c.Pass(context.Background(), true)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	pass()
	delete(w.state, "probe-1")
	w.order = nil
	pass()
	w.now = w.now.Add(59 * time.Second)
	if st := pass(); st.Probe.Phase != record.WorkWaiting {
		t.Fatalf("within the grace the probe is %s", st.Probe.Phase)
	}
	// A new collector goes on counting where the old one stopped.
	c = w.collector()
	w.now = w.now.Add(2 * time.Second)
	if st := pass(); st.Probe.Phase != record.WorkFollowUp || st.Probe.Cause != record.CauseLost {
		t.Fatalf("after the grace the probe is %s (%s)", st.Probe.Phase, st.Probe.Cause)
	}
}

func TestAFailedQueryChangesNothing(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 0)
	c := w.collector()
	if _, err := c.Pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the scheduler is down")
	c.cfg.Look = func(context.Context) ([]Seen, error) { return nil, broken }
	w.now = w.now.Add(time.Hour)
	st, err := c.Pass(context.Background(), true)
	if !errors.Is(err, broken) || st.Probe.Phase != record.WorkWaiting {
		t.Fatalf("probe %s, error %v", st.Probe.Phase, err)
	}
}

func TestACellThatAPersonCancelledIsNotRunAgain(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256, 512}, 0)
	w.mishap = func(j record.Job) mishap {
		if j.Cell == "s8-t256" {
			return mishap{cause: record.CauseStopped, after: 0}
		}
		return mishap{}
	}
	c := w.collector()
	if _, err := c.Pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	w.work()
	w.state["s8-t256-1"] = Seen{Job: "s8-t256-1", Over: true, Cause: record.CauseStopped, Word: "CANCELLED by 1000"}
	st := w.finish(c)
	if got := st.Cells[0]; got.Phase != record.WorkFailed || got.Cause != record.CauseStopped || len(got.Attempts) != 1 {
		t.Fatalf("cell: %s %s, %d attempts", got.Phase, got.Cause, len(got.Attempts))
	}
}

func TestWorkBehindAStuckDependencyIsFreedWhenTheProbeSucceedsLater(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 0)
	w.mishap = func(j record.Job) mishap { return mishap{node: j.ID == "probe-1"} }
	c := w.collector()
	if _, err := c.Pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	w.order = []string{"probe-1"}
	w.work()
	w.state["s8-t256-1"] = Seen{Job: "s8-t256-1", Stuck: true, Word: "PENDING", Reason: "DependencyNeverSatisfied"}
	st := w.finish(c)
	if st.Best == nil || len(st.Cells[0].Attempts) != 2 {
		t.Fatalf("best %+v, attempts %+v", st.Best, st.Cells[0].Attempts)
	}
}

func TestACrashIsTriedTwiceAndThenItIsTheAnswer(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
	w.truth["s8-t256"] = curve{fails: record.CauseCrash}
	st := w.finish(w.collector())
	if got := st.Cells[0]; got.Phase != record.WorkFailed || len(got.Attempts) != 2 {
		t.Fatalf("cell %s after %d attempts", got.Phase, len(got.Attempts))
	}
}

// Attempts are numbers, and their folders sort as words: the tenth comes before the second there.
func TestACellMayTakeMoreThanTenAttempts(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
	w.truth["s8-t256"] = curve{throughput: 13.4, meets: 1}
	w.mishap = func(j record.Job) mishap {
		if j.Kind == record.KindCell {
			return mishap{cause: record.CauseTimeLimit, after: 1}
		}
		return mishap{}
	}
	st := w.finish(w.collector())
	// inf, then 14 down to 1: one load an attempt.
	if c := st.Cells[0]; len(c.Attempts) != 15 || c.Accepted == nil || c.Accepted.Load.Rate != 1 {
		t.Fatalf("%d attempts, accepted %+v", len(c.Attempts), c.Accepted)
	}
	for i, a := range st.Cells[0].Attempts {
		if a.Attempt != i+1 {
			t.Errorf("attempt %d stands at place %d", a.Attempt, i+1)
		}
	}
}

// The site's limit of cells at once holds for follow-ups too, beside the array and beside each other.
func TestFollowUpsKeepWithinMaxParallel(t *testing.T) {
	w := newWorld(t, []int{1, 2, 3}, []int{10, 20}, 500)
	w.plan.MaxParallel, w.plan.Units[1].Throttle = 2, 2
	if err := fsx.PublishJSON(w.dir.Plan(), w.plan); err != nil {
		t.Fatal(err)
	}
	w.mishap = func(j record.Job) mishap {
		if j.Kind == record.KindCell && j.Attempt == 1 {
			return mishap{cause: record.CauseRateLater, after: 1}
		}
		return mishap{}
	}
	c := w.collector()
	most := 0
	for {
		st, err := c.Pass(context.Background(), true)
		if err != nil {
			t.Fatal(err)
		}
		if st.Phase.Over() {
			break
		}
		array, alone := 0, 0
		for _, id := range w.order {
			if strings.HasSuffix(id, "-1") && id[0] == 's' {
				array++
			} else if id[0] == 's' {
				alone++
			}
		}
		if out := min(array, 2) + alone; out > 2 {
			t.Fatalf("%d cells at once: %v", out, w.order)
		} else if alone > most {
			most = alone
		}
		// One job after another ends, as in life.
		rest := w.order[min(1, len(w.order)):]
		w.order = w.order[:min(1, len(w.order))]
		w.work()
		w.order = rest
		w.now = w.now.Add(time.Second)
	}
	if most != 2 {
		t.Errorf("at most %d follow-ups at once, want the 2 that are allowed", most)
	}
}

func TestACancelledRunDecidesNothing(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 0)
	if err := fsx.PublishJSON(w.dir.Cancelled(), record.Cancelled{By: "me"}); err != nil {
		t.Fatal(err)
	}
	st, err := w.collector().Pass(context.Background(), true)
	if err != nil || st.Phase != record.PhaseCancelled || len(w.units) != 0 {
		t.Fatalf("phase %s, %d units out, %v", st.Phase, len(w.units), err)
	}
}

// A torn or half-written record is not there yet, and what nobody finished is nobody's business.
func TestWhatDoesNotParseIsNotThereYet(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 0)
	c := w.collector()
	if _, err := c.Pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	dir := w.dir.Attempt(record.KindCell, "s8-t256", 1)
	if err := os.MkdirAll(dir.Observations(), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		dir.Result():                            `{"schema":1,"outcome":"done"`,
		dir.Observation(1):                      `{"verdict":"pass"}`,
		dir.Observation(2) + ".tmp-123":         `{"verdict":"pass","complete":true}`,
		filepath.Join(w.dir.Jobs(), "stray"):    "",
		filepath.Join(w.dir.Events(), "x.tmp-"): "",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	st, err := c.Pass(context.Background(), false)
	if err != nil || len(st.Cells[0].Observations) != 0 || st.Cells[0].Phase.Final() {
		t.Fatalf("cell %+v, %v", st.Cells[0], err)
	}
}

func TestWatchEndsWhenTheRunIsOverAndTellsEachEventOnce(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 0)
	c := w.collector()
	if err := fsx.PublishJSON(filepath.Join(w.dir.Events(), "probe-1.0001.started.json"), record.Event{What: "started"}); err != nil {
		t.Fatal(err)
	}
	var events []string
	pace := Pace{Rescan: time.Millisecond, AskMin: time.Second, AskMax: time.Minute, Full: time.Second}
	st, err := c.Watch(context.Background(), pace, Report{
		Event: func(e record.Event) { events = append(events, e.What) },
		Pass: func(record.State, error) {
			w.work()
			w.now = w.now.Add(2 * time.Minute)
		},
	})
	if err != nil || st.Phase != record.PhaseOver || len(events) != 1 {
		t.Fatalf("phase %s, events %v, %v", st.Phase, events, err)
	}
}

func BenchmarkPass1000Cells(b *testing.B) {
	var seqs, tokens []int
	for i := range 40 {
		seqs = append(seqs, i+1)
	}
	for i := range 25 {
		tokens = append(tokens, 100+i)
	}
	w := newWorld(b, seqs, tokens, 500)
	c := w.collector()
	for range 2 {
		if _, err := c.Pass(context.Background(), true); err != nil {
			b.Fatal(err)
		}
		w.work()
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.collector().Pass(context.Background(), false); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("next", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.Pass(context.Background(), false); err != nil {
				b.Fatal(err)
			}
		}
	})
}
