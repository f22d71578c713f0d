package collect

import (
	"math"

	"vtune/internal/record"
)

// FollowUp is a job that the collector decides on: it goes on from what is known.
type FollowUp struct {
	Kind        record.Kind
	Cell        string
	Attempt     int
	Known       []record.Observation
	Utilization float64
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
	unfinished := map[string]bool{}
	for _, j := range s.Jobs {
		if !j.Over() {
			unfinished[j.Unit] = true
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
		return d
	}
	left := room(s)
	for _, c := range st.Cells {
		if c.Phase == record.WorkFollowUp && left > 0 {
			left--
			d.FollowUps = append(d.FollowUps, FollowUp{
				Kind: record.KindCell, Cell: c.ID, Attempt: len(c.Attempts) + 1, Known: c.Observations, Utilization: st.Utilization,
			})
		}
	}
	if st.Phase == record.PhaseProfiling && (st.Profile.Phase == record.WorkFollowUp || len(st.Profile.Attempts) == 0) {
		d.FollowUps = append(d.FollowUps, FollowUp{
			Kind: record.KindProfile, Attempt: len(st.Profile.Attempts) + 1, Utilization: st.Utilization,
			Profile: &record.ProfileTarget{
				Cell: st.Best.Cell,
				Load: record.Load{Rate: st.Best.Observation.Load.Rate, Requests: st.Policy.RateRequests},
			},
		})
	}
	return d
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
		out += n
	}
	return s.Plan.MaxParallel - out
}

// living are the jobs that are out at the scheduler and not over: cells behind a probe that failed, duplicates of a profile.
func living(s Snapshot) []string {
	var ids []string
	for _, j := range s.Jobs {
		if j.SchedulerID != "" && !j.Over() {
			ids = append(ids, j.ID)
		}
	}
	return ids
}
