package crew

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

// Whatever ends when, whatever fails, is dropped or comes late: each job is begun at most once, at most slots are under way, and none
// before what it needs.
func TestEachJobIsBegunOnceInItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		done, begun, over := map[string]bool{}, map[string]int{}, map[string]bool{}
		r := NewRoster(slots, func(j record.Job) bool { return done[j.ID] })
		var added []record.Job
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				j := record.Job{ID: fmt.Sprint(len(added))}
				if len(added) > 0 && rapid.Bool().Draw(t, "needs") {
					on := rapid.SampledFrom(added).Draw(t, "on").ID
					j.Needs = []record.Edge{{Job: on, When: rapid.SampledFrom([]record.When{record.AfterOK, record.AfterAny}).Draw(t, "when")}}
				}
				added = append(added, j)
				r.Add(j)
				r.Add(j)
			case 1:
				j, ok := r.Next()
				if !ok {
					continue
				}
				begun[j.ID]++
				for _, e := range j.Needs {
					if e.When == record.AfterOK && !done[e.Job] || e.When == record.AfterAny && !over[e.Job] {
						t.Fatalf("%s begins before %s", j.ID, e.Job)
					}
				}
			case 2:
				if js := r.Aboard(); len(js) > 0 {
					j := rapid.SampledFrom(js).Draw(t, "ends")
					done[j.ID], over[j.ID] = rapid.Bool().Draw(t, "well"), true
					r.Over(j.ID)
				}
			case 3:
				if js := r.Waiting(); len(js) > 0 {
					j := rapid.SampledFrom(js).Draw(t, "dropped")
					over[j.ID] = r.Drop(j.ID)
				}
			}
			if n := len(r.Aboard()); n > slots {
				t.Fatalf("%d jobs at once in %d slots", n, slots)
			}
			for id, n := range begun {
				if n > 1 {
					t.Fatalf("%s was begun %d times", id, n)
				}
			}
		}
	})
}

// What is free is used: nothing waits that could begin.
func TestNoJobWaitsForNothing(t *testing.T) {
	r := NewRoster(2, func(record.Job) bool { return false })
	for _, id := range []string{"a", "b", "c"} {
		r.Add(record.Job{ID: id})
	}
	r.Add(record.Job{ID: "d", Needs: []record.Edge{{Job: "elsewhere", When: record.AfterOK}}})
	var order []string
	for range 4 {
		j, ok := r.Next()
		if !ok {
			r.Over(order[0])
			j, ok = r.Next()
		}
		if !ok {
			t.Fatalf("nothing begins after %s", order)
		}
		order = append(order, j.ID)
		if len(order) == 3 {
			r.Over("b")
		}
	}
	if !slices.Equal(order, []string{"a", "b", "c", "d"}) {
		t.Errorf("begun in the order %s", order)
	}
}
