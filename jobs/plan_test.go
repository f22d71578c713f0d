package jobs

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/record"
	"vtune/internal/spec"
)

func grid(seqs, tokens []int) *spec.Spec {
	return &spec.Spec{
		Model: "m", System: "GPU", TensorParallel: 2, MaxModelLen: 2048,
		Workload: spec.Workload{InputLen: 1800, OutputLen: 20},
		Grid:     spec.Grid{MaxNumSeqs: seqs, MaxNumBatchedTokens: tokens},
		Server:   spec.Server{Command: []string{"vllm"}, StartTimeout: "10m"},
		Method:   spec.MethodAutoTune, Client: "vllm", RateSearch: "in-job",
	}
}

func upTo(n, from int) []int {
	var xs []int
	for i := range n {
		xs = append(xs, from+i)
	}
	return xs
}

func TestAPlanHasTheProbeAndEveryCellOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := grid(upTo(rapid.IntRange(1, 12).Draw(t, "seqs"), 1), upTo(rapid.IntRange(1, 12).Draw(t, "tokens"), 100))
		o := Options{MaxArray: rapid.IntRange(0, 20).Draw(t, "max array")}
		s.Site.MaxParallel = rapid.IntRange(0, 3).Draw(t, "max parallel")
		p := Plan(s, o)
		if p.Units[0].ID != "probe-1" || len(p.Units[0].Jobs[0].Needs) != 0 {
			t.Fatalf("the first unit is %+v", p.Units[0])
		}
		known := map[string]bool{"probe-1": true}
		var order []string
		for _, u := range p.Units[1:] {
			if u.Array() && len(u.Jobs) > o.MaxArray {
				t.Fatalf("array of %d with at most %d", len(u.Jobs), o.MaxArray)
			}
			for _, j := range u.Jobs {
				order = append(order, j.Cell)
				if len(j.Needs) == 0 || j.Needs[0] != (record.Edge{Job: "probe-1", When: record.AfterOK}) {
					t.Fatalf("%s needs %v", j.ID, j.Needs)
				}
				for _, e := range j.Needs {
					if !known[e.Job] {
						t.Fatalf("%s needs %s, which comes later", j.ID, e.Job)
					}
				}
			}
			known[u.ID] = true
		}
		if len(order) != len(p.Cells) {
			t.Fatalf("%d cell jobs for %d cells", len(order), len(p.Cells))
		}
		i := 0
		for _, seqs := range s.Grid.MaxNumSeqs {
			for _, tokens := range s.Grid.MaxNumBatchedTokens {
				if want := record.CellID(seqs, tokens); order[i] != want || p.Cells[i].ID != want {
					t.Fatalf("cell %d is %s and %s, want %s", i, order[i], p.Cells[i].ID, want)
				}
				i++
			}
		}
	})
}

func TestThrottledChunksRunOneAfterAnother(t *testing.T) {
	s := grid(upTo(4, 1), upTo(1, 100))
	s.Site.MaxParallel = 2
	p := Plan(s, Options{MaxArray: 2})
	if len(p.Units) != 3 || p.Units[1].ID != "cells-1" || p.Units[2].ID != "cells-2" || p.Units[2].Throttle != 2 {
		t.Fatalf("units: %+v", p.Units)
	}
	want := record.Edge{Job: "cells-1", When: record.AfterAny}
	if got := p.Units[2].Jobs[0].Needs; len(got) != 2 || got[1] != want {
		t.Fatalf("second chunk needs %v, want %v among them", got, want)
	}
}

func TestCountsAreTheScripts(t *testing.T) {
	for _, c := range []struct {
		limit      float64
		rateSearch string
		throughput float64
		want       record.Counts
	}{
		{0, "in-job", 5, record.Counts{ServerStarts: record.Range{Expected: 6, Worst: 14}, BenchmarkRuns: record.Range{Expected: 5, Worst: 5}, AssumedThroughput: 5}},
		// T = 5.37 and a limit met at 4 of 5.37 (3/4, rounded down): rates 6, 5, 4 in each of 4 cells.
		{500, "in-job", 5.37, record.Counts{ServerStarts: record.Range{Expected: 6, Worst: 14}, BenchmarkRuns: record.Range{Expected: 5 + 4*3, Worst: 5 + 4*6}, AssumedThroughput: 5.37}},
		{500, "follow-up", 5.37, record.Counts{ServerStarts: record.Range{Expected: 10, Worst: 18}, BenchmarkRuns: record.Range{Expected: 5 + 4*3, Worst: 5 + 4*6}, AssumedThroughput: 5.37}},
	} {
		s := grid([]int{8, 32}, []int{256, 1024})
		if s.RateSearch = c.rateSearch; c.limit > 0 {
			s.Limits = []spec.Limit{{Metric: "e2el", Percentile: 99, MS: c.limit}}
		}
		if got := Plan(s, Options{AssumedThroughput: c.throughput}).Counts; !cmp.Equal(got, c.want) {
			t.Errorf("limit %v, %s: %+v, want %+v", c.limit, c.rateSearch, got, c.want)
		}
	}
}

func TestTheScriptProfilesInAStartOfItsOwnUnlessNoneIsWanted(t *testing.T) {
	for with, want := range map[string]record.Profiling{"": "", "own-start": "", "none": record.ProfileNone} {
		s := grid([]int{8, 32}, []int{256, 1024})
		s.Profile.With = with
		p, work := Plan(s, Options{}), 4
		if want == "" {
			work++
		}
		if p.Profile != want || p.Counts.ServerStarts.Expected != 1+work || p.Counts.BenchmarkRuns.Worst != work {
			t.Errorf("%q: %q, %+v", with, p.Profile, p.Counts)
		}
	}
}

func TestTheProbeStartsWithTheLargestValues(t *testing.T) {
	s := grid([]int{256, 128}, []int{2048, 512})
	p := Plan(s, Options{})
	a := Assignment(s, p, "r", p.Units[0].Jobs[0])
	if a.Cell.MaxNumSeqs != 256 || a.Cell.MaxNumBatchedTokens != 2048 {
		t.Errorf("probe starts with %+v", a.Cell)
	}
	if a.Server.StartTimeoutSeconds != 600 {
		t.Errorf("start timeout %v s", a.Server.StartTimeoutSeconds)
	}
}

func BenchmarkPlan10000Cells(b *testing.B) {
	s := grid(upTo(100, 1), upTo(100, 100))
	for b.Loop() {
		if p := Plan(s, Options{MaxArray: 1001}); len(p.Units) != 11 {
			b.Fatal(fmt.Sprint(len(p.Units), " units"))
		}
	}
}

func TestAServerTakesAsManyNodesAsItsGPUsNeed(t *testing.T) {
	for _, c := range []struct{ tensor, pipeline, perNode, nodes, gpus int }{
		{2, 0, 0, 0, 2},
		{8, 1, 8, 0, 8},
		{4, 2, 8, 0, 8},
		{8, 2, 8, 2, 8},
		{16, 1, 8, 2, 8},
		{4, 3, 8, 2, 6},
		{2, 3, 2, 3, 2},
		{8, 2, 0, 0, 16}, // nobody said what a node has
	} {
		s := grid([]int{8}, []int{2048})
		s.TensorParallel, s.PipelineParallel, s.Site.GPUsPerNode = c.tensor, c.pipeline, c.perNode
		j := Job(s, record.KindProbe, "", 1)
		if j.Resources.Nodes != c.nodes || j.Resources.GPUs != c.gpus {
			t.Errorf("%+v: %d nodes with %d GPUs each", c, j.Resources.Nodes, j.Resources.GPUs)
		}
		if a := Assignment(s, Plan(s, Options{}), "r", j); a.Server.Nodes != c.nodes || max(1, a.Server.PipelineParallel) != max(1, c.pipeline) {
			t.Errorf("%+v: the assignment says %+v", c, a.Server)
		}
	}
	s := grid([]int{8}, []int{2048})
	s.System, s.PipelineParallel, s.Site.GPUsPerNode = "CPU", 2, 1
	if r := Job(s, record.KindProbe, "", 1).Resources; r.Nodes != 0 || r.GPUs != 0 {
		t.Errorf("without GPUs: %+v", r)
	}
}
