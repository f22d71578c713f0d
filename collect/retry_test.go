package collect

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"vtune/internal/record"
)

// Each cause of an end has a policy of its own: how often it is tried again, and whether elsewhere.
func TestEachCauseHasItsPolicyAndItsCap(t *testing.T) {
	for cause, want := range map[record.Cause]struct {
		attempts int
		avoids   bool
	}{
		record.CauseNode:      {4, true},
		record.CauseLaunch:    {4, true},
		record.CausePreempted: {10, false},
		record.CauseRestart:   {10, false},
		record.CauseTimeLimit: {4, false},
		record.CauseLost:      {4, false},
		record.CauseHostOOM:   {2, false},
		record.CauseAgent:     {2, false},
		record.CauseStopped:   {1, false},
		record.CauseOOM:       {1, false},
	} {
		t.Run(string(cause), func(t *testing.T) {
			w := newWorld(t, []int{8}, []int{256}, 500)
			tried := 0
			w.ends = func(j record.Job) *Seen {
				if j.Kind != record.KindCell {
					return nil
				}
				if avoids := len(w.follow[j.ID].Avoid) > 0; tried > 0 && avoids != want.avoids {
					t.Errorf("attempt %d avoids %v", j.Attempt, w.follow[j.ID].Avoid)
				}
				tried++
				return &Seen{Job: j.ID, Over: true, Cause: cause, Word: "ENDED", Node: fmt.Sprintf("n%d", tried)}
			}
			st := w.finish(w.collector())
			c := st.Cells[0]
			if c.Phase != record.WorkFailed || c.Cause != cause || tried != want.attempts || len(c.Attempts) != tried {
				t.Errorf("%s (%s) after %d attempts, want %d", c.Phase, c.Cause, tried, want.attempts)
			}
			if want.attempts > 1 && (c.Failures != want.attempts || c.MostFailures != want.attempts) {
				t.Errorf("%d failures of %d", c.Failures, c.MostFailures)
			}
		})
	}
}

func TestANodeThatFailedIsAvoidedByTheWholeRun(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256, 512}, 500)
	w.ends = func(j record.Job) *Seen {
		if j.Attempt > 1 || j.Kind != record.KindCell {
			return nil
		}
		node := map[string]string{"s8-t256": "n7", "s8-t512": "n2"}[j.Cell]
		return &Seen{Job: j.ID, Over: true, Cause: record.CauseNode, Word: "NODE_FAIL", Node: node}
	}
	w.finish(w.collector())
	for _, id := range []string{"s8-t256-2", "s8-t512-2"} {
		if got := w.follow[id].Avoid; !slices.Equal(got, []string{"n2", "n7"}) {
			t.Errorf("%s avoids %v", id, got)
		}
	}
}

// --no-requeue asks for it, and some sites do it all the same. What has begun is over then; what has not begun may well go on.
func TestAJobThatTheSitePutBackIntoTheQueueIsReplaced(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
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
	w.state["probe-1"] = Seen{Job: "probe-1", Word: "PENDING", Again: true}
	if pass(); len(w.cancels) > 0 {
		t.Fatalf("a job that never began was cancelled: %v", w.cancels)
	}
	w.ends = func(j record.Job) *Seen {
		if j.Kind == record.KindCell && j.Attempt == 1 {
			w.claim(j)
			return &Seen{Job: j.ID, Word: "PENDING", Again: true}
		}
		return nil
	}
	w.work()
	st := w.finish(c)
	if !slices.Equal(w.cancels, []string{"s8-t256-1"}) || len(st.Cells[0].Attempts) != 2 || st.Best == nil {
		t.Fatalf("cancelled %v, attempts %+v", w.cancels, st.Cells[0].Attempts)
	}
	if a := st.Cells[0].Attempts[0]; a.Cause != record.CauseRestart {
		t.Errorf("the first attempt ended by %q", a.Cause)
	}
}

// A thousand tasks behind a probe that failed are one request to cancel, not a thousand.
func TestJobsThatCanNeverStartAreCancelledInOneGo(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256, 512, 1024}, 500)
	c := w.collector()
	calls := 0
	c.cfg.Cancel = func(ctx context.Context, ids []string) error {
		calls++
		return w.cancel(ctx, ids)
	}
	if _, err := c.Pass(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	for _, u := range w.units {
		for _, j := range u.Jobs {
			if j.Kind == record.KindCell {
				w.state[j.ID] = Seen{Job: j.ID, Stuck: true, Word: "PENDING", Reason: "DependencyNeverSatisfied", Cause: record.CauseProbe}
			}
		}
	}
	st, err := c.Pass(context.Background(), true)
	if err != nil || calls != 1 || len(w.cancels) != 3 {
		t.Fatalf("%d calls for %v, %v", calls, w.cancels, err)
	}
	if got := st.Cells[0].Attempts[0].Message; got != "PENDING: what it waited for failed, so it could never start (DependencyNeverSatisfied)" {
		t.Errorf("it says %q", got)
	}
}
