package jobs

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// ofVtune is a grid's spec for method vtune, with the defaults that matter to a plan.
func ofVtune(plan string, seqs, tokens []int) *spec.Spec {
	s := grid(seqs, tokens)
	s.Method, s.Client, s.Plan, s.Prune, s.Emulate, s.Tolerance = spec.MethodVtune, "vtune", plan, "bound", "auto", 0.02
	s.Limits = []spec.Limit{{Metric: "e2el", Percentile: 99, MS: 500}}
	s.Test = spec.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.02, MaxRequests: 3000, MaxTime: "10m"}
	s.Arrivals = spec.Arrivals{Burstiness: "constant", LatencyFrom: "sent"}
	s.Profile = spec.Profile{With: "confirm", MaxIterations: 20}
	return s
}

func TestEveryCellIsServedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := ofVtune(rapid.SampledFrom([]string{"cells", "columns"}).Draw(t, "plan"),
			rapid.SliceOfNDistinct(rapid.IntRange(1, 50), 1, 6, rapid.ID).Draw(t, "seqs"),
			rapid.SliceOfNDistinct(rapid.IntRange(100, 200), 1, 6, rapid.ID).Draw(t, "tokens"))
		s.Emulate = rapid.SampledFrom([]string{"auto", "off"}).Draw(t, "emulate")
		s.Site.MaxParallel = rapid.IntRange(0, 3).Draw(t, "max parallel")
		p := Plan(s, Options{MaxArray: rapid.IntRange(0, 20).Draw(t, "max array")})
		probe := p.Units[0]
		if len(probe.Riders) != 1 || probe.Riders[0].Cell != cellOf(p, probe.Jobs[0]).ID || probe.Riders[0].Needs != nil {
			t.Fatalf("the probe is %+v", probe)
		}
		work := slices.Clone(probe.Riders)
		for _, u := range p.Units[1:] {
			if u.Riders != nil {
				t.Fatalf("%s has riders", u.ID)
			}
			for _, j := range u.Jobs {
				if !slices.Contains(j.Needs, record.Edge{Job: "probe-1", When: record.AfterOK}) {
					t.Fatalf("%s needs %v", j.ID, j.Needs)
				}
			}
			work = append(work, u.Jobs...)
		}
		served := map[string]int{}
		for _, j := range work {
			a := Assignment(s, p, "r", j)
			if j.ID != j.Cell+"-1" || a.Cell.ID != j.Cell {
				t.Fatalf("job %+v, assignment of %s", j, a.Cell.ID)
			}
			served[j.Cell]++
			least := a.Cell.MaxNumSeqs
			for _, e := range a.Emulates {
				served[e.ID]++
				if e.MaxNumSeqs >= least || e.MaxNumBatchedTokens != a.Cell.MaxNumBatchedTokens {
					t.Fatalf("%s cannot stand for %s", a.Cell.ID, e.ID)
				}
				least = e.MaxNumSeqs
			}
			if len(a.Emulates) > 0 && (s.Plan != "columns" || s.Emulate == "off") {
				t.Fatalf("%s emulates with plan %s, emulate %s", j.ID, s.Plan, s.Emulate)
			}
		}
		if len(served) != len(p.Cells) || slices.ContainsFunc(p.Cells, func(c record.Cell) bool { return served[c.ID] != 1 }) {
			t.Fatalf("cells are served %v", served)
		}
		if want := len(s.Grid.MaxNumBatchedTokens); s.Plan == "columns" && s.Emulate == "auto" && len(work) != want {
			t.Fatalf("%d servers for %d columns", len(work), want)
		}
		for _, c := range p.Counts.Shapes {
			if c.Shape == p.Shape && c.Jobs != len(work) {
				t.Fatalf("%d jobs are counted, %d planned", c.Jobs, len(work))
			}
		}
	})
}

func TestColumnsGoOutAsAnArrayOfTheirOwnName(t *testing.T) {
	p := Plan(ofVtune("columns", []int{4, 8}, []int{64, 128, 256}), Options{MaxArray: 10})
	if len(p.Units) != 2 || p.Units[1].ID != "columns" || !p.Units[1].Array() {
		t.Fatalf("units: %+v", p.Units)
	}
	want := record.Job{
		ID: "s8-t64-1", Kind: record.KindCell, Cell: "s8-t64", Attempt: 1, Emulates: []string{"s4-t64"},
		Needs: []record.Edge{{Job: "probe-1", When: record.AfterOK}}, Resources: record.Resources{GPUs: 2},
	}
	if diff := cmp.Diff(want, p.Units[1].Jobs[0]); diff != "" {
		t.Errorf("first column (-want +got):\n%s", diff)
	}
}

func TestAGridOfOneCellIsTheProbesAlone(t *testing.T) {
	for _, plan := range []string{"cells", "columns"} {
		p := Plan(ofVtune(plan, []int{4}, []int{64}), Options{MaxArray: 10})
		if len(p.Units) != 1 || p.Units[0].Riders[0].ID != "s4-t64-1" || p.Counts.ServerStarts != (record.Range{Expected: 1, Worst: 1}) {
			t.Errorf("%s: %+v, %+v", plan, p.Units, p.Counts)
		}
	}
}

func TestAClaimIsOneJobWithoutAProbe(t *testing.T) {
	s := ofVtune("columns", []int{4}, []int{64})
	s.Verify, s.Profile.With = spec.Verify{Rate: 12.5, Duration: "30m", Utilization: 0.93}, "none"
	p := Plan(s, Options{MaxArray: 10})
	want := []record.Unit{{ID: "s4-t64-1", Jobs: []record.Job{{ID: "s4-t64-1", Kind: record.KindCell, Cell: "s4-t64", Attempt: 1, Resources: record.Resources{GPUs: 2}}}}}
	if diff := cmp.Diff(want, p.Units); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(record.Verification{Rate: 12.5, Seconds: 1800, Utilization: 0.93}, p.Policy.Verify); diff != "" || p.Policy.Test.MaxSeconds != 1800 {
		t.Errorf("%g s at most, claim (-want +got):\n%s", p.Policy.Test.MaxSeconds, diff)
	}
	if a := Assignment(s, p, "r", p.Units[0].Jobs[0]); a.Utilization != 0.93 || a.Riders != nil || a.TraceWinner {
		t.Errorf("assignment %+v", a)
	}
	if c := p.Counts; c.ServerStarts.Worst != 1 || c.BenchmarkRuns.Worst != 2 || c.Shapes[0].FirstJob != 1855 || c.Shapes[0].Accelerator != 2*1855 {
		t.Errorf("counts %+v", c)
	}
	// What the claim's server had is not always known: then it is found as in any run.
	s.Verify.Utilization = 0
	if p := Plan(s, Options{}); len(p.Units) != 1 || p.Units[0].ID != "probe-1" || p.Units[0].Riders[0].ID != "s4-t64-1" {
		t.Errorf("without a utilization: %+v", p.Units)
	}
}

// Whatever the jobs are packed into, the claim's is the first and waits for none.
func TestAClaimIsTheOnlyJobOfEveryKindOfPlan(t *testing.T) {
	for name, site := range map[string]spec.Site{
		"one job": {Shape: "one-job", Nodes: 2, GPUsPerNode: 8}, "packed": {Pack: "gpus", GPUsPerNode: 8},
	} {
		s := ofVtune("cells", []int{4}, []int{64})
		s.Scheduler, s.Site, s.Verify = "slurm", site, spec.Verify{Rate: 1, Duration: "10m", Utilization: 0.9}
		var ids []string
		for _, u := range Plan(s, Options{MaxArray: 10}).Units {
			for _, j := range slices.Concat(u.Jobs, u.Riders) {
				ids = append(ids, j.ID)
				if len(j.Needs) > 0 {
					t.Errorf("%s: %s needs %v", name, j.ID, j.Needs)
				}
			}
		}
		if !slices.Equal(ids, []string{"s4-t64-1"}) {
			t.Errorf("%s: %v", name, ids)
		}
	}
}

func TestAPolicySaysWhatTheSpecSays(t *testing.T) {
	s := ofVtune("columns", []int{4}, []int{64})
	want := record.Policy{
		Method: "vtune", LimitMS: 500, InfRequests: 1000, RateRequests: 100,
		Limits: []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: 500}}, Tolerance: 0.02,
		Test:  record.Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.02, MaxRequests: 3000, MaxSeconds: 600},
		Prune: record.PruneBound, Emulate: record.EmulateAuto, Arrivals: record.Arrivals{Burstiness: 1e9, From: "sent"},
	}
	if diff := cmp.Diff(want, Plan(s, Options{}).Policy); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// The script's limit is not what these ask for.
	s.GoodputPct = 95
	if p := Plan(s, Options{}).Policy; p.LimitMS != 0 || p.GoodputPct != 95 || len(p.SLOs()) != 1 {
		t.Errorf("under a goodput: %+v", p)
	}
	s.GoodputPct, s.Limits[0].Percentile = 0, 99.9
	if p := Plan(s, Options{}).Policy; p.LimitMS != 0 {
		t.Errorf("another percentile: %+v", p)
	}
	s.Limits = nil
	if p := Plan(s, Options{}).Policy; p.LimitMS != 0 || p.Limits != nil {
		t.Errorf("no limit: %+v", p)
	}
}

func TestAssignmentsOfMethodVtune(t *testing.T) {
	s := ofVtune("columns", []int{4, 8}, []int{64, 128})
	s.Server.CacheRoot, s.Server.Environment, s.Workload.VocabSize = "/cache", map[string]string{"A": "b"}, 32000
	p := Plan(s, Options{})
	probe := Assignment(s, p, "r", p.Units[0].Jobs[0])
	if diff := cmp.Diff([]string{"s8-t128-1"}, probe.Riders); diff != "" || probe.Cell.ID != "s8-t128" || probe.TraceWinner {
		t.Errorf("probe: riders (-want +got):\n%s, %+v", diff, probe)
	}
	if diff := cmp.Diff(map[string]string{"A": "b", "VLLM_CACHE_ROOT": "/cache"}, probe.Server.Environment); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if len(s.Server.Environment) != 1 {
		t.Errorf("the spec was changed: %v", s.Server.Environment)
	}
	column := Assignment(s, p, "r", p.Units[1].Jobs[0])
	if column.Riders != nil || !column.TraceWinner || column.ProfileIterations != 20 || column.Workload.VocabSize != 32000 {
		t.Errorf("column: %+v", column)
	}
	for _, with := range []string{"own-start", "none"} {
		s.Profile.With = with
		p := Plan(s, Options{})
		a := Assignment(s, p, "r", p.Units[1].Jobs[0])
		if a.TraceWinner || a.ProfileIterations != 0 || string(p.Profile) != with {
			t.Errorf("%s: %+v", with, a)
		}
	}
	if a := Assignment(s, p, "r", Job(s, record.KindProfile, "", 1)); a.ProfileIterations != 20 {
		t.Errorf("a profile of %d iterations", a.ProfileIterations)
	}
}

func TestStartsOfBothShapes(t *testing.T) {
	starts := func(s *spec.Spec) map[record.Shape]record.Range {
		got := map[record.Shape]record.Range{}
		for _, c := range Plan(s, Options{}).Counts.Shapes {
			got[c.Shape] = c.ServerStarts
		}
		return got
	}
	two4, five5 := ofVtune("columns", []int{4, 8}, upTo(4, 100)), ofVtune("cells", upTo(5, 4), upTo(5, 100))
	off := ofVtune("columns", []int{4, 8}, upTo(4, 100))
	off.Emulate = "off"
	own := ofVtune("columns", []int{4, 8}, upTo(4, 100))
	own.Profile.With = "own-start"
	for _, c := range []struct {
		name           string
		spec           *spec.Spec
		columns, cells record.Range
	}{
		{"2 x 4", two4, record.Range{Expected: 5, Worst: 6}, record.Range{Expected: 8, Worst: 8}},
		{"5 x 5", five5, record.Range{Expected: 6, Worst: 7}, record.Range{Expected: 25, Worst: 25}},
		{"no emulation", off, record.Range{Expected: 8, Worst: 8}, record.Range{Expected: 8, Worst: 8}},
		{"a profile of its own", own, record.Range{Expected: 6, Worst: 7}, record.Range{Expected: 9, Worst: 9}},
	} {
		want := map[record.Shape]record.Range{record.ShapeColumns: c.columns, record.ShapeCells: c.cells}
		if diff := cmp.Diff(want, starts(c.spec)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// The formula by hand: 2 x 2 at 10 req/s, met at 7.5. A cell is bounded in 10 s and explored in 5 x 13.3 s, confirmed in 53.3 s.
func TestExpectedTimes(t *testing.T) {
	s := ofVtune("columns", []int{4, 8}, []int{64, 128})
	const explore, confirm = 10 + 5*100/7.5, 400 / 7.5
	got := Plan(s, Options{AssumedThroughput: 10}).Counts
	column, cell := got.Shapes[0], got.Shapes[1]
	for name, pair := range map[string][2]float64{
		"a column":      {column.OtherJob, 50 + 2*explore},
		"its follow-up": {column.FollowUp, 50 + 10 + confirm + 60},
		"columns":       {column.Accelerator, 2 * (2*(50+2*explore) + 50 + 10 + confirm + 60)}, // two GPUs a server
		"a cell":        {cell.OtherJob, 50 + explore + confirm},
		"cells":         {cell.Accelerator, 2 * (4*(50+explore+confirm) + 60)},
	} {
		if diff := pair[0] - pair[1]; diff < -1 || diff > 1 {
			t.Errorf("%s: %v s, want %v", name, pair[0], pair[1])
		}
	}
	if column.BenchmarkRuns.Expected != 4*6+2 || cell.BenchmarkRuns.Expected != 4*7 {
		t.Errorf("benchmark runs: %+v and %+v", column.BenchmarkRuns, cell.BenchmarkRuns)
	}
	if got.ServerStarts != column.ServerStarts {
		t.Errorf("the plan's own counts are %+v", got)
	}
	first, other, follow := cell.FirstJob, cell.OtherJob, cell.FollowUp
	for servers, want := range map[int]float64{0: first + other + follow, 1: first + 3*other + follow, 2: first + 2*other + follow, 9: first + other + follow} {
		if got := WallClock(cell, servers); got != want {
			t.Errorf("%d servers: %v s, want %v", servers, got, want)
		}
	}
}
