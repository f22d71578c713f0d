package jobs

import (
	"fmt"
	"slices"

	"vtune/internal/record"
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

// Requests of one observation, as auto_tune.sh sends them.
const (
	infRequests  = 1000
	rateRequests = 100
)

// Plan is what a run of s does, before anything is known: the probe, then every cell. The profile and rate searches of
// rate_search: follow-up are follow-ups, which the collector decides on. Pure and deterministic.
func Plan(s *spec.Spec, o Options) record.Plan {
	if o.AssumedThroughput <= 0 {
		o.AssumedThroughput = DefaultThroughput
	}
	p := record.Plan{
		Schema:     record.Schema,
		Policy:     record.Policy{Method: s.Method, LimitMS: s.Limit.P99E2ELMS, InfRequests: infRequests, RateRequests: rateRequests},
		RateSearch: s.RateSearch, Cells: cells(s),
	}
	if o.MaxArray >= 2 { // else the scheduler has slots, which are the limit
		p.MaxParallel = s.Site.MaxParallel
	}
	probe := Job(s, record.KindProbe, "", 1)
	p.Units = append(p.Units, record.Unit{ID: probe.ID, Jobs: []record.Job{probe}})
	p.Units = append(p.Units, cellUnits(s, p.Cells, probe.ID, o.MaxArray)...)
	p.Counts = counts(s, len(p.Cells), o.AssumedThroughput)
	return p
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
	if s.System == "GPU" {
		r.GPUs = s.TensorParallel
	}
	return r
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

// cellUnits packs the cells, which all have one resource shape, into as few arrays as MaxArray allows. A throttle holds for one
// array only, so throttled chunks run one after another; otherwise the limit would be a multiple of what the user set.
func cellUnits(s *spec.Spec, cs []record.Cell, probe string, maxArray int) []record.Unit {
	job := func(c record.Cell) record.Job {
		j := Job(s, record.KindCell, c.ID, 1)
		j.Needs = []record.Edge{{Job: probe, When: record.AfterOK}}
		return j
	}
	var units []record.Unit
	if maxArray < 2 {
		for _, c := range cs {
			j := job(c)
			units = append(units, record.Unit{ID: j.ID, Jobs: []record.Job{j}})
		}
		return units
	}
	previous := ""
	for chunk := range slices.Chunk(cs, maxArray) {
		u := record.Unit{ID: "cells", Throttle: s.Site.MaxParallel}
		if len(cs) > maxArray {
			u.ID = fmt.Sprintf("cells-%d", len(units)+1)
		}
		for _, c := range chunk {
			j := job(c)
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

// probeSteps is the number of utilisations the probe may try: 0.98 down to 0.90.
const probeSteps = 9

// counts follows facts that hold for the script's procedure: a start for each probe step, each cell and the profile; one inf run
// a cell, then a walk down from int(T)+1. Expected assumes that the probe passes at once and that a limit is met at three
// quarters of the throughput; worst that the probe passes last and that no cell ever meets the limit (but one does, or there
// would be no profile).
func counts(s *spec.Spec, cells int, throughput float64) record.Counts {
	c := record.Counts{
		ServerStarts:      record.Range{Expected: 1 + cells + 1, Worst: probeSteps + cells + 1},
		BenchmarkRuns:     record.Range{Expected: cells + 1, Worst: cells + 1},
		AssumedThroughput: throughput,
	}
	if s.Limit.P99E2ELMS == 0 {
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
