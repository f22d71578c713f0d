package local

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/record"
	"vtune/jobs"
)

func waiting(id, gpus int, after ...edge) *job {
	return &job{id: id, request: request{Resources: record.Resources{GPUs: gpus}, After: after}}
}

func started(id int, slots ...int) *job {
	j := waiting(id, len(slots))
	j.start = &start{Slots: slots}
	return j
}

func finished(id int, state jobs.JobState) *job {
	j := started(id, 0)
	j.exit = &exit{State: state}
	return j
}

func withdrawn(j *job) *job {
	j.cancel = &cancel{}
	return j
}

func TestDecide(t *testing.T) {
	type did struct {
		ID     int
		Slots  []int
		Reason string
	}
	for name, c := range map[string]struct {
		slots int
		order []*job
		want  []did
	}{
		"nothing":                                   {1, nil, nil},
		"the slots of running jobs are taken":       {3, []*job{started(1, 1), waiting(2, 2)}, []did{{2, []int{0, 2}, ""}}},
		"the slots of finished jobs are free":       {1, []*job{finished(1, jobs.Failed), waiting(2, 1)}, []did{{2, []int{0}, ""}}},
		"no GPU still takes a slot":                 {1, []*job{waiting(1, 0), waiting(2, 0)}, []did{{1, []int{0}, ""}}},
		"a large job is not starved by small ones":  {2, []*job{started(1, 0), waiting(2, 2), waiting(3, 1)}, nil},
		"a job that waits for another holds nobody": {1, []*job{waiting(1, 1, edge{9, record.AfterAny}), waiting(2, 1)}, []did{{2, []int{0}, ""}}},
		"after-any is satisfied by any end":         {1, []*job{finished(1, jobs.TimedOut), waiting(2, 1, edge{1, record.AfterAny})}, []did{{2, []int{0}, ""}}},
		"after-ok is satisfied by success":          {1, []*job{finished(1, jobs.Completed), waiting(2, 1, edge{1, record.AfterOK})}, []did{{2, []int{0}, ""}}},
		"after-ok is never satisfied by another end, nor is what follows": {
			1,
			[]*job{finished(1, jobs.TimedOut), waiting(2, 1, edge{1, record.AfterOK}), waiting(3, 1, edge{2, record.AfterOK}), waiting(4, 1, edge{3, record.AfterAny})},
			[]did{{2, nil, reasonNever}, {3, nil, reasonNever}, {4, []int{0}, ""}},
		},
		"one lost dependency of two decides": {
			1,
			[]*job{started(1, 0), finished(2, jobs.Failed), waiting(3, 1, edge{1, record.AfterOK}, edge{2, record.AfterOK})},
			[]did{{3, nil, reasonNever}},
		},
		"a cancelled job does not start":          {1, []*job{withdrawn(waiting(1, 1)), waiting(2, 1, edge{1, record.AfterOK})}, []did{{1, nil, reasonCancelled}, {2, nil, reasonNever}}},
		"a running job is its runner's to cancel": {1, []*job{withdrawn(started(1, 0))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []did
			for _, s := range decide(c.order, c.slots) {
				got = append(got, did{s.job.id, s.slots, s.reason})
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Any graph of jobs, run by a daemon without processes: slots are never shared, starts follow the rules, and all of it ends.
func TestDecideEndsEveryGraph(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		var order []*job
		for id := range rapid.IntRange(0, 12).Draw(t, "jobs") {
			j := waiting(id, rapid.IntRange(0, slots).Draw(t, "gpus"))
			for range rapid.IntRange(0, min(id, 3)).Draw(t, "edges") {
				j.request.After = append(j.request.After, edge{
					rapid.IntRange(0, id-1).Draw(t, "on"),
					rapid.SampledFrom([]record.When{record.AfterOK, record.AfterAny}).Draw(t, "when"),
				})
			}
			order = append(order, j)
		}
		for slices.ContainsFunc(order, func(j *job) bool { return j.exit == nil }) {
			steps := decide(order, slots)
			for _, s := range steps {
				if s.reason != "" {
					s.job.exit = &exit{State: unrun(s.reason)}
				} else {
					s.job.start = &start{Slots: s.slots}
				}
			}
			var running []*job
			held := map[int]bool{}
			for _, j := range order {
				if !j.running() {
					continue
				}
				running = append(running, j)
				for _, slot := range j.start.Slots {
					if held[slot] || slot < 0 || slot >= slots {
						t.Fatalf("slot %d is held twice or does not exist", slot)
					}
					held[slot] = true
				}
				for _, e := range j.request.After {
					on := order[e.On].exit
					if on == nil || e.When == record.AfterOK && on.State != jobs.Completed {
						t.Fatalf("job %d runs although job %d is %+v", j.id, e.On, on)
					}
				}
			}
			if len(running) == 0 && len(steps) == 0 {
				t.Fatal("nothing runs, and nothing is decided")
			}
			if len(running) > 0 {
				rapid.SampledFrom(running).Draw(t, "ends").exit = &exit{
					State: rapid.SampledFrom([]jobs.JobState{jobs.Completed, jobs.Failed, jobs.NodeFail}).Draw(t, "state"),
				}
			}
		}
	})
}

func TestDevicesAreTheSubmittersOwnWhereThereAreEnough(t *testing.T) {
	for given, want := range map[string]string{"": "0,1", "3": "0,1", "3, 5": "3,5", "GPU-a,GPU-b,GPU-c": "GPU-a,GPU-b"} {
		if got := strings.Join(devices(2, func(string) string { return given }), ","); got != want {
			t.Errorf("of %q two slots are %s, want %s", given, got, want)
		}
	}
	if DetectSlots() < 1 {
		t.Error("a machine without GPUs has no slot")
	}
}
