package collect

import (
	"cmp"
	"slices"

	"vtune/collect/fleet"
	"vtune/internal/record"
	"vtune/internal/search"
)

// Derive is the state that a snapshot implies. Pure: the same records give the same bytes, whoever asks and whenever.
func Derive(s Snapshot) record.State {
	st := record.State{Schema: record.Schema, Run: s.Run.ID, Policy: s.Plan.Policy, Ledger: record.Ledger{}, Warnings: s.Plan.Warnings}
	byWork := jobsByWork(s)
	var made [][]record.Observation // by attempt
	for _, j := range s.Jobs {
		made = append(made, j.Observations)
		st.Accelerators = max(st.Accelerators, j.Resources.GPUs*max(1, j.Resources.Nodes))
		if j.Result == nil {
			continue
		}
		for what, seconds := range j.Result.Ledger {
			st.Ledger[what] += seconds
		}
		if v := j.Result.ServerVersion; v != "" {
			st.ServerVersion = v
		}
		if j.Kind == record.KindProfile && j.Result.Outcome == record.OutcomeDone {
			st.ProfileFiles = j.Result.Profile
		}
	}
	st.Probe, st.Utilization = probe(byWork[workOf(record.KindProbe, "")], s.Plan.Policy.Verify.Utilization)
	if st.Policy.Method == search.Vtune {
		var all []standing
		all, st.Warnings = standings(s, byWork, st.Probe)
		for _, c := range all {
			if c.Utilization >= st.Utilization {
				c.Utilization = 0
			}
			st.Cells = append(st.Cells, c.CellState)
		}
	} else {
		for _, c := range s.Plan.Cells {
			st.Cells = append(st.Cells, cell(s.Plan.Policy, c, byWork[workOf(record.KindCell, c.ID)], st.Probe))
		}
	}
	st.Packed = fleet.Beside(made)
	st.Best = search.Best(st.Policy, st.Cells)
	st.Profile = work(byWork[workOf(record.KindProfile, "")])
	switch traced := traceOf(st.Best, byWork); {
	case s.Plan.Profile == record.ProfileNone:
		st.Profile = record.WorkState{Phase: record.WorkSkipped, Message: "none was asked for"}
	case traced != nil && s.Plan.Profile == record.ProfileConfirm:
		st.Profile, st.ProfileFiles = record.WorkState{Phase: record.WorkDone}, traced
	}
	st.Phase = phase(&st, s.Cancelled)
	fleet.Mark(&st, s.Fleet())
	return st
}

// traceOf are the files that the winner's own server traced, in the attempt that gave the answer or else the newest.
func traceOf(best *record.Best, byWork map[string][]JobRecord) []string {
	if best == nil {
		return nil
	}
	var files []string
	for _, j := range byWork[workOf(record.KindCell, best.Cell.ID)] {
		if j.Result == nil || len(j.Result.Profile) == 0 {
			continue
		}
		if files = j.Result.Profile; j.Job.Attempt == best.Observation.Attempt {
			break
		}
	}
	return files
}

// jobsByWork are the jobs of each unit of work by number, oldest first: the scan's order is that of names, where 10 comes before 2.
// Those whose server answers for a cell by emulation are its column's.
func jobsByWork(s Snapshot) map[string][]JobRecord {
	byWork := map[string][]JobRecord{}
	for _, j := range s.Jobs {
		byWork[workOf(j.Kind, j.Cell)] = append(byWork[workOf(j.Kind, j.Cell)], j)
		for _, c := range j.Emulates {
			byWork[columnOf(c)] = append(byWork[columnOf(c)], j)
		}
	}
	for _, attempts := range byWork {
		slices.SortStableFunc(attempts, func(a, b JobRecord) int { return cmp.Compare(a.Job.Attempt, b.Job.Attempt) })
	}
	return byWork
}

func workOf(k record.Kind, cell string) string { return string(k) + "/" + cell }
func columnOf(cell string) string              { return "column/" + cell }

func phase(st *record.State, cancelled bool) record.Phase {
	switch {
	case cancelled:
		return record.PhaseCancelled
	case !st.Probe.Phase.Final():
		return record.PhaseProbing
	case !cellsFinal(st.Cells):
		return record.PhaseMeasuring
	case st.Best != nil && !st.Profile.Phase.Final():
		return record.PhaseProfiling
	}
	return record.PhaseOver
}

func cellsFinal(cs []record.CellState) bool {
	return !slices.ContainsFunc(cs, func(c record.CellState) bool { return !c.Phase.Final() })
}

// probe of a run that was told the memory utilization is done from the start.
func probe(jobs []JobRecord, told float64) (record.WorkState, float64) {
	w := work(jobs)
	if told > 0 {
		w.Phase = record.WorkDone
	}
	for _, j := range jobs {
		if j.Result != nil && j.Result.Outcome == record.OutcomeDone {
			w.Phase, w.Cause, w.Message = record.WorkDone, record.CauseNone, ""
			return w, j.Result.Utilization
		}
	}
	return w, told
}

func cell(p record.Policy, c record.Cell, jobs []JobRecord, probe record.WorkState) record.CellState {
	cs := record.CellState{Cell: c, WorkState: work(jobs)}
	for _, j := range jobs {
		cs.Observations = append(cs.Observations, j.Observations...)
	}
	if cs.Phase == record.WorkRunning {
		return cs
	}
	if len(cs.Observations) > 0 {
		switch d := search.Next(search.Question{Policy: p, Observed: cs.Observations}); d.Action {
		case search.Accept:
			cs.Phase, cs.Cause, cs.Message, cs.Accepted = record.WorkDone, record.CauseNone, "", d.Best
			return cs
		case search.GiveUp:
			// A walk to the end of the rates is an answer; one that invalid observations ended is a failure.
			cs.Phase, cs.Cause, cs.Message = record.WorkDone, d.Cause, d.Reason
			if d.Cause != record.CauseNone {
				cs.Phase = record.WorkFailed
			}
			return cs
		}
	}
	if probe.Phase == record.WorkFailed && !cs.Phase.Final() {
		cs.Phase, cs.Cause, cs.Message = record.WorkSkipped, record.CauseProbe, "the probe failed"
	}
	return cs
}

// work is the standing of one unit of work by its attempts alone, oldest first.
func work(jobs []JobRecord) record.WorkState {
	w := record.WorkState{Phase: record.WorkWaiting}
	for _, j := range jobs {
		w.Attempts = append(w.Attempts, attempt(j))
	}
	if len(jobs) == 0 {
		return w
	}
	last := jobs[len(jobs)-1]
	switch {
	case last.Result != nil && last.Result.Cause == record.CauseStopped && last.Ended == nil:
		// Told to stop, but by whom? Only the scheduler knows whether a person cancelled the job or it was preempted, so
		// nothing is decided before the collector has noted the scheduler's word.
		w.Phase = record.WorkRunning
	case last.Over():
		after(&w, jobs)
	case last.Claim != nil || len(last.Observations) > 0: // a claim may become visible after what followed it
		w.Phase = record.WorkRunning
	}
	if before := jobs[:len(jobs)-1]; !last.Over() && len(before) > 0 {
		var then record.WorkState
		after(&then, before)
		w.Failures, w.MostFailures = then.Failures, then.MostFailures
	}
	return w
}

func attempt(j JobRecord) record.AttemptState {
	a := record.AttemptState{
		Job: j.ID, Attempt: j.Job.Attempt, Submitted: j.SchedulerID, Observed: len(j.Observations),
		ServerLog: j.ServerLog, Ended: j.Over(), SubmittedAt: j.SubmittedAt,
	}
	if j.Claim != nil {
		a.Started, a.StartedAt, a.Node = true, j.Claim.Started, j.Claim.Node
		if j.Claim.Step != "" && a.Submitted != "" && j.Task < 0 {
			a.Submitted += "." + j.Claim.Step
		}
	}
	a.Cause, a.Message = causeOf(j)
	if e := j.Ended; e != nil {
		a.Node, a.EndedAt = cmp.Or(a.Node, e.Node), e.At
	}
	if r := j.Result; r != nil {
		a.Outcome, a.Starts, a.Seconds, a.EndedAt = r.Outcome, r.Starts, r.Ended.Sub(r.Started).Seconds(), r.Ended
	}
	return a
}
