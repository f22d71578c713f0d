package local

import "vtune/jobs"

// step is one thing to do: start a job on slots, or end one that never started, for a reason.
type step struct {
	job    *job
	slots  []int
	reason string // "": start
}

const (
	reasonCancelled = "cancelled before it started"
	reasonNever     = "dependency never satisfied"
)

// decide says what to do next about the jobs, which are in order of submission. Jobs that are ready start strictly in that
// order: one that wants more slots than are free holds back those behind it, because back-filling without knowing how long jobs
// take would let small ones starve it. A job that waits for a dependency holds nobody back.
func decide(order []*job, slots int) []step {
	free := make([]bool, slots)
	for i := range free {
		free[i] = true
	}
	ended := map[int]jobs.JobState{}
	for _, j := range order {
		if j.exit != nil {
			ended[j.id] = j.exit.State
		}
		if j.running() {
			for _, i := range j.start.Slots {
				if i < slots {
					free[i] = false
				}
			}
		}
	}
	var steps []step
	blocked := false
	for _, j := range order {
		if j.exit != nil || j.start != nil {
			continue
		}
		if reason, ready := outlook(j, ended); reason != "" {
			ended[j.id] = unrun(reason)
			steps = append(steps, step{job: j, reason: reason})
		} else if ready && !blocked {
			if got := take(free, j.slots()); got != nil {
				steps = append(steps, step{job: j, slots: got})
			} else {
				blocked = true
			}
		}
	}
	return steps
}

// unrun is the end of a job that never started.
func unrun(reason string) jobs.JobState {
	if reason == reasonNever {
		return jobs.Orphaned
	}
	return jobs.Cancelled
}

// outlook of a job that has not started: why it never will, or whether it may now.
func outlook(j *job, ended map[int]jobs.JobState) (reason string, ready bool) {
	if j.cancel != nil {
		return reasonCancelled, false
	}
	ready = true
	for _, e := range j.request.After {
		switch e.fate(ended[e.On]) {
		case never:
			return reasonNever, false
		case open:
			ready = false
		}
	}
	return "", ready
}

// take finds n free slots and marks them, or returns nil.
func take(free []bool, n int) []int {
	var got []int
	for i := range free {
		if free[i] && len(got) < n {
			got = append(got, i)
		}
	}
	if len(got) < n {
		return nil
	}
	for _, i := range got {
		free[i] = false
	}
	return got
}
