package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Submitter hands the units of one run to a scheduler so that each exists there exactly once, whatever is killed when.
//
// Protocol of a unit: intent (published) -> look the name up if an intent was there before -> submit -> submitted (published).
// A crash leaves an intent without its answer; the next call looks the name up instead of submitting again. One process at a
// time works on a run (fsx.Lease, held by the caller).
type Submitter struct {
	Dir       record.Dir
	Run       record.Run
	Scheduler Scheduler
	Caps      Capabilities
	Now       func() time.Time
	// Settle bounds how long an ambiguous answer is looked into before the error goes to the caller.
	Settle time.Duration

	listed []Status // the scheduler's answer, fetched at most once for a call of Units
	known  bool
	sent   int // jobs handed over since then
}

// Report says what a call of Units did.
type Report struct {
	Submitted int   // units handed over now
	Adopted   int   // units found at the scheduler or on disk by their name
	Already   int   // units recorded as submitted before
	Held      int   // units that wait for a dependency or for the scheduler to take more
	Why       error // of the last Held unit, nil when a dependency is all it waits for
}

// Units submits, in order, those of the given units that are not out yet. Scripts and assignments must be in place.
// Back-pressure is not an error: the remaining units are Held and a later call goes on.
func (s *Submitter) Units(ctx context.Context, units []record.Unit) (Report, error) {
	var r Report
	s.known, s.sent = false, 0
	tooMany := math.MaxInt // jobs at once, that the scheduler would not take
	for _, u := range units {
		if tasks(u) >= tooMany && !s.out(u) {
			r.Held++
			continue
		}
		switch how, err := s.unit(ctx, u); {
		case errors.Is(err, ErrBackpressure):
			r.Held++
			r.Why, tooMany = err, tasks(u)
		case err != nil:
			return r, fmt.Errorf("submit %s: %w", u.ID, err)
		case how == already:
			r.Already++
		case how == adopted:
			r.Adopted++
		case how == held:
			r.Held++
		default:
			r.Submitted++
		}
	}
	return r, nil
}

type outcome int

const (
	submitted outcome = iota
	already
	adopted
	held
)

func (s *Submitter) unit(ctx context.Context, u record.Unit) (outcome, error) {
	var out record.Submitted
	switch err := fsx.ReadJSON(s.Dir.Submitted(u.ID), &out); {
	case err == nil:
		return already, nil
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	if _, err := os.Stat(s.Dir.Cancelled()); err == nil {
		return held, nil
	}
	after, ready, err := s.dependencies(u)
	if err != nil || !ready {
		return held, err
	}
	name := record.JobName(s.Run.ID, u.ID)
	interrupted, err := s.intend(name, u)
	if err != nil {
		return 0, err
	}
	if interrupted {
		h, found, err := s.find(ctx, name, u)
		if err != nil {
			return 0, err
		}
		if found {
			return adopted, s.acknowledge(ctx, name, u, h, true)
		}
	}
	if err := s.room(ctx, u); err != nil {
		return 0, err
	}
	r := s.request(name, u, after)
	h, err := s.Scheduler.Submit(ctx, r)
	if errors.Is(err, ErrRefused) && len(r.Exclude) > 0 {
		// Nothing was submitted. Where no node is left without those that failed, they are better than none.
		r.Exclude = nil
		h, err = s.Scheduler.Submit(ctx, r)
	}
	fsx.Point("submit.called", name)
	if errors.Is(err, ErrAmbiguous) {
		return s.settle(ctx, name, u, err)
	}
	if err != nil {
		return 0, err
	}
	s.sent += tasks(u)
	return submitted, s.acknowledge(ctx, name, u, h, false)
}

// room holds a unit back that the scheduler would refuse for now. It is the scheduler who decides, and who counts the user's other
// jobs too; this only spares it the question.
func (s *Submitter) room(ctx context.Context, u record.Unit) error {
	if s.Caps.MaxSubmit <= 0 || s.look(ctx) != nil {
		return nil
	}
	out := s.sent
	for _, st := range s.listed {
		if !st.State.Ended() {
			out++
		}
	}
	if tasks := tasks(u); out > 0 && out+tasks > s.Caps.MaxSubmit {
		return fmt.Errorf("%w: %d of the run's jobs are in the queue, and %d more would be above your limit of %d", ErrBackpressure, out, tasks, s.Caps.MaxSubmit)
	}
	return nil
}

// tasks of a unit, as a scheduler counts jobs.
func tasks(u record.Unit) int {
	if u.Array() {
		return len(u.Jobs)
	}
	return 1
}

// look asks the scheduler, unless it has been asked already.
func (s *Submitter) look(ctx context.Context) error {
	if s.known {
		return nil
	}
	listed, err := s.Scheduler.List(ctx, s.Run.ID)
	if err != nil {
		return err
	}
	s.listed, s.known, s.sent = listed, true, 0
	return nil
}

// acknowledge records a unit. A person may have cancelled the run while the scheduler was asked; that person's command cannot know
// of the unit, so it is ended here.
func (s *Submitter) acknowledge(ctx context.Context, name string, u record.Unit, h Handle, adopted bool) error {
	if err := s.record(name, u, h, adopted); err != nil {
		return err
	}
	if _, err := os.Stat(s.Dir.Cancelled()); err != nil {
		return nil
	}
	return s.Scheduler.Cancel(ctx, []Handle{h})
}

// out reports whether a unit may be at the scheduler already.
func (s *Submitter) out(u record.Unit) bool {
	_, err := os.Stat(s.Dir.Intent(u.ID))
	return err == nil
}

// intend publishes the intent and reports whether one was there already, that is, whether an earlier process may have come
// further than its records show.
func (s *Submitter) intend(name string, u record.Unit) (interrupted bool, err error) {
	var before record.Intent
	switch err := fsx.ReadJSON(s.Dir.Intent(u.ID), &before); {
	case err == nil:
		return true, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	return false, fsx.PublishJSON(s.Dir.Intent(u.ID), record.Intent{Schema: record.Schema, Name: name, Unit: u, At: s.Now()})
}

// settle finds out what became of a request whose answer was lost. Submitting again without looking would cost a second job.
func (s *Submitter) settle(ctx context.Context, name string, u record.Unit, cause error) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Settle)
	defer cancel()
	for {
		s.known = false
		h, found, err := s.find(ctx, name, u)
		if found {
			return adopted, s.acknowledge(ctx, name, u, h, true)
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = errors.New("it is not listed yet")
			}
			return 0, fmt.Errorf("%w; looking %s up: %w", cause, name, err)
		case <-time.After(time.Second): // the pause between two looks, not a wait for a condition
		}
	}
}

// find looks for a unit by its name: at the scheduler, and, because a scheduler forgets, in what its attempts left on disk.
func (s *Submitter) find(ctx context.Context, name string, u record.Unit) (Handle, bool, error) {
	if err := s.look(ctx); err != nil {
		return Handle{}, false, fmt.Errorf("look %s up: %w", name, err)
	}
	for _, st := range s.listed {
		if st.Name == name {
			return st.Handle, true, nil
		}
	}
	for _, j := range u.Jobs {
		var a record.Attempt
		if err := fsx.ReadJSON(s.Dir.Attempt(j.Kind, j.Cell, j.Attempt).Attempt(), &a); err == nil && a.SchedulerID != "" {
			return Handle{ID: a.SchedulerID}, true, nil
		}
	}
	return Handle{}, false, nil
}

func (s *Submitter) record(name string, u record.Unit, h Handle, adopted bool) error {
	return fsx.PublishJSON(s.Dir.Submitted(u.ID), record.Submitted{
		Schema: record.Schema, Name: name, ID: h.ID, Cluster: h.Cluster, Adopted: adopted, At: s.Now(),
	})
}

func (s *Submitter) request(name string, u record.Unit, after []Dependency) Request {
	r := Request{
		Run: s.Run.ID, Name: name, Script: s.Dir.Script(u.ID), Log: s.Dir.JobLog(u.ID), WorkDir: string(s.Dir),
		After: after, Resources: u.Jobs[0].Resources, Begin: time.Duration(u.Delay) * time.Second,
	}
	for _, j := range u.Jobs {
		for _, node := range j.Avoid {
			if !slices.Contains(r.Exclude, node) {
				r.Exclude = append(r.Exclude, node)
			}
		}
	}
	if u.Array() {
		r.Tasks, r.Throttle, r.Log = len(u.Jobs), u.Throttle, s.Dir.JobLog(u.ID)+".%a"
	}
	return r
}

// dependencies turns a unit's edges into the scheduler's terms. An edge to a job that is already known to have ended well is
// left out: a scheduler that has forgotten the job would refuse the dependency, or silently lift it. An edge to a job that
// failed, or is not submitted, holds the unit back; so does any open edge where the scheduler has no dependencies of its own.
func (s *Submitter) dependencies(u record.Unit) (after []Dependency, ready bool, err error) {
	seen := map[record.Edge]bool{}
	for _, j := range u.Jobs {
		for _, e := range j.Needs {
			// What jobs of one allocation need of each other is their crew's to wait for.
			inside := u.Crew != nil && slices.ContainsFunc(u.Jobs, func(o record.Job) bool { return o.ID == e.Job })
			if seen[e] || inside {
				continue
			}
			seen[e] = true
			if u.Crew != nil && u.Crew.Pool {
				// The probe is a job of another machine and no unit of its own, and what it found is all that is waited for: a machine
				// that has it to wait for costs as much as one that works.
				if !s.probed() {
					return nil, false, nil
				}
				continue
			}
			d, open, ready, err := s.edge(e)
			if err != nil || !ready {
				return nil, false, err
			}
			if open {
				after = append(after, d)
			}
		}
	}
	return after, s.Caps.Dependencies || len(after) == 0, nil
}

func (s *Submitter) edge(e record.Edge) (d Dependency, open, ready bool, err error) {
	var in record.Intent
	var out record.Submitted
	for path, v := range map[string]any{s.Dir.Intent(e.Job): &in, s.Dir.Submitted(e.Job): &out} {
		if err := fsx.ReadJSON(path, v); errors.Is(err, fs.ErrNotExist) {
			return d, false, false, nil
		} else if err != nil {
			return d, false, false, err
		}
	}
	ended, well := s.ended(in.Unit)
	if ended {
		return d, false, well || e.When == record.AfterAny, nil
	}
	return Dependency{On: Handle{ID: out.ID, Cluster: out.Cluster}, Task: -1, When: e.When}, true, true, nil
}

// ended reports from the records alone whether every job of a unit is over, and whether all of them did what they were for.
// A probe that was lost and then succeeded in another attempt did.
func (s *Submitter) ended(u record.Unit) (ended, well bool) {
	well = true
	for _, j := range u.Jobs {
		if j.Kind == record.KindProbe && s.probed() {
			continue
		}
		var r record.Result
		if err := fsx.ReadJSON(s.Dir.Attempt(j.Kind, j.Cell, j.Attempt).Result(), &r); err == nil && r.Complete {
			well = well && r.Outcome == record.OutcomeDone
			continue
		}
		if _, err := os.Stat(s.Dir.Ended(j.ID)); err != nil {
			return false, false
		}
		well = false
	}
	return true, well
}

func (s *Submitter) probed() bool {
	attempts, err := os.ReadDir(s.Dir.Work(record.KindProbe, ""))
	if err != nil {
		return false
	}
	for i := range attempts {
		var r record.Result
		if fsx.ReadJSON(s.Dir.Attempt(record.KindProbe, "", i+1).Result(), &r) == nil && r.Complete && r.Outcome == record.OutcomeDone {
			return true
		}
	}
	return false
}
