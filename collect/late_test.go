package collect

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"vtune/internal/record"
)

// late has the collector see what nodes write some passes after they wrote it, each file for itself and in no order, as a shared file
// system shows it to a reader whose caches are not told. What the collector writes itself it sees at once.
type late struct {
	*world
	delay func(path string) int // passes
	due   map[string]int        // by file, relative to the run: the passes left
}

func newLate(w *world, delay func(string) int) *late {
	w.nodes = record.Dir(w.t.TempDir())
	return &late{world: w, delay: delay, due: map[string]int{}}
}

// reveal shows what is due.
func (l *late) reveal() {
	l.must(filepath.WalkDir(string(l.nodes), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel := l.nodes.Rel(path)
		left, known := l.due[rel]
		if !known {
			left = l.delay(rel)
		}
		if l.due[rel] = left - 1; left != 0 {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen := filepath.Join(string(l.dir), rel)
		if err := os.MkdirAll(filepath.Dir(seen), 0o755); err != nil {
			return err
		}
		return os.WriteFile(seen, data, 0o644)
	}))
}

// finish is world.finish with a reader who sees late, and looks once more when everything can be seen. Check is asked after each pass.
func (l *late) finish(c *Collector, check func(record.State)) record.State {
	for range 600 {
		l.reveal()
		st, err := c.Pass(context.Background(), true)
		l.must(err)
		check(st)
		if st.Phase.Over() {
			l.delay = func(string) int { return 0 }
			for range 3 {
				l.reveal()
			}
			later, err := c.Pass(context.Background(), true)
			l.must(err)
			return later
		}
		l.work()
		l.now = l.now.Add(20 * time.Second) // at most two passes late: within the grace of a minute
	}
	l.t.Fatal("the run does not come to an end")
	return record.State{}
}

// However late and in whatever order files become visible, within the grace no job is given up, no cell is judged by a part of what was
// observed, and the end is the one of a reader who sees at once.
func TestAReaderWhoSeesLateComesToTheSameEnd(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // thousands of files are published, and a disk takes its time
	}
	rapid.Check(t, func(rt *rapid.T) {
		method := rapid.SampledFrom([]string{"auto_tune", "cells", "columns"}).Draw(rt, "method")
		rates := rapid.Permutation([]int{2, 3, 4, 5, 6, 7}).Draw(rt, "rates that cells hold") // no two alike: there is one winner
		truth := map[string]curve{}
		make := func() *world {
			var w *world
			if method == "auto_tune" {
				w = newWorld(t, []int{1, 2}, []int{10, 20}, 500)
			} else {
				w = newTuned(t, record.Shape(method), []int{1, 2, 4}, []int{10, 20})
				w.traces = true
			}
			for i, c := range w.plan.Cells {
				truth[c.ID] = curve{throughput: 1.5 * float64(rates[i]), meets: rates[i]}
			}
			w.truth = truth
			return w
		}
		// Every other rate search is cut short once, so that there are attempts to be put together.
		cut := rapid.Bool().Draw(rt, "cut short")
		mishaps := func(j record.Job) mishap {
			if cut && j.Attempt == 1 && len(j.Cell)%2 == 0 && j.Kind == record.KindCell {
				return mishap{cause: record.CauseTimeLimit, after: 2}
			}
			return mishap{}
		}
		plain := make()
		plain.mishap = mishaps
		want := plain.finish(plain.collector())

		l := newLate(make(), func(path string) int { return rapid.IntRange(0, 2).Draw(rt, path) })
		l.mishap = mishaps
		got := l.finish(l.collector(), func(st record.State) {
			for i, c := range st.Cells {
				w := want.Cells[i]
				if c.Phase.Final() && method == "auto_tune" && (c.Phase != w.Phase || rateOf(c.Accepted) != rateOf(w.Accepted)) {
					rt.Fatalf("%s is %s at %s, and should become %s at %s", c.ID, c.Phase, rateOf(c.Accepted), w.Phase, rateOf(w.Accepted))
				}
			}
			if st.Phase.Over() && st.Best.Cell != want.Best.Cell {
				rt.Fatalf("the winner is %+v, and should be %+v", st.Best, want.Best)
			}
			for _, j := range l.jobs() {
				if _, err := os.Stat(l.dir.Ended(j)); err == nil {
					rt.Fatalf("%s was given up within the grace", j)
				}
			}
		})
		if cut && method != "auto_tune" {
			return // who is cut short meets the others' answers at another time
		}
		// Follow-ups go out in another order, and at another time.
		elsewhen := cmpopts.IgnoreFields(record.AttemptState{}, "Submitted", "SubmittedAt", "StartedAt", "EndedAt")
		if diff := cmp.Diff(want, got, elsewhen, cmp.Comparer(func(a, b record.Rate) bool { return a == b })); diff != "" {
			rt.Fatalf("the end differs: %s", diff)
		}
	})
}

func rateOf(o *record.Observation) record.Rate {
	if o == nil {
		return 0
	}
	return o.Load.Rate
}

func (w *world) jobs() (ids []string) {
	for _, u := range w.units {
		for _, j := range u.Jobs {
			ids = append(ids, j.ID)
		}
	}
	return ids
}
