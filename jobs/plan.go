package jobs

import (
	"fmt"
	"slices"

	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/spec"
)

// Options of a plan that are not the user's wish but the scheduler's nature, or an assumption.
type Options struct {
	// MaxArray is the greatest number of tasks in an array; 0: every job goes out alone.
	MaxArray int
	// AssumedThroughput in requests per second at an infinite rate. Nothing is known before the first measurement, so the
	// counts of benchmark runs rest on it; plan prints it beside them.
	AssumedThroughput float64
}

// DefaultThroughput is what a plan assumes a cell reaches at an infinite rate: an 8B model on one H200 does about 20 req/s at
// 1,800 tokens in and 20 out.
const DefaultThroughput = 20

// Requests of one observation, as auto_tune.sh sends them; the second also of the load that is profiled.
const (
	infRequests  = 1000
	rateRequests = 100
)

// Plan is what a run of s does, before anything is known: the probe, then every cell. The profile and rate searches of
// rate_search: follow-up are follow-ups, which the collector decides on. Pure and deterministic.
//
// Under method vtune the probe's server goes on as the first cell's, whose job rides on the probe's. In shape cells every other
// cell is a job, in shape columns every other column: its native cell, the one with the most max-num-seqs, whose server answers
// for the others too. A claim that names its memory utilization needs no probe.
func Plan(s *spec.Spec, o Options) record.Plan {
	if o.AssumedThroughput <= 0 {
		o.AssumedThroughput = DefaultThroughput
	}
	p := record.Plan{
		Schema: record.Schema, Policy: policy(s), RateSearch: s.RateSearch, Shape: record.Shape(s.Plan), Cells: cells(s),
	}
	if o.MaxArray >= 2 { // else the scheduler has slots, which are the limit
		p.MaxParallel = s.Site.MaxParallel
	}
	probe := Job(s, record.KindProbe, "", 1)
	first := record.Unit{ID: probe.ID, Jobs: []record.Job{probe}}
	work := servers(s, p.Cells)
	if with := record.Profiling(s.Profile.With); s.Method == spec.MethodVtune || with == record.ProfileNone {
		p.Profile = with
	}
	if s.Method == spec.MethodVtune {
		p.RepeatOutliers = s.Outliers == "repeat"
		var rider record.Job
		rider, work = takeFirst(work, cellOf(p, probe))
		if first.Riders = []record.Job{rider}; p.Policy.Verify.Utilization > 0 {
			first = record.Unit{ID: rider.ID, Jobs: first.Riders} // nothing is left to probe, and there is no other cell
		}
	}
	switch {
	case Pooled(s):
		all := append(first.Jobs, needing(work, probe.ID)...)
		p.Units = Machines(1, MachinesFor(s, len(all)), all, first.Riders)
	case OneJob(s):
		p.Units = []record.Unit{WholeCrew(s, 1, append(first.Jobs, needing(work, probe.ID)...), first.Riders)}
	case Packs(s):
		p.Units = append([]record.Unit{first}, Crews(s, 1, needing(work, probe.ID))...)
	default:
		p.Units = append(p.Units, first)
		p.Units = append(p.Units, packed(work, probe.ID, unitName(p.Shape), s.Site.MaxParallel, o.MaxArray)...)
	}
	p.Counts = counts(s, p, o.AssumedThroughput)
	return p
}

func policy(s *spec.Spec) record.Policy {
	p := record.Policy{Method: s.Method, InfRequests: infRequests, RateRequests: rateRequests}
	var limits []record.Limit
	for _, l := range s.Limits {
		limits = append(limits, record.Limit{Metric: record.Metric(l.Metric), Percentile: l.Percentile, MS: l.MS})
	}
	if len(limits) == 1 && limits[0].Metric == record.E2EL && limits[0].Percentile == 99 && s.GoodputPct == 0 {
		p.LimitMS = limits[0].MS
	}
	if s.Method != spec.MethodVtune {
		return p
	}
	p.Limits, p.GoodputPct, p.Tolerance = limits, s.GoodputPct, s.Tolerance
	p.Test = record.Test{
		Zone: s.Test.Zone, FalsePass: s.Test.FalsePass, FalseMiss: s.Test.FalseMiss,
		MaxRequests: s.Test.MaxRequests, MaxSeconds: s.Test.MaxSeconds(),
	}
	p.Prune, p.Emulate = record.Prune(s.Prune), record.Emulate(s.Emulate)
	p.Arrivals = record.Arrivals{Burstiness: s.Arrivals.Shape(), From: s.Arrivals.LatencyFrom}
	if v := s.Verify; v.Rate > 0 {
		p.Verify = record.Verification{Rate: v.Rate, Seconds: v.Seconds(), Utilization: v.Utilization}
		p.Test.MaxSeconds = max(p.Test.MaxSeconds, v.Seconds()) // how long was asked for
	}
	return p
}

// servers is a job for each server of the plan, the probe's aside.
func servers(s *spec.Spec, cs []record.Cell) []record.Job {
	var js []record.Job
	if s.Plan != string(record.ShapeColumns) {
		for _, c := range cs {
			js = append(js, Job(s, record.KindCell, c.ID, 1))
		}
		return js
	}
	for _, column := range columns(s, cs) {
		j := Job(s, record.KindCell, column.Cell.ID, 1)
		for _, c := range column.Emulates {
			j.Emulates = append(j.Emulates, c.ID)
		}
		js = append(js, j)
	}
	return js
}

// columns of the grid; where nothing is emulated every cell is one.
func columns(s *spec.Spec, cs []record.Cell) []search.Column {
	all := search.Columns(cs)
	if s.Emulate != string(record.EmulateOff) {
		return all
	}
	var alone []search.Column
	for _, c := range all {
		for _, cell := range append([]record.Cell{c.Cell}, c.Emulates...) {
			alone = append(alone, search.Column{Cell: cell})
		}
	}
	return alone
}

func takeFirst(js []record.Job, cell record.Cell) (first record.Job, others []record.Job) {
	for _, j := range js {
		if j.Cell == cell.ID {
			first = j
		} else {
			others = append(others, j)
		}
	}
	return first, others
}

// unitName is what an array of a plan's jobs is called.
func unitName(shape record.Shape) string {
	if shape == record.ShapeColumns {
		return string(shape)
	}
	return string(record.ShapeCells)
}

// Job is attempt n of one unit of work, with the resources the spec asks for. Cell is empty for probe and profile.
func Job(s *spec.Spec, k record.Kind, cell string, n int) record.Job {
	name := cell
	if k != record.KindCell {
		name = string(k)
	}
	return record.Job{ID: fmt.Sprintf("%s-%d", name, n), Kind: k, Cell: cell, Attempt: n, Resources: resources(s)}
}

func resources(s *spec.Spec) record.Resources {
	r := record.Resources{CPUs: s.Site.CPUs, MemMB: s.Site.MemoryMB(), Seconds: s.Site.TimeSeconds()}
	if Pooled(s) {
		r.Seconds = s.Site.TPU.MaxRunSeconds()
	}
	if s.System == "GPU" {
		r.Nodes, r.GPUs = span(s)
	}
	return r
}

// Accelerators that one server takes, on all its nodes together.
func Accelerators(s *spec.Spec) int { return s.TensorParallel * max(1, s.PipelineParallel) }

// span is how many nodes a server takes (0: one, or nobody said what a node has), and how many GPUs on each.
func span(s *spec.Spec) (nodes, gpus int) {
	world := Accelerators(s)
	if s.Site.GPUsPerNode <= 0 || world <= s.Site.GPUsPerNode {
		return 0, world
	}
	nodes = ceil(world, s.Site.GPUsPerNode)
	return nodes, ceil(world, nodes)
}

func ceil(a, b int) int { return (a + b - 1) / b }

// several is n where a record says 0 for one.
func several(n int) int {
	if n <= 1 {
		return 0
	}
	return n
}

func cells(s *spec.Spec) []record.Cell {
	var cs []record.Cell
	for _, seqs := range s.Grid.MaxNumSeqs {
		for _, tokens := range s.Grid.MaxNumBatchedTokens {
			cs = append(cs, record.Cell{ID: record.CellID(seqs, tokens), MaxNumSeqs: seqs, MaxNumBatchedTokens: tokens})
		}
	}
	return cs
}

// needing has jobs wait for the probe.
func needing(js []record.Job, probe string) []record.Job {
	for i := range js {
		js[i].Needs = []record.Edge{{Job: probe, When: record.AfterOK}}
	}
	return js
}

// packed puts jobs, which all have one resource shape, into as few arrays as maxArray allows. A throttle holds for one array
// only, so throttled chunks run one after another; otherwise the limit would be a multiple of what the user set.
func packed(js []record.Job, probe, name string, throttle, maxArray int) []record.Unit {
	js = needing(js, probe)
	var units []record.Unit
	if maxArray < 2 {
		for _, j := range js {
			units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
		}
		return units
	}
	previous := ""
	for chunk := range slices.Chunk(js, maxArray) {
		u := record.Unit{ID: name, Throttle: throttle}
		if len(js) > maxArray {
			u.ID = fmt.Sprintf("%s-%d", name, len(units)+1)
		}
		for _, j := range chunk {
			if previous != "" && u.Throttle > 0 {
				j.Needs = append(j.Needs, record.Edge{Job: previous, When: record.AfterAny})
			}
			u.Jobs = append(u.Jobs, j)
		}
		units = append(units, u)
		previous = u.ID
	}
	return units
}
