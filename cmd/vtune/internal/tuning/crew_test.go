package tuning

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

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
			unit := outUnit{Unit: record.Unit{ID: "crew-1", Jobs: js, Crew: &record.Crew{Slots: 2, Feed: c.feed}}, at: jobs.Handle{ID: "7"}}
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
	crew := outUnit{Unit: record.Unit{ID: "crew-1", Crew: &record.Crew{Feed: true}}, at: jobs.Handle{ID: "7"}}
	rest, err := tu.feed(&crew, units)
	if err != nil || len(rest) != 1 || rest[0].ID != "crew-2" {
		t.Fatalf("left to the scheduler: %v, %v", rest, err)
	}
	var queued record.Job
	if err := fsx.ReadJSON(tu.Dir.Queued("crew-1", 2, job.ID), &queued); err != nil || queued.ID != job.ID {
		t.Errorf("queued: %+v, %v", queued, err)
	}
	out, err := tu.recorded()
	if err != nil || len(out) != 1 || out[0].at.ID != "7" || out[0].crew != "crew-1" || out[0].name != "vt-r-crew-1" || !out[0].inCrew() {
		t.Errorf("recorded: %+v, %v", out, err)
	}
}
