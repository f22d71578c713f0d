package collect

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"vtune/collect/answers"
	"vtune/internal/record"
)

// Config of a Collector. The three functions close the loop to the scheduler; cmd composes them, so that this package needs
// neither templates nor jobs.
type Config struct {
	Dir record.Dir
	// Look reports every job of the run that the scheduler knows, in one query.
	Look func(context.Context) ([]Seen, error)
	// Submit puts units out that are recorded but not acknowledged, and new follow-ups. Idempotent by job id.
	Submit func(context.Context, []record.Unit, []FollowUp) error
	// Cancel ends the given jobs at the scheduler, by their recorded ids.
	Cancel func(context.Context, []string) error
	// Pull and Push bring what others wrote elsewhere into the directory, and what this side wrote out of it; nil where the directory
	// is shared. What cannot be reached now is tried again at the next pass.
	Pull, Push func(context.Context) error
	Now        func() time.Time
	Serve      answers.Serve // for report.html; nil: none is written
	// Self is the job in which this collector runs, which it does not end; empty: a person's.
	Self string
	// Grace is how long a job may be over (or unknown) at the scheduler before its missing result is given up.
	Grace time.Duration
}

// Collector works on one run. The caller holds the run's lease.
type Collector struct {
	cfg  Config
	scan Scanner
}

// New makes a collector.
func New(cfg Config) *Collector { return &Collector{cfg: cfg, scan: Scanner{Dir: cfg.Dir}} }

func (c *Collector) sightings() string { return filepath.Join(string(c.cfg.Dir), "sightings.json") }

// Pass is one look at the directory (and at the scheduler, if ask is set) with everything that follows from it. The state it
// returns is what it published. A scheduler that cannot be reached costs nothing but its own part: what the directory says is
// derived and published all the same, and the scheduler's error is returned with the state.
func (c *Collector) Pass(ctx context.Context, ask bool) (record.State, error) {
	pulled := c.sync(ctx, c.cfg.Pull)
	st, err := c.pass(ctx, ask)
	return st, errors.Join(pulled, err)
}

func (c *Collector) sync(ctx context.Context, do func(context.Context) error) error {
	if do == nil {
		return nil
	}
	return do(ctx)
}

func (c *Collector) pass(ctx context.Context, ask bool) (record.State, error) {
	snap, err := c.scan.Scan()
	if err != nil {
		return record.State{}, err
	}
	st := Derive(snap)
	var trouble error
	if ask && !Settled(st) {
		noted, err := c.look(ctx, snap)
		trouble = err
		if noted > 0 {
			if snap, err = c.scan.Scan(); err != nil {
				return st, err
			}
			st = Derive(snap)
		}
	}
	if again := c.again(snap, st); len(again) > 0 {
		if err := c.ask(again); err != nil {
			return st, errors.Join(trouble, err)
		}
		if snap, err = c.scan.Scan(); err != nil {
			return st, errors.Join(trouble, err)
		}
		st = Derive(snap)
	}
	if err := answers.Publish(c.cfg.Dir, snap.Run, st, c.cfg.Serve); err != nil {
		return st, errors.Join(trouble, err)
	}
	done := c.do(ctx, snap, Decide(snap, st))
	return st, errors.Join(trouble, done, c.sync(ctx, c.cfg.Push))
}

// Settled reports whether nothing more can change: the run is over, or it was cancelled and the last of its jobs has ended.
func Settled(st record.State) bool {
	return st.Phase.Over() && (st.Phase != record.PhaseCancelled || !InFlight(st))
}

// InFlight reports whether a job of the run is at the scheduler that may still add something.
func InFlight(st record.State) bool {
	for _, w := range works(st) {
		for _, a := range w.Attempts {
			if a.Submitted != "" && (!a.Ended || w.Phase == record.WorkRunning) {
				return true
			}
		}
	}
	return false
}

func works(st record.State) []record.WorkState {
	all := []record.WorkState{st.Probe, st.Profile}
	for _, c := range st.Cells {
		all = append(all, c.WorkState)
	}
	return all
}

func (c *Collector) do(ctx context.Context, s Snapshot, d Decisions) error {
	if len(d.Unsubmitted)+len(d.FollowUps) > 0 {
		if err := c.cfg.Submit(ctx, d.Unsubmitted, d.FollowUps); err != nil {
			return err
		}
	}
	ids := slices.DeleteFunc(d.Cancel, func(id string) bool { return id == c.cfg.Self })
	if len(ids) == 0 {
		return nil
	}
	if err := c.cfg.Cancel(ctx, ids); err != nil {
		return err
	}
	// Nothing else will ever say that a link is over, and the scheduler need not be asked again about a run that is.
	for _, l := range s.Links {
		if slices.Contains(ids, l.ID()) {
			if err := c.note(JobRecord{Job: l.Unit.Jobs[0]}, Seen{Cause: record.CauseStopped, Word: "CANCELLED", Reason: "the run is over"}); err != nil {
				return err
			}
		}
	}
	return nil
}
