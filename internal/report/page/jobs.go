package page

import (
	"cmp"
	"slices"
	"time"

	"vtune/internal/record"
	"vtune/internal/report"
)

// job is an attempt on the time line.
type job struct {
	Name, Node, Words            string // Words say how it came out
	Fate                         fate
	Submitted, Started, Finished time.Time // zero: not known, or not yet
	Lane                         int       // of the time line; -1: it did not begin
	Observed                     int
}

// fate is how an attempt came out, as it is coloured.
type fate string

const (
	fateDone     fate = "done"
	fateContinue fate = "goes on elsewhere"
	fateFailed   fate = "failed"
	fateSkipped  fate = "skipped"
	fateNoResult fate = "no result"
	fateRunning  fate = "running"
	fateWaiting  fate = "not begun"
)

var fates = []fate{fateDone, fateContinue, fateFailed, fateSkipped, fateNoResult, fateRunning, fateWaiting}

func fateOf(a record.AttemptState) fate {
	switch a.Outcome {
	case record.OutcomeDone:
		return fateDone
	case record.OutcomeContinue:
		return fateContinue
	case record.OutcomeSkipped:
		return fateSkipped
	case "":
		switch {
		case a.Ended:
			return fateNoResult
		case a.Started:
			return fateRunning
		}
		return fateWaiting
	}
	return fateFailed
}

// jobs are all attempts by when they began, and the lanes of their time line: a node has as many as it ever had at once.
func jobs(st record.State) (all []job, lanes []string) {
	add := func(w record.WorkState) {
		for _, a := range w.Attempts {
			j := job{Name: a.Job, Node: a.Node, Fate: fateOf(a), Submitted: a.SubmittedAt, Started: a.StartedAt, Finished: a.EndedAt, Lane: -1, Observed: a.Observed}
			j.Words = string(j.Fate)
			if a.Cause != record.CauseNone || a.Message != "" {
				j.Words += ": " + report.Why(a.Cause, a.Message)
			}
			all = append(all, j)
		}
	}
	add(st.Probe)
	for _, c := range st.Cells {
		add(c.WorkState)
	}
	add(st.Profile)
	slices.SortStableFunc(all, func(a, b job) int {
		if a.Started.IsZero() != b.Started.IsZero() {
			if a.Started.IsZero() {
				return 1
			}
			return -1
		}
		return cmp.Or(a.Started.Compare(b.Started), a.Submitted.Compare(b.Submitted), cmp.Compare(a.Name, b.Name))
	})
	return all, lay(all, last(all))
}

// last is the latest moment that the records know of, to which what still runs is drawn: a page has no clock.
func last(all []job) (t time.Time) {
	for _, j := range all {
		for _, m := range []time.Time{j.Submitted, j.Started, j.Finished} {
			if m.After(t) {
				t = m
			}
		}
	}
	return t
}

// lay gives each job that began a lane of its node that is free then, and names the lanes by node.
func lay(all []job, end time.Time) (names []string) {
	byNode := map[string][]int{}
	var nodes []string
	for i, j := range all {
		if j.Started.IsZero() {
			continue
		}
		if byNode[j.Node] == nil {
			nodes = append(nodes, j.Node)
		}
		byNode[j.Node] = append(byNode[j.Node], i)
	}
	slices.Sort(nodes)
	for _, n := range nodes {
		var free []time.Time // by lane, since when
		for _, i := range byNode[n] {
			j := &all[i]
			lane := slices.IndexFunc(free, func(t time.Time) bool { return !t.After(j.Started) })
			if lane < 0 {
				lane = len(free)
				free = append(free, time.Time{})
				names = append(names, cmp.Or(report.OneLine(n), "node not known"))
			}
			if free[lane] = j.Finished; j.Finished.IsZero() {
				free[lane] = end.Add(1) // it holds its lane
			}
			j.Lane = len(names) - len(free) + lane
		}
	}
	return names
}
