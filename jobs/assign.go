package jobs

import (
	"maps"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// Assignment is what the agent is told for job j of a run. Follow-ups add what is known by then (see collect.FollowUp).
func Assignment(s *spec.Spec, p record.Plan, run string, j record.Job) record.Assignment {
	a := record.Assignment{
		Schema: record.Schema, Run: run, Job: j.ID, Kind: j.Kind, Cell: cellOf(p, j), Attempt: j.Attempt,
		Server: record.Server{
			Command: s.Server.Command, Environment: environment(s), Flags: s.Server.Flags,
			Model: s.Model, System: s.System, TensorParallel: s.TensorParallel, DownloadDir: s.DownloadDir,
			PipelineParallel: several(s.PipelineParallel), Nodes: j.Resources.Nodes,
			MaxModelLen: s.MaxModelLen, StartTimeoutSeconds: s.Server.StartSeconds(),
		},
		Workload: record.Workload{
			InputLen: s.Workload.InputLen, OutputLen: s.Workload.OutputLen, CacheHitPct: s.Workload.CacheHitPct, VocabSize: s.Workload.VocabSize,
		},
		Secrets: s.Server.Secrets,
		Policy:  p.Policy, Client: s.Client, Seed: s.Seed, Utilization: p.Policy.Verify.Utilization,
	}
	if s.Method == spec.MethodVtune && j.Kind == record.KindCell {
		a.Check = check(s, p)
	}
	if s.Scheduler == "slurm" && s.Site.GPUStyle != "none" {
		a.GPUs = j.Resources.GPUs
	}
	switch j.Kind {
	case record.KindProbe:
		for _, r := range p.Units[0].Riders {
			a.Riders = append(a.Riders, r.ID)
		}
	case record.KindCell:
		a.StopAfterInf = s.RateSearch == "follow-up"
		for _, id := range j.Emulates {
			a.Emulates = append(a.Emulates, cellOf(p, record.Job{Cell: id}))
		}
		if a.TraceWinner = p.Profile == record.ProfileConfirm; a.TraceWinner {
			a.ProfileIterations = s.Profile.MaxIterations
		}
	case record.KindProfile:
		a.ProfileIterations = s.Profile.MaxIterations
	}
	return a
}

// environment of the server, with the caches that the cells of a run share. Compiling anew is a third of a start, and most cells
// have a cache entry of their own.
func environment(s *spec.Spec) map[string]string {
	if s.Server.CacheRoot == "" {
		return s.Server.Environment
	}
	env := maps.Clone(s.Server.Environment)
	if env == nil {
		env = map[string]string{}
	}
	env["VLLM_CACHE_ROOT"] = s.Server.CacheRoot
	return env
}

// cellOf is the cell a job starts its server with; the probe takes the largest value of each axis, where the script took the
// last of each list, so that what survives the probe survives every cell whatever the order of the lists.
func cellOf(p record.Plan, j record.Job) record.Cell {
	for _, c := range p.Cells {
		if c.ID == j.Cell {
			return c
		}
	}
	largest := record.Cell{}
	for _, c := range p.Cells {
		largest.MaxNumSeqs = max(largest.MaxNumSeqs, c.MaxNumSeqs)
		largest.MaxNumBatchedTokens = max(largest.MaxNumBatchedTokens, c.MaxNumBatchedTokens)
	}
	largest.ID = record.CellID(largest.MaxNumSeqs, largest.MaxNumBatchedTokens)
	return largest
}
