package collect

import (
	"math"
	"slices"

	"vtune/collect/chain"
	"vtune/internal/record"
	"vtune/internal/search"
)

// FollowUp is a job that the collector decides on: it goes on from what is known.
type FollowUp struct {
	Kind        record.Kind
	Cell        string
	Attempt     int
	Emulates    []string // cells that its server answers for too
	Known       []record.Observation
	Utilization float64
	Hint        float64               // request rate at which to look first; 0: none
	Avoid       []string              // nodes that the run had bad luck with
	Profile     *record.ProfileTarget // Kind profile: what to profile
}

// Decisions are what follows from a state. Nothing in them has happened yet.
type Decisions struct {
	Unsubmitted []record.Unit // recorded, but not acknowledged by the scheduler
	FollowUps   []FollowUp
	Cancel      []string // ids of jobs that can add nothing any more
}

// Decide is pure. Asked again about the same directory it decides the same, so a collector that is killed between deciding and
// doing loses nothing.
func Decide(s Snapshot, st record.State) Decisions {
	var d Decisions
	if st.Phase.Over() { // also of a cancelled run: a job may have been recorded just after the cancelling command looked
		d.Cancel = living(s)
		return d
	}
	needless := needless(s, st)
	unfinished := map[string]bool{}
	for _, j := range s.Jobs {
		if !j.Over() && !needless[j.ID] {
			unfinished[j.Unit] = true
		}
		if needless[j.ID] && j.SchedulerID != "" {
			d.Cancel = append(d.Cancel, j.ID)
		}
	}
	for _, u := range s.Units {
		if u.Submitted == nil && unfinished[u.ID] {
			d.Unsubmitted = append(d.Unsubmitted, u.Unit)
		}
	}
	if st.Probe.Phase == record.WorkFollowUp {
		d.FollowUps = append(d.FollowUps, FollowUp{Kind: record.KindProbe, Attempt: len(st.Probe.Attempts) + 1})
	}
	if st.Probe.Phase != record.WorkDone {
		return d.avoiding(avoid(s))
	}
	cells := followUps(s, st)
	d.FollowUps = append(d.FollowUps, cells[:max(0, min(room(s), len(cells)))]...)
	if st.Phase == record.PhaseProfiling && (st.Profile.Phase == record.WorkFollowUp || len(st.Profile.Attempts) == 0) {
		d.FollowUps = append(d.FollowUps, FollowUp{
			Kind: record.KindProfile, Attempt: len(st.Profile.Attempts) + 1, Utilization: utilization(st, st.Best.Cell),
			Profile: &record.ProfileTarget{
				Cell: st.Best.Cell,
				Load: record.Load{Rate: st.Best.Observation.Load.Rate, Requests: st.Policy.RateRequests},
			},
		})
	}
	return d.avoiding(avoid(s))
}

// avoiding has every follow-up stay away from nodes.
func (d Decisions) avoiding(nodes []string) Decisions {
	for i := range d.FollowUps {
		d.FollowUps[i].Avoid = nodes
	}
	return d
}

// followUps of cells, the first ones to go out first.
func followUps(s Snapshot, st record.State) (follow []FollowUp) {
	next := func(c record.CellState, known []record.Observation) FollowUp {
		return FollowUp{
			Kind: record.KindCell, Cell: c.ID, Attempt: len(c.Attempts) + 1, Known: known, Utilization: utilization(st, c.Cell),
		}
	}
	if st.Policy.Method != search.Vtune {
		for _, c := range st.Cells {
			if c.Phase == record.WorkFollowUp {
				follow = append(follow, next(c, c.Observations))
			}
		}
		return follow
	}
	all, _ := standings(s, jobsByWork(s), st.Probe)
	for i, c := range all {
		if c.Phase != record.WorkFollowUp || c.riding || c.candidate && !c.elected {
			continue
		}
		f := next(st.Cells[i], c.known())
		f.Hint = c.hint
		for _, with := range all {
			if with.riding && with.columns[len(with.columns)-1].Cell == c.ID {
				f.Emulates = append(f.Emulates, with.ID)
				if !with.open {
					f.Known = append(f.Known, with.Observations...)
				}
			}
		}
		follow = append(follow, f)
	}
	return follow
}

// utilization is the probe's, or what a load has left of it.
func utilization(st record.State, cell record.Cell) float64 {
	for _, c := range st.Cells {
		if c.Cell == cell && c.Utilization > 0 {
			return c.Utilization
		}
	}
	return st.Utilization
}

// needless are jobs of method vtune that have not begun and need not: a model ruled out every cell that they would have measured.
// Where something is known of a cell itself, its job finds out before it starts a server.
func needless(s Snapshot, st record.State) map[string]bool {
	over := map[string]bool{}
	for _, c := range st.Cells {
		over[c.ID] = c.Left && c.Phase.Final() && len(c.Observations) == 0
	}
	found := map[string]bool{}
	for _, j := range s.Jobs {
		found[j.ID] = j.Kind == record.KindCell && !j.Rider && !j.Over() && j.Claim == nil && over[j.Cell] &&
			!slices.ContainsFunc(j.Emulates, func(c string) bool { return !over[c] })
	}
	return found
}

// room is how many follow-ups of cells may go out now. A throttle holds within one array only, so follow-ups that go out beside
// an array, or beside each other, are held back here; what is held back is decided again at the next pass.
func room(s Snapshot) int {
	if s.Plan.MaxParallel == 0 {
		return math.MaxInt
	}
	alive := map[string]int{}
	for _, j := range s.Jobs {
		if j.Kind == record.KindCell && !j.Over() {
			alive[j.Unit]++
		}
	}
	out := 0
	for _, u := range s.Units {
		n := alive[u.ID]
		if u.Throttle > 0 {
			n = min(n, u.Throttle)
		}
		if u.Crew != nil {
			n = min(n, u.Crew.Slots)
		}
		out += n
	}
	return s.Plan.MaxParallel - out
}

// living are the jobs that are out at the scheduler and not over: cells behind a probe that failed, duplicates of a profile,
// links of the chain.
func living(s Snapshot) []string {
	var ids []string
	for _, j := range s.Jobs {
		if j.SchedulerID != "" && !j.Over() {
			ids = append(ids, j.ID)
		}
	}
	for _, l := range chain.Living(s.Links) {
		ids = append(ids, l.ID())
	}
	return ids
}
