// Package crew works off the jobs of one allocation: each as a step of its own, so many at once as there are shares. What is begun
// when is decided here, by a Roster, which is pure; a Starter begins a step, and the run directory is where everybody else reads how
// it goes. It measures nothing and submits nothing.
package crew

import (
	"slices"

	"vtune/internal/record"
)

// Roster is which jobs a crew has, and how far each is. Each is begun at most once, at most slots at a time, in the order in which
// they were added, except that a job waits for those of the roster that it needs.
type Roster struct {
	slots int
	// met says of a job of the roster that is over whether it did what it was for.
	met func(record.Job) bool
	// elsewhere says the same of what a job needs of others; nil: that was the scheduler's to wait for.
	elsewhere func(record.Edge) bool
	jobs      []record.Job
	states    map[string]state
}

type state int

const (
	waiting state = iota
	underWay
	over
	out // taken out before its turn
)

// NewRoster has no jobs yet.
func NewRoster(slots int, met func(record.Job) bool) *Roster {
	return &Roster{slots: max(slots, 1), met: met, states: map[string]state{}}
}

// Add appends a job; one that the roster has, or had, is passed over.
func (r *Roster) Add(j record.Job) {
	if _, known := r.states[j.ID]; !known {
		r.jobs = append(r.jobs, j)
		r.states[j.ID] = waiting
	}
}

// Next begins the first job whose turn it is; false: no share is free, or none may begin now.
func (r *Roster) Next() (record.Job, bool) {
	if len(r.Aboard()) >= r.slots {
		return record.Job{}, false
	}
	for _, j := range r.jobs {
		if r.states[j.ID] == waiting && r.ready(j) {
			r.states[j.ID] = underWay
			return j, true
		}
	}
	return record.Job{}, false
}

// ready reports whether all that the job needs has come.
func (r *Roster) ready(j record.Job) bool {
	for _, e := range j.Needs {
		i := slices.IndexFunc(r.jobs, func(o record.Job) bool { return o.ID == e.Job })
		if i < 0 {
			if r.elsewhere != nil && !r.elsewhere(e) {
				return false
			}
			continue
		}
		// Whether it did what it was for may show before it is over: the probe's job goes on as the first cell's.
		if e.When == record.AfterOK && !r.met(r.jobs[i]) {
			return false
		}
		if s := r.states[e.Job]; e.When == record.AfterAny && s != over && s != out {
			return false
		}
	}
	return true
}

// Over notes the end of a job that was begun.
func (r *Roster) Over(id string) {
	if r.states[id] == underWay {
		r.states[id] = over
	}
}

// Return has a job wait again that Next gave and that was not begun.
func (r *Roster) Return(id string) {
	if r.states[id] == underWay {
		r.states[id] = waiting
	}
}

// Drop takes a job out whose turn has not come; false: it was begun, or is not there.
func (r *Roster) Drop(id string) bool {
	s, known := r.states[id]
	if !known || s != waiting {
		return false
	}
	r.states[id] = out
	return true
}

// Aboard are the jobs under way.
func (r *Roster) Aboard() []record.Job { return r.in(underWay) }

// Waiting are the jobs whose turn has not come.
func (r *Roster) Waiting() []record.Job { return r.in(waiting) }

func (r *Roster) in(s state) []record.Job {
	return slices.DeleteFunc(slices.Clone(r.jobs), func(j record.Job) bool { return r.states[j.ID] != s })
}
