package spec

import (
	"fmt"

	"vtune/internal/spec/table"
	"vtune/internal/spec/tree"
)

// Methods.
const (
	MethodVtune    = "vtune"
	MethodAutoTune = "auto_tune"
)

func ofOtherMethod(f field, s *Spec) bool { return f.Method != "" && f.Method != s.Method }

func ofOtherScheduler(f field, s *Spec) bool { return f.Scheduler != "" && f.Scheduler != s.Scheduler }

// boundedTrace: a trace of 20 whole requests took five minutes to write on a CPU.
func boundedTrace(s *Spec) string {
	switch {
	case s.Method == MethodVtune:
		return "20"
	case s.System == "CPU":
		return "10"
	}
	return "0"
}

func clientOfMethod(s *Spec) string {
	if s.Method == MethodAutoTune {
		return "vllm"
	}
	return "vtune"
}

func profileOfMethod(s *Spec) string {
	switch {
	case s.Method == MethodAutoTune:
		return "own-start"
	case s.Verify.Rate > 0: // what the winner does was traced when it won
		return "none"
	}
	return "confirm"
}

// planWhere: a machine of one's own has fewer slots than a grid has cells, so a start that is saved is time; a cluster runs as many
// jobs as there are, unless it is told not to. A TPU's machine does one job after the other.
func planWhere(s *Spec) string {
	cells := len(s.Grid.MaxNumSeqs) * len(s.Grid.MaxNumBatchedTokens)
	switch {
	case s.Scheduler == tpu && s.Site.TPU.CellsPerResource == 1:
		return "cells"
	case s.Scheduler == slurm && (s.Site.MaxParallel == 0 || s.Site.MaxParallel >= cells):
		return "cells"
	}
	return "columns"
}

// checkMethod refuses what a method would pass over in silence, or cannot do.
func (d *decoder) checkMethod() {
	if !d.Sound("method") {
		return
	}
	d.checkForeign()
	if d.spec.Method == MethodAutoTune {
		d.checkAutoTune()
		return
	}
	refuse := func(path, value, what, hint string) {
		if n := d.seen[path]; n != nil && n.Value == value && d.Sound(path) {
			d.Problem(n, path, what, hint)
		}
	}
	const orTheScripts = ", or write method: auto_tune"
	refuse("client", "vllm", "method vtune ends a load as soon as its verdict is sure, which vllm bench serve cannot", "use client: vtune"+orTheScripts)
	refuse("rate_search", "follow-up", "method vtune searches in the cell's job", "leave the key out"+orTheScripts)
	refuse("workload.cache_hit_pct", "100", "100 % leaves a request no tokens of its own, and prompts could not be told apart", "write at most 99"+orTheScripts)
}

func (d *decoder) checkForeign() {
	table.Walk(fields(), "", func(f field, path string) {
		if n := d.seen[path]; n != nil && ofOtherMethod(f, d.spec) {
			d.Problem(n, path, "only method "+f.Method+" knows this key", "leave it out, or write method: "+f.Method)
		}
	})
}

// checkAutoTune: the script knows one limit, and profiles in a start of its own.
func (d *decoder) checkAutoTune() {
	const known = "method auto_tune knows one limit, on P99 E2EL"
	for i, l := range d.spec.Limits {
		n, path := tree.Resolve(d.seen["limits"].Content[i]), fmt.Sprintf("limits[%d]", i)
		if !d.soundLimit(i) {
			continue
		}
		if l.Metric != "e2el" || l.Percentile != 99 || i > 0 {
			d.Problem(n, path, known, "use method: vtune")
		}
	}
	const with = "profile.with"
	if n := d.seen[with]; n != nil && n.Value == "confirm" && d.Sound(with) {
		d.Problem(n, with, "method auto_tune has no confirming run", "use own-start or none")
	}
}
