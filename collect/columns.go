package collect

import (
	"slices"

	"vtune/internal/record"
	"vtune/internal/search"
)

// This file is method vtune's part of the state. A job may answer for several cells: its own, measured on its own server, and by
// emulation others of its column. What is real and what is emulated are kept apart: a cell's answer rests on what its own server
// showed, an emulation can only rule it out.

// standing is a cell with what its state alone does not say: how it would go on.
type standing struct {
	record.CellState
	own       []JobRecord          // jobs of its own, oldest first
	columns   []JobRecord          // jobs whose server answers for it by emulation, oldest first
	real      []record.Observation // of its own server
	emulated  []record.Observation // of another's, with what is true of both
	hint      float64              // request rate that exploring runs found it likely to hold; 0: none
	decided   bool                 // the search is over, or needs a server of the cell's own
	candidate bool                 // follow-up on a server of its own, which only the most promising gets
	elected   bool                 // the most promising candidate, whose turn it is
	riding    bool                 // follow-up with its column, whose own cell's job goes on with it
	before    []JobRecord          // attempts that a repetition has replaced
	open      bool                 // a repetition is under way and has shown nothing yet
	due       bool                 // and has no job yet
	alone     bool                 // and is the cell's, not its column's
}

// standings of all cells, in grid order.
func standings(s Snapshot, byWork map[string][]JobRecord, probe record.WorkState) (all []standing, warnings []string) {
	for _, c := range s.Plan.Cells {
		all = append(all, stand(s, c, byWork))
	}
	p := s.Plan.Policy
	for i := range all {
		all[i].begin(p, probe)
	}
	// Each is now asked again with what the others hold. What a confirming search must beat is confirmed; an exploring one knew
	// of what was likely too.
	confirmed, likely := make([]float64, len(all)), make([]float64, len(all))
	for i := range all {
		if p.Prune != record.PruneNone {
			confirmed[i], likely[i] = rivals(all, i)
		}
	}
	for i := range all {
		best := confirmed[i]
		if all[i].explores() && !all[i].candidate {
			best = likely[i]
		}
		all[i].against(p, best)
		all[i].reopen()
	}
	if p.Prune == record.PruneModel {
		ruleOut(p, all)
	}
	ride(all)
	return all, elect(p, all)
}

func newStanding(c record.Cell, byWork map[string][]JobRecord) standing {
	st := standing{CellState: record.CellState{Cell: c}, own: byWork[workOf(record.KindCell, c.ID)]}
	var native []record.Observation
	for _, of := range byWork[columnOf(c.ID)] {
		st.columns = append(st.columns, of)
		for _, o := range of.Observations {
			if o.Cell == c.ID && o.Emulated {
				st.emulated = append(st.emulated, o)
			}
			if o.Cell == of.Cell && !o.Emulated && !o.Alone {
				native = append(native, o)
			}
		}
	}
	for _, j := range st.own {
		for _, o := range j.Observations {
			if o.Cell == c.ID && !o.Emulated && !o.Alone {
				st.real = append(st.real, o)
			}
		}
		if r := j.Result; r != nil && r.Utilization > 0 {
			st.Utilization = r.Utilization
		}
	}
	st.Observations = slices.Concat(st.emulated, st.real)
	if len(st.columns) > 0 {
		st.emulated = slices.Concat(search.Transfer(native, c.MaxNumSeqs), st.emulated)
	}
	return st
}

// explores reports whether all that was asked about the cell so far is what is likely: it has no job of its own but one that
// answers for a column.
func (st *standing) explores() bool {
	return !slices.ContainsFunc(st.own, func(j JobRecord) bool { return len(j.Emulates) == 0 })
}

// question about what is known of the cell: of its own server, or where that has shown nothing, by emulation. Without memory a
// server shows nothing about a load.
func (st *standing) question(p record.Policy, best float64) search.Question {
	q := search.Question{Policy: p, Best: best, Explore: st.explores()}
	if q.Observed = st.real; len(st.real) == 0 && len(st.emulated) > 0 {
		q.Observed, q.Emulated, q.Explore = st.emulated, true, true
	}
	q.Observed = slices.DeleteFunc(slices.Clone(q.Observed), func(o record.Observation) bool {
		return o.Verdict == record.Invalid && o.Cause == record.CauseOOM
	})
	return q
}

// begin is where the cell stands by itself, whatever others hold.
func (st *standing) begin(p record.Policy, probe record.WorkState) {
	jobs := st.own
	if len(jobs) == 0 {
		jobs = st.columns
	}
	st.WorkState = work(jobs)
	if n := len(jobs); n > 0 && st.Phase == record.WorkDone {
		st.Message = jobs[n-1].Result.Message
	}
	if len(st.own) == 0 {
		st.Attempts = nil // they are another cell's
	}
	if len(st.before) > 0 {
		st.Attempts = append(work(st.before).Attempts, st.Attempts...)
	}
	if st.due {
		st.Phase, st.Cause, st.Message = record.WorkFollowUp, record.CauseNone, ""
	}
	st.Emulated = len(st.columns) > 0 && len(st.real) == 0
	if q := st.question(p, 0); len(q.Observed) > 0 {
		st.decide(search.Next(q))
	}
	if probe.Phase == record.WorkFailed && !st.Phase.Final() && st.Phase != record.WorkRunning {
		st.Phase, st.Cause, st.Message = record.WorkSkipped, record.CauseProbe, "the probe failed"
	}
}

// reopen a cell that its column left without an answer. Where the column's server failed, that says nothing about a cell with
// fewer max-num-seqs, unless no server starts with such flags, or a person ended the job.
func (st *standing) reopen() {
	emulated := len(st.own) == 0 && len(st.columns) > 0
	failed := emulated && st.Phase == record.WorkFailed && st.Cause != record.CauseFlags && st.Cause != record.CauseStopped
	if st.explores() && !st.decided && (st.Phase == record.WorkDone || failed) {
		st.Phase, st.Cause, st.Message, st.candidate = record.WorkFollowUp, record.CauseNone, "", true
	}
}

// decide takes over what a search that is over says. While a job goes on, it is the job's to say so, but for an answer: nothing
// takes that back, and others may be measured against it.
func (st *standing) decide(d search.Decision) {
	if d.Action == search.Accept {
		st.Accepted = d.Best
	}
	if st.Phase == record.WorkRunning || st.open {
		return
	}
	final := func(phase record.WorkPhase) {
		st.Phase, st.Cause, st.Message, st.decided, st.candidate = phase, d.Cause, d.Reason, true, false
	}
	switch d.Action {
	case search.Accept:
		final(record.WorkDone)
	case search.Leave:
		final(record.WorkDone)
		st.Left, st.Bound = true, d.Bound
	case search.GiveUp:
		// A search that ran out of rates is an answer; one that invalid observations ended is a failure, of a cell that was
		// only emulated not even that.
		switch {
		case d.Cause == record.CauseNone:
			final(record.WorkDone)
		case len(st.own) > 0:
			final(record.WorkFailed)
		}
	case search.Own:
		st.hint = d.Hint
		if st.explores() && st.Phase != record.WorkWaiting {
			final(record.WorkFollowUp)
			st.candidate = true
		}
	}
}

// against asks again, knowing what is to be beaten.
func (st *standing) against(p record.Policy, best float64) {
	if q := st.question(p, best); best > 0 && st.Accepted == nil && len(q.Observed) > 0 {
		if d := search.Next(q); d.Action == search.Leave {
			st.decide(d)
		}
	}
}

// rivals are the most that another cell is confirmed, and likely, to hold. What nothing shall follow from is not known.
func rivals(all []standing, i int) (confirmed, likely float64) {
	for k := range all {
		if other := &all[k]; k != i {
			if other.Accepted != nil {
				confirmed = max(confirmed, search.Rival(*other.Accepted))
			} else if !other.Phase.Final() {
				likely = max(likely, other.hint)
			}
		}
	}
	return confirmed, max(confirmed, likely)
}

// ruleOut ends cells that nobody works on and that a model of the others says cannot win.
func ruleOut(p record.Policy, all []standing) {
	for i := range all {
		st := &all[i]
		stopped := st.Phase == record.WorkFailed && st.Cause == record.CauseStopped // by the collector, it may be
		if st.Phase != record.WorkWaiting && st.Phase != record.WorkFollowUp && !stopped {
			continue
		}
		var known []record.CellState
		for k := range all {
			if k != i {
				known = append(known, all[k].CellState)
			}
		}
		if bound, reason, out := search.RuledOut(p, known, st.Cell); out {
			st.decide(search.Decision{Action: search.Leave, Bound: bound, Reason: reason})
		}
	}
}

// ride has a column that was cut short go on as one: the next job of its own cell answers for the others that lack an answer too.
// Where that cell is done with, they are candidates.
func ride(all []standing) {
	for i := range all {
		st := &all[i]
		if st.Phase != record.WorkFollowUp || st.candidate || st.alone || len(st.own) > 0 || len(st.columns) == 0 {
			continue
		}
		native := st.columns[len(st.columns)-1].Cell
		at := slices.IndexFunc(all, func(of standing) bool { return of.ID == native })
		if at < 0 || all[at].Phase != record.WorkFollowUp || !all[at].explores() {
			st.candidate = true
			continue
		}
		st.riding, all[at].candidate = true, false // an explored cell waits for its turn behind its column
	}
}

// elect finds the candidate whose turn it is, once nothing else is under way: what runs may still beat it. Those that a search
// finds likely to win go first, then those of which too little is known.
func elect(p record.Policy, all []standing) (warnings []string) {
	var states []record.CellState
	emulated, busy := false, false
	for i := range all {
		states = append(states, all[i].CellState)
		emulated = emulated || len(all[i].columns) > 0
		busy = busy || !all[i].Phase.Final() && !all[i].candidate
	}
	promising, hint := "", 0.0
	if emulated {
		cell, at, holds, warning := search.NeedsOwn(p, states)
		if promising, hint = cell, at; !holds {
			warnings = append(warnings, warning)
		}
	}
	if busy {
		return warnings
	}
	for i := range all {
		if st := &all[i]; st.ID == promising && (st.candidate || st.Emulated && len(st.own) == 0) {
			st.nominate(hint)
			return warnings
		}
	}
	best := -1
	for i := range all {
		if all[i].candidate && (best < 0 || all[i].hint > all[best].hint) {
			best = i
		}
	}
	if best >= 0 {
		all[best].nominate(all[best].hint)
	}
	return warnings
}

// nominate gives the cell its turn, also where only an emulation had ruled it out that is not believed any more.
func (st *standing) nominate(hint float64) {
	st.Phase, st.Cause, st.Message, st.Left, st.Bound = record.WorkFollowUp, record.CauseNone, "", false, 0
	st.candidate, st.elected, st.hint = true, true, hint
}
