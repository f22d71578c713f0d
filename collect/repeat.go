package collect

import (
	"errors"
	"io/fs"
	"slices"

	"vtune/collect/fleet"
	"vtune/internal/record"
)

// Fleet are the run's jobs as those who compare its nodes see them.
func (s Snapshot) Fleet() []fleet.Job {
	jobs := make([]fleet.Job, len(s.Jobs))
	for i, j := range s.Jobs {
		jobs[i] = fleet.Job{Job: j.Job, Claim: j.Claim, Health: j.Health}
	}
	return jobs
}

// stand is a cell's standing by the attempts that count. As long as a repetition has shown nothing, what was known before stands,
// but is not final.
func stand(s Snapshot, c record.Cell, byWork map[string][]JobRecord) standing {
	all := newStanding(c, byWork)
	if len(s.Repeats) == 0 {
		return all
	}
	old := func(j JobRecord) bool { return s.Repeats.Supersedes(c.ID, j.Job) }
	split := func(jobs []JobRecord) (before, now []JobRecord) {
		now = slices.DeleteFunc(slices.Clone(jobs), old)
		return slices.DeleteFunc(slices.Clone(jobs), func(j JobRecord) bool { return !old(j) }), now
	}
	ownBefore, own := split(all.own)
	columnsBefore, columns := split(all.columns)
	if len(ownBefore)+len(columnsBefore) == 0 && s.Repeats.From(c.ID) == 0 {
		return all
	}
	again := newStanding(c, map[string][]JobRecord{workOf(record.KindCell, c.ID): own, columnOf(c.ID): columns})
	if len(again.real)+len(again.emulated) > 0 {
		again.before = ownBefore
		return again
	}
	if s.Cancelled {
		return all
	}
	jobs := own
	if len(jobs) == 0 {
		jobs = columns
	}
	switch native := nativeOf(columnsBefore); {
	case len(jobs) > 0:
		all.open = !work(jobs).Phase.Final()
	case s.Repeats.From(c.ID) > 0:
		all.open, all.due, all.alone = true, true, true
	case len(all.own) == 0: // its column's turn, unless that went on without it
		all.due = !slices.ContainsFunc(byWork[workOf(record.KindCell, native)], func(j JobRecord) bool { return j.Job.Attempt >= s.Repeats.From(native) })
		all.open = all.due
	}
	return all
}

func nativeOf(columns []JobRecord) string {
	if len(columns) == 0 {
		return ""
	}
	return columns[len(columns)-1].Cell
}

// known are the observations that a follow-up goes on from.
func (st *standing) known() []record.Observation {
	if st.open {
		return nil
	}
	return slices.Clone(st.real)
}

// again is what the spec wants measured again.
func (c *Collector) again(s Snapshot, st record.State) []record.Repeat {
	if !s.Plan.RepeatOutliers || s.Cancelled {
		return nil
	}
	return fleet.Outliers(st, s.Fleet(), s.Repeats)
}

// ask notes what is to be measured again. What somebody else has asked for meanwhile is asked for once.
func (c *Collector) ask(all []record.Repeat) error {
	for _, r := range all {
		r.At = c.cfg.Now()
		if err := fleet.Ask(c.cfg.Dir, r); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
