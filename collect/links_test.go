package collect

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// putLink writes the records of link n as far as they have come.
func (w *world) putLink(n int, submitted, begun, done bool) {
	w.t.Helper()
	id := record.LinkID(n)
	u := record.Unit{ID: id, Jobs: []record.Job{{ID: id, Kind: record.KindCollect, Attempt: n}}}
	attempt := w.dir.Attempt(record.KindCollect, "", n)
	w.must(os.MkdirAll(w.dir.Job(id), 0o755))
	w.must(os.MkdirAll(string(attempt), 0o755))
	w.must(fsx.PublishJSON(w.dir.Intent(id), record.Intent{Name: id, Unit: u}))
	if submitted {
		w.must(fsx.PublishJSON(w.dir.Submitted(id), record.Submitted{Name: id, ID: "9" + id[len("collect-"):]}))
	}
	if begun {
		w.must(fsx.PublishJSON(attempt.Attempt(), record.Attempt{Job: id}))
	}
	if done {
		w.must(fsx.PublishJSON(attempt.Result(), record.Result{Job: id, Kind: record.KindCollect, Outcome: record.OutcomeContinue, Complete: true}))
	}
}

// Links are the run's jobs and not its work: nothing waits for them, none is lost or submitted again, and the state does not change by
// them; but those that are out end with the run.
func TestLinksAreNoWorkAndEndWithTheRun(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
	c := w.collector()
	_, err := c.Pass(context.Background(), true)
	w.must(err)
	before, err := c.Pass(context.Background(), true)
	w.must(err)
	w.putLink(1, true, true, true)
	w.putLink(2, true, true, false) // killed
	w.putLink(3, true, true, false)
	w.putLink(4, true, false, false)
	w.putLink(5, false, false, false) // intended, and its submitter killed
	for range 3 {                     // the world's scheduler knows no link: a grace later, work would be lost
		w.now = w.now.Add(time.Hour)
		st, err := c.Pass(context.Background(), true)
		w.must(err)
		if a, b := mustJSON(t, before), mustJSON(t, st); a != b {
			t.Fatalf("the state has changed:\n%s\n%s", a, b)
		}
	}
	if len(w.cancels) > 0 {
		t.Fatalf("cancelled %v before the run is over", w.cancels)
	}
	c.cfg.Self = record.LinkID(3)
	st := w.finish(c)
	if st.Best == nil || !slices.Equal(w.cancels, []string{"collect-4"}) {
		t.Errorf("best %+v, cancelled %v; want link 4 alone, since link 3 is the one that collects", st.Best, w.cancels)
	}
	w.putLink(3, true, true, true)
	for range 2 {
		_, err := w.collector().Pass(context.Background(), true)
		w.must(err)
	}
	if len(w.cancels) != 1 {
		t.Errorf("cancelled %v: a run that is over needs no scheduler", w.cancels)
	}
}

func TestACancelledRunsLinksAreAmongThoseToCancel(t *testing.T) {
	w := newWorld(t, []int{8}, []int{256}, 500)
	w.putLink(1, true, true, false)
	w.putLink(2, true, false, false)
	w.must(fsx.PublishJSON(w.dir.Cancelled(), record.Cancelled{By: "me"}))
	snap, err := (&Scanner{Dir: w.dir}).Scan()
	w.must(err)
	if got := Decide(snap, Derive(snap)).Cancel; !slices.Equal(got, []string{"collect-1", "collect-2"}) {
		t.Errorf("to cancel: %v", got)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := fsx.JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
