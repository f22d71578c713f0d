package jobs

import (
	"math"

	"vtune/internal/record"
	"vtune/internal/spec"
)

func counts(s *spec.Spec, p record.Plan, throughput float64) record.Counts {
	if s.Method != spec.MethodVtune {
		return autoTuneCounts(s, len(p.Cells), throughput)
	}
	if s.Verify.Rate > 0 {
		return claimCounts(s, p.Shape, throughput)
	}
	c := record.Counts{AssumedThroughput: throughput}
	for _, shape := range []record.Shape{record.ShapeColumns, record.ShapeCells} {
		sc := shapeCounts(s, p.Cells, shape, throughput)
		c.Shapes = append(c.Shapes, sc)
		if shape == p.Shape {
			c.ServerStarts, c.BenchmarkRuns = sc.ServerStarts, sc.BenchmarkRuns
		}
	}
	return c
}

// probeSteps is the number of utilisations the probe may try: 0.98 down to 0.90.
const probeSteps = 9

// autoTuneCounts follow facts that hold for the script's procedure: a start for each probe step, each cell and the profile; one inf run
// a cell, then a walk down from int(T)+1. Expected assumes that the probe passes at once and that a limit is met at three
// quarters of the throughput; worst that the probe passes last and that no cell ever meets the limit (but one does, or there
// would be no profile, which the script always makes and a spec may leave out).
func autoTuneCounts(s *spec.Spec, cells int, throughput float64) record.Counts {
	profile := 1
	if s.Profile.With == string(record.ProfileNone) {
		profile = 0
	}
	c := record.Counts{
		ServerStarts:      record.Range{Expected: 1 + cells + profile, Worst: probeSteps + cells + profile},
		BenchmarkRuns:     record.Range{Expected: cells + profile, Worst: cells + profile},
		AssumedThroughput: throughput,
	}
	if len(s.Limits) == 0 {
		return c
	}
	if s.RateSearch == "follow-up" {
		c.ServerStarts.Expected += cells
		c.ServerStarts.Worst += cells
	}
	top := int(throughput) + 1
	c.BenchmarkRuns.Expected += cells * (top - int(0.75*throughput) + 1)
	c.BenchmarkRuns.Worst += cells * top
	return c
}

// StartSeconds is what a plan assumes of a server's start: an 8B model on one H200 took 34 s with its compile cache, 68 s at most.
const StartSeconds = 50

// What a run of method vtune is assumed to cost, per server and per cell. A limit is met at three quarters of the throughput.
const (
	boundRequests   = 100 // of the run at an infinite rate that bounds a cell's request rate
	exploreRequests = 100 // of a run that narrows the bracket
	confirmRequests = 400 // of a run whose verdict must be sure
	exploreRuns     = 5   // halve a bracket of half the throughput to 2 %
	exploreRunsMost = 12  // when verdicts near the limit contradict each other
	confirmRunsMost = 8   // each at a lower rate, until one is shown to hold
	traceSeconds    = 60  // a bounded trace: its load, and writing it
)

// shapeCounts are documented in docs/methods.md. A cell on a server of its own is explored and confirmed there. A server that
// answers for several cells only explores them, and one that could win is confirmed on a server of its own, when all are known.
// Expected: every cell is explored (nothing is left early, which pruning makes better) and the first one that is tried is
// confirmed. Worst, failures aside: one more server, that checks the emulation.
func shapeCounts(s *spec.Spec, cs []record.Cell, shape record.Shape, throughput float64) record.ShapeCounts {
	servers, cells := len(cs), 1
	if cols := columns(s, cs); shape == record.ShapeColumns && len(cols[0].Emulates) > 0 {
		servers, cells = len(cols), 1+len(cols[0].Emulates) // columns of a grid are alike
	}
	rate, bound := 0.75*throughput, boundRequests/throughput
	explore, exploreMost, confirm, confirmMost := 1+exploreRuns, 1+exploreRunsMost, confirmRequests/rate, confirmRunsMost
	exploring := bound + exploreRuns*exploreRequests/rate
	if len(s.Limits) == 0 { // one run a cell, at an infinite rate: longer where it is the answer
		explore, exploreMost, exploring, confirm, confirmMost = 1, 1, bound, confirmRequests/throughput, 1
	}
	sc := record.ShapeCounts{Shape: shape, Jobs: servers, ServerStarts: record.Range{Expected: servers, Worst: servers}}
	sc.OtherJob = StartSeconds + float64(cells)*exploring
	if cells == 1 {
		sc.BenchmarkRuns = record.Range{Expected: servers * (explore + 1), Worst: servers * (exploreMost + confirmMost)}
		sc.OtherJob += confirm
	} else {
		const confirming, checking = 1, 1
		sc.ServerStarts.Expected += confirming
		sc.ServerStarts.Worst += confirming + checking
		sc.BenchmarkRuns = record.Range{
			Expected: len(cs)*explore + confirming*2, // a bound and the confirming run
			Worst:    (len(cs)+confirming+checking)*exploreMost + (confirming+checking)*confirmMost,
		}
		sc.FollowUp = confirming * (StartSeconds + bound + confirm)
	}
	sc.FirstJob = sc.OtherJob
	switch s.Profile.With {
	case string(record.ProfileOwnStart):
		sc.ServerStarts.Expected++
		sc.ServerStarts.Worst++
		sc.FollowUp += StartSeconds + traceSeconds
	case string(record.ProfileConfirm):
		sc.FollowUp += traceSeconds
	}
	sc.Accelerator = math.Round(float64(Accelerators(s)) * (float64(servers)*sc.OtherJob + sc.FollowUp))
	sc.FirstJob, sc.OtherJob, sc.FollowUp = math.Round(sc.FirstJob), math.Round(sc.OtherJob), math.Round(sc.FollowUp)
	return sc
}

// claimCounts are those of a claim: one server, and under limits a bound before the run.
func claimCounts(s *spec.Spec, shape record.Shape, throughput float64) record.Counts {
	one, runs, job := record.Range{Expected: 1, Worst: 1}, record.Range{Expected: 1, Worst: 1}, StartSeconds+s.Verify.Seconds()
	if len(s.Limits) > 0 {
		runs, job = record.Range{Expected: 2, Worst: 2}, job+boundRequests/throughput
	}
	job = math.Round(job)
	return record.Counts{ServerStarts: one, BenchmarkRuns: runs, AssumedThroughput: throughput, Shapes: []record.ShapeCounts{{
		Shape: shape, Jobs: 1, ServerStarts: one, BenchmarkRuns: runs, FirstJob: job, Accelerator: job * float64(Accelerators(s)),
	}}}
}

// WallClock is how long a run of these counts takes on so many servers at once, in s; 0: as many as there are jobs. The other
// jobs wait for the first, and follow-ups for all of them.
func WallClock(c record.ShapeCounts, servers int) float64 {
	others := c.Jobs - 1
	if servers <= 0 {
		servers = max(others, 1)
	}
	waves := (others + servers - 1) / servers
	return c.FirstJob + float64(waves)*c.OtherJob + c.FollowUp
}
