package tuning

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

// How a job of a crew fares is the allocation's standing and the crew's word together.
func TestAJobOfACrewIsSeenByTheCrewsWordAndTheAllocations(t *testing.T) {
	now := time.Now()
	under := &record.Step{Begun: now}
	ended := func(exit string) *record.Step { return &record.Step{Begun: now, Ended: now, ExitCode: exit} }
	running, pending := collect.Seen{Word: "RUNNING"}, collect.Seen{Word: "PENDING"}
	over := func(c record.Cause) collect.Seen { return collect.Seen{Over: true, Cause: c, Word: "OVER"} }
	for _, c := range []struct {
		name                    string
		allocation              collect.Seen
		step                    *record.Step
		begun, claimed, stopped bool
		over                    bool
		cause                   record.Cause
		word                    string
	}{
		{name: "queues", allocation: pending, word: "PENDING"},
		{name: "waits for its turn", allocation: running, begun: true, word: wordWaiting},
		{name: "runs", allocation: running, step: under, begun: true, claimed: true, word: "RUNNING"},
		{name: "ended by itself", allocation: running, step: ended("0:0"), begun: true, claimed: true, over: true, word: wordStep},
		{name: "its agent was killed", allocation: running, step: ended("0:9"), begun: true, claimed: true, over: true, cause: record.CauseAgent, word: wordStep},
		{name: "its agent never began", allocation: running, step: ended("1:0"), begun: true, over: true, cause: record.CauseLaunch, word: wordStep},
		{name: "told to end, nobody knows why yet", allocation: running, step: ended("0:0"), begun: true, claimed: true, stopped: true, word: "RUNNING"},
		{name: "unwanted", allocation: running, step: &record.Step{Ended: now, Cancelled: true}, begun: true, over: true, cause: record.CauseStopped, word: "CANCELLED"},
		{name: "unwanted, and cut off", allocation: running, step: &record.Step{Begun: now, Ended: now, Cancelled: true}, begun: true, claimed: true, stopped: true, over: true, cause: record.CauseStopped, word: "CANCELLED"},
		{name: "its node failed", allocation: over(record.CauseNode), step: under, begun: true, claimed: true, over: true, cause: record.CauseNode, word: "OVER"},
		{name: "its node failed, says its step 0", allocation: over(record.CauseNode), step: ended("0:0"), begun: true, claimed: true, over: true, cause: record.CauseNode, word: "OVER"},
		{name: "preempted", allocation: over(record.CausePreempted), step: ended("0:0"), begun: true, claimed: true, stopped: true, over: true, cause: record.CausePreempted, word: "OVER"},
		{name: "its turn never came", allocation: over(record.CauseNode), begun: true, over: true, cause: record.CauseUnbegun, word: wordUnbegun},
		{name: "its turn never came in an allocation that a person ended", allocation: over(record.CauseStopped), begun: true, over: true, cause: record.CauseStopped, word: "OVER"},
		{name: "its crew never began", allocation: over(record.CauseLaunch), over: true, cause: record.CauseLaunch, word: "OVER"},
	} {
		got := inCrew(c.allocation, c.step, c.begun, c.claimed, c.stopped)
		if got.Over != c.over || got.Cause != c.cause || got.Word != c.word {
			t.Errorf("%s: over %t for %q, %s; want %t for %q, %s", c.name, got.Over, got.Cause, got.Word, c.over, c.cause, c.word)
		}
	}
}

// A crew is told of single jobs that nobody wants; its allocation is ended when nothing else is wanted of it, and one that is fed only
// when the run was cancelled.
func TestOneUnwantedJobDoesNotEndItsCrew(t *testing.T) {
	for _, c := range []struct {
		name      string
		wanted    string
		over      string
		feed      bool
		cancelled bool
		handles   int
		told      string
	}{
		{"one of two", "a", "", false, false, 0, "a"},
		{"both", "a b", "", false, false, 1, "a b"},
		{"one, the other is over", "a", "b", false, false, 1, "a"},
		{"both of a fed crew", "a b", "", true, false, 0, "a b"},
		{"both of a fed crew of a cancelled run", "a b", "", true, true, 1, "a b"},
		{"none", "other", "b", false, true, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tu := &Tuning{Dir: record.Dir(t.TempDir())}
			var js []record.Job
			for _, id := range []string{"a", "b"} {
				js = append(js, record.Job{ID: id, Kind: record.KindCell, Cell: id, Attempt: 1})
				if err := os.MkdirAll(tu.Dir.Job(id), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if c.over != "" {
				if err := fsx.PublishJSON(tu.Dir.Step(c.over), record.Step{Ended: time.Now()}); err != nil {
					t.Fatal(err)
				}
			}
			if c.cancelled {
				if err := fsx.PublishJSON(tu.Dir.Cancelled(), record.Cancelled{}); err != nil {
					t.Fatal(err)
				}
			}
			wanted := map[string]bool{}
			for _, id := range strings.Fields(c.wanted) {
				wanted[id] = true
			}
			unit := outUnit{Unit: record.Unit{ID: "crew-1", Jobs: js, Crew: &record.Crew{Slots: 2, Feed: c.feed}}, id: "7"}
			handles, err := tu.cancelInCrews([]outUnit{unit}, wanted)
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, j := range js {
				if _, err := os.Stat(tu.Dir.Unwanted(j.ID)); err == nil {
					told = append(told, j.ID)
				}
			}
			if len(handles) != c.handles || strings.Join(told, " ") != c.told || c.handles > 0 && !slices.Contains(handles, jobs.Handle{ID: "7"}) {
				t.Errorf("cancels %v and tells the crew of %s, want %d and %s", handles, told, c.handles, c.told)
			}
		})
	}
}

// What a crew is fed goes to no scheduler; crews themselves do.
func TestWhatACrewTakesOnIsRecordedAsOut(t *testing.T) {
	tu := &Tuning{Dir: record.Dir(t.TempDir()), Run: record.Run{ID: "r"}, world: World{Now: time.Now}}
	job := record.Job{ID: "a-2", Kind: record.KindCell, Cell: "a", Attempt: 2}
	if err := os.MkdirAll(tu.Dir.Job(job.ID), 0o755); err != nil {
		t.Fatal(err)
	}
	units := []record.Unit{{ID: "crew-2", Crew: &record.Crew{}}, {ID: job.ID, Jobs: []record.Job{job}}}
	if rest, err := tu.feed(nil, units); err != nil || len(rest) != 2 {
		t.Fatalf("without a crew: %v, %v", rest, err)
	}
	crew := outUnit{Unit: record.Unit{ID: "crew-1", Crew: &record.Crew{Feed: true}}, id: "7"}
	rest, err := tu.feed(&crew, units)
	if err != nil || len(rest) != 1 || rest[0].ID != "crew-2" {
		t.Fatalf("left to the scheduler: %v, %v", rest, err)
	}
	var queued record.Job
	if err := fsx.ReadJSON(tu.Dir.Queued("crew-1", 2, job.ID), &queued); err != nil || queued.ID != job.ID {
		t.Errorf("queued: %+v, %v", queued, err)
	}
	out, err := tu.recorded()
	if err != nil || len(out) != 1 || out[0].id != "7" || out[0].crew != "crew-1" || !out[0].inCrew() {
		t.Errorf("recorded: %+v, %v", out, err)
	}
}

func TestWhatCannotBeSharedOutIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spec spec.Spec
		want string
	}{
		"packed":                {spec.Spec{System: "GPU", TensorParallel: 2, Site: spec.Site{Pack: "gpus", GPUsPerNode: 8, GPUStyle: "gres"}}, ""},
		"no GPUs":               {spec.Spec{System: "CPU", TensorParallel: 1, Site: spec.Site{Pack: "exclusive"}}, "no server takes any"},
		"Slurm knows no GPUs":   {spec.Spec{System: "GPU", TensorParallel: 1, Site: spec.Site{Pack: "gpus", GPUsPerNode: 8, GPUStyle: "none"}}, "not asked for"},
		"a server on each node": {spec.Spec{System: "CPU", TensorParallel: 1, Site: spec.Site{Pack: "off", Shape: "one-job", GPUStyle: "none"}}, ""},
	} {
		if err := crewable(&c.spec); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
