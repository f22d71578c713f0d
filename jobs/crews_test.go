package jobs

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// siteSpec is a grid of three by three on a site.
func siteSpec(site spec.Site, tensorParallel int) *spec.Spec {
	site.GPUStyle = "gres"
	return &spec.Spec{
		Model: "m", System: "GPU", TensorParallel: tensorParallel, Method: spec.MethodVtune, Plan: "cells", Scheduler: "slurm", Emulate: "off",
		Grid: spec.Grid{MaxNumSeqs: []int{1, 2, 3}, MaxNumBatchedTokens: []int{8, 16, 32}}, Site: site,
	}
}

// crewsOf is a plan's units in short: id, jobs, slots x nodes, and + for one that is fed.
func crewsOf(p record.Plan) string {
	var parts []string
	for _, u := range p.Units {
		part := fmt.Sprintf("%s:%d", u.ID, len(u.Jobs))
		if u.Crew != nil {
			part += fmt.Sprintf(" %dx%d", u.Crew.Slots, u.Crew.Nodes)
			if u.Crew.Feed {
				part += "+"
			}
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// Cells are put together by what a node holds and by what may run at once; eight are left when the first rides on the probe.
func TestCellsShareAllocationsAsTheSiteWants(t *testing.T) {
	for _, c := range []struct {
		site spec.Site
		tp   int
		want string
	}{
		{spec.Site{Pack: "off", GPUsPerNode: 8}, 1, "probe-1:1, cells:8"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 8}, 1, "probe-1:1, pack-1:8 8x1"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 8}, 2, "probe-1:1, pack-1:4 4x1, pack-2:4 4x1"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 6}, 2, "probe-1:1, pack-1:3 3x1, pack-2:3 3x1, pack-3:2 2x1"},
		{spec.Site{Pack: "exclusive", GPUsPerNode: 6}, 2, "probe-1:1, pack-1:3 3x1, pack-2:3 3x1, pack-3:2 3x1"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 8, MaxParallel: 4}, 2, "probe-1:1, pack-1:8 4x1"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 8, MaxParallel: 3}, 2, "probe-1:1, pack-1:8 3x1"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 8, MaxParallel: 100}, 2, "probe-1:1, pack-1:4 4x1, pack-2:4 4x1"},
		{spec.Site{Pack: "off", Shape: "one-job", GPUsPerNode: 8, Nodes: 2}, 2, "crew-1:9 2x2+"},
		{spec.Site{Pack: "gpus", Shape: "one-job", GPUsPerNode: 8, Nodes: 2}, 2, "crew-1:9 8x2+"},
		{spec.Site{Pack: "gpus", Shape: "one-job", GPUsPerNode: 8, Nodes: 2, MaxParallel: 3}, 2, "crew-1:9 3x2+"},
	} {
		p := Plan(siteSpec(c.site, c.tp), Options{MaxArray: 1000})
		if got := crewsOf(p); got != c.want {
			t.Errorf("%+v, tp %d: %s, want %s", c.site, c.tp, got, c.want)
		}
		riders := 0
		for _, u := range p.Units {
			riders += len(u.Riders)
			for _, j := range u.Jobs {
				if waits := len(j.Needs) == 1 && j.Needs[0] == (record.Edge{Job: "probe-1", When: record.AfterOK}); waits == (j.Kind == record.KindProbe) {
					t.Errorf("%s needs %v", j.ID, j.Needs)
				}
			}
		}
		if riders != 1 {
			t.Errorf("%+v: %d riders", c.site, riders)
		}
	}
}

// What jobs of an allocation wait for inside of it is nothing to the scheduler, and does not hold it back.
func TestAWholeAllocationGoesOutAtOnce(t *testing.T) {
	a := &answers{}
	s, _ := submitter(t, a)
	units := Plan(siteSpec(spec.Site{Pack: "off", Shape: "one-job", Nodes: 2}, 1), Options{MaxArray: 1000}).Units
	if err := os.MkdirAll(s.Dir.Job(units[0].ID), 0o755); err != nil {
		t.Fatal(err)
	}
	r := mustSubmit(t, s, units)
	if len(units) != 1 || r.Submitted != 1 || a.submitted[0].Tasks != 0 || len(a.submitted[0].After) != 0 {
		t.Fatalf("%d units, report %+v, request %+v", len(units), r, a.submitted)
	}
}

// Crews of cells wait for the probe, which is elsewhere.
func TestACrewOfCellsWaitsForTheProbe(t *testing.T) {
	a := &answers{}
	s, _ := submitter(t, a)
	units := Plan(siteSpec(spec.Site{Pack: "gpus", GPUsPerNode: 8}, 1), Options{MaxArray: 1000}).Units
	for _, u := range units {
		if err := os.MkdirAll(s.Dir.Job(u.ID), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mustSubmit(t, s, units)
	want := Dependency{On: Handle{ID: "1"}, Task: -1, When: record.AfterOK}
	if len(a.submitted) != 2 || len(a.submitted[1].After) != 1 || a.submitted[1].After[0] != want {
		t.Fatalf("went out as %+v", a.submitted)
	}
}

// The allocation has room for all its jobs at once, and each is given its share.
func TestAnAllocationHasRoomForAllItsJobs(t *testing.T) {
	for _, c := range []struct {
		site  spec.Site
		tasks int
		gpus  int
		mem   string
		share string
	}{
		{spec.Site{Pack: "gpus", GPUsPerNode: 8, GPUStyle: "gres", GPUType: "h200", CPUs: 6, Memory: "64G"}, 4, 8, "262144M", "--gres=gpu:h200:2"},
		{spec.Site{Pack: "gpus", GPUsPerNode: 8, GPUStyle: "gpus"}, 8, 8, "", "--gpus-per-node=2"},
		{spec.Site{Pack: "exclusive", GPUsPerNode: 9, GPUStyle: "gpus-per-node"}, 4, 9, "0", "--gpus-per-node=2"},
	} {
		s := siteSpec(c.site, 2)
		s.Site.GPUStyle = c.site.GPUStyle
		u := Crews(s, 1, []record.Job{Job(s, record.KindCell, "a", 1), Job(s, record.KindCell, "b", 1), Job(s, record.KindCell, "c", 1), Job(s, record.KindCell, "d", 1)})[0]
		site, r := CrewSite(s, u)
		order := CrewOrder(s, "r", u)
		if n := CrewTasks(s, u); n != c.tasks || r.GPUs != c.gpus || site.Memory != c.mem || order.GPUs != c.share || order.CPUs != c.site.CPUs {
			t.Errorf("%+v: %d tasks, %d GPUs, memory %q, share %+v", c.site, n, r.GPUs, site.Memory, order)
		}
	}
}
