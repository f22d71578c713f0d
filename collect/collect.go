package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report"
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
	Now    func() time.Time
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
	if err := c.publish(snap.Run, st); err != nil {
		return st, errors.Join(trouble, err)
	}
	return st, errors.Join(trouble, c.do(ctx, snap, Decide(snap, st)))
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

// publish writes the run's answers, each only if its bytes changed: a watcher of result.txt sees news, not heartbeats.
func (c *Collector) publish(run record.Run, st record.State) error {
	state, err := fsx.JSON(st)
	if err != nil {
		return err
	}
	result, err := report.ResultJSON(run, st)
	if err != nil {
		return err
	}
	dir := c.cfg.Dir
	for _, f := range []struct {
		path string
		data []byte
	}{
		{dir.State(), state},
		{dir.ResultJSON(), result},
		{dir.ResultTxt(), report.ResultTxt(run, st, dir.Profile())},
	} {
		if err := replace(f.path, f.data); err != nil {
			return err
		}
	}
	for _, l := range report.Logs(st) {
		if err := link(string(dir), l.Name, l.Target); err != nil {
			return err
		}
	}
	if !st.Phase.Over() {
		return nil
	}
	return linkTraces(dir, st.ProfileFiles)
}

// linkTraces gives the winner's traces their names in the profile folder, where they were made elsewhere, and takes away those
// that an earlier pass took for the winner's.
func linkTraces(dir record.Dir, files []string) error {
	names := map[string]bool{}
	for _, f := range files {
		if profile := dir.Rel(dir.Profile()); filepath.IsLocal(f) && filepath.Dir(f) != profile {
			names[filepath.Base(f)] = true
			if err := link(dir.Profile(), filepath.Base(f), filepath.Join("..", f)); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(dir.Profile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 && !names[e.Name()] {
			if err := os.Remove(filepath.Join(dir.Profile(), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func replace(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return fsx.Publish(path, data, 0o644)
}

// link gives a log the name that the script gave it. A link, because a log is still being written when it gets its name.
func link(dir, name, target string) error {
	path := filepath.Join(dir, name)
	if old, err := os.Readlink(path); err == nil && old == target {
		return nil
	}
	temp := fmt.Sprintf("%s.tmp-%d", path, os.Getpid())
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return os.Rename(temp, path)
}
