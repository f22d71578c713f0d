package jobs

import (
	"time"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// Assignment is what the agent is told for job j of a run. Follow-ups add what is known by then (see collect.FollowUp).
func Assignment(s *spec.Spec, p record.Plan, run string, j record.Job) record.Assignment {
	timeout, _ := time.ParseDuration(s.Server.StartTimeout) // a valid spec has a valid duration
	a := record.Assignment{
		Schema: record.Schema, Run: run, Job: j.ID, Kind: j.Kind, Cell: cellOf(s, p, j), Attempt: j.Attempt,
		Server: record.Server{
			Command: s.Server.Command, Environment: s.Server.Environment, Flags: s.Server.Flags,
			Model: s.Model, System: s.System, TensorParallel: s.TensorParallel, DownloadDir: s.DownloadDir,
			MaxModelLen: s.MaxModelLen, StartTimeoutSeconds: timeout.Seconds(),
		},
		Workload: record.Workload{InputLen: s.Workload.InputLen, OutputLen: s.Workload.OutputLen, CacheHitPct: s.Workload.CacheHitPct},
		Secrets:  s.Server.Secrets,
		Policy:   p.Policy, Client: s.Client, Seed: s.Seed,
	}
	switch j.Kind {
	case record.KindCell:
		a.StopAfterInf = s.RateSearch == "follow-up"
	case record.KindProfile:
		a.ProfileIterations = s.Profile.MaxIterations
	}
	return a
}

// cellOf is the cell a job starts its server with; the probe takes the largest value of each axis, where the script took the
// last of each list, so that what survives the probe survives every cell whatever the order of the lists.
func cellOf(s *spec.Spec, p record.Plan, j record.Job) record.Cell {
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
