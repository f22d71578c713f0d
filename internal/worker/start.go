package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/worker/porter"
)

// start is what this machine remembers of its starts.
type start struct {
	path string
	memory
	now  time.Time     // of this start
	ran  float64       // s, in those before
	most time.Duration // 0: there is no bound
	left time.Duration // at this start
}

type memory struct {
	Starts int       `json:"starts"`
	First  time.Time `json:"first"`
	Ran    float64   `json:"ran_s"` // in all starts together
}

// count notes another start.
func (s *start) count(path string, now time.Time) error {
	s.path, s.now = path, now
	if err := fsx.ReadJSON(path, &s.memory); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.Starts++; s.Starts == 1 {
		s.First = now
	}
	s.ran = s.Ran
	return fsx.PublishJSON(path, s.memory)
}

// bound says how long the machine may live, counted from its first start. The wall clock has counted the time between starts; where it
// was set back meanwhile, what the starts themselves took is not forgotten.
func (s *start) bound(most time.Duration) {
	spent := max(s.now.Sub(s.First), time.Duration(s.ran*float64(time.Second)))
	s.most, s.left = most, most-spent
}

// remember notes how long this start has lasted, once every while. That it could not be noted matters only where the clock is set back
// too.
func (s *start) remember(now time.Time, every time.Duration) {
	ran := s.ran + now.Sub(s.now).Seconds()
	if ran-s.Ran < every.Seconds() {
		return
	}
	s.Ran = ran
	_ = fsx.PublishJSON(s.path, s.memory)
}

// prepare brings what the machine is to do, and takes the place of its earlier starts.
func (w *worker) prepare(ctx context.Context) error {
	for _, folder := range []string{w.Dir.Events(), w.Dir.Claims(), w.Dir.Bests(), w.Dir.Queue(record.Pool)} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := w.start.count(filepath.Join(string(w.Dir), "starts.json"), w.Now()); err != nil {
		return err
	}
	if w.start.Starts > 1 {
		w.sweep(ctx) // a worker that was killed without its machine
	}
	if err := w.orders(ctx); err != nil {
		return err
	}
	w.start.bound(time.Duration(w.order.Pool.MaxRun) * time.Second)
	if err := w.insist(ctx, func() error { return w.life.take(ctx, w.start.Starts) }); err != nil {
		return err
	}
	w.supply.boot = w.life.boot()
	w.say("start %d of the machine", w.life.boot())
	begun := w.Rel(w.Dir.CrewBegun(w.Unit))
	note := []byte("begun\n")
	if err := w.insist(ctx, func() error { return w.porter.Note(ctx, begun, note) }); err != nil {
		return err
	}
	if w.life.boot() == 1 {
		return nil
	}
	claims, err := os.ReadDir(w.Dir.Claims())
	if err != nil {
		return err
	}
	for _, c := range claims {
		if job, is := strings.CutSuffix(c.Name(), ".json"); is {
			w.leftover(job)
		}
	}
	return w.insist(ctx, func() error { return w.porter.Resume(ctx) })
}

// orders brings what the run is, and what this machine needs for any of its jobs.
func (w *worker) orders(ctx context.Context) error {
	path := w.Rel(w.Dir.CrewOrder(w.Unit))
	if err := w.fetch(ctx, path, 0o644); err != nil {
		return err
	}
	if err := fsx.ReadJSON(w.Local(path), &w.order); err != nil {
		return err
	}
	if w.order.Pool == nil || w.order.Unit.Crew == nil || w.order.Unit.ID != w.Unit {
		return fmt.Errorf("%s is no order for %s as a machine of a pool", path, w.Unit)
	}
	for _, f := range []struct {
		path   string
		perm   os.FileMode
		wanted bool
	}{
		{w.Dir.Run(), 0o644, true},
		{w.Dir.Plan(), 0o644, true},
		{w.Dir.JobScript(w.Unit), 0o755, true},
		{w.Dir.Secrets(), 0o600, w.order.Pool.Secrets},
		{w.Dir.Launch(), 0o755, w.order.Pool.Hosts > 1},
	} {
		if f.wanted {
			if err := w.fetch(ctx, w.Rel(f.path), f.perm); err != nil {
				return err
			}
		}
	}
	return nil
}

// fetch brings a file that must be there, however long that takes.
func (w *worker) fetch(ctx context.Context, path string, perm os.FileMode) error {
	return w.insist(ctx, func() error {
		_, err := w.Bring(ctx, path, perm)
		return err
	})
}

// insist repeats what the bucket cannot answer until it does. What it answers is taken: that something is not there, or is another's.
func (w *worker) insist(ctx context.Context, do func() error) error {
	said := ""
	for pause := w.Scan; ; pause = min(2*pause, 30*time.Second) {
		err := do()
		final := slices.ContainsFunc([]error{errLost, porter.ErrConflict, fs.ErrNotExist, bucket.ErrChanged}, func(f error) bool { return errors.Is(err, f) })
		if err == nil || final {
			return err
		}
		if err.Error() != said {
			said = err.Error()
			w.say("%v", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// mark is borne by all that jobs start here.
func (w *worker) mark() string {
	return strings.ReplaceAll(fmt.Sprintf("worker:%s:%s", w.Dir, w.Unit), ",", ";")
}

// sweep ends whatever jobs have started here.
func (w *worker) sweep(ctx context.Context) {
	const grace = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, 4*grace)
	defer cancel()
	found, err := proc.SweepMarked(ctx, w.mark(), grace)
	if len(found) > 0 {
		w.say("ended %d processes that had not", len(found))
	}
	if err != nil {
		w.say("%v", err)
	}
}

// Exit codes of steps that no process gave: as of one that was killed, and as of one that could not be run.
const (
	interrupted = "0:9"
	notBegun    = "127:0"
)

// strand says of a claimed job that it is over, if nobody has: this machine was started again since, or ends.
func (w *worker) strand(ctx context.Context, job string) error {
	path := w.Rel(w.Dir.Step(job))
	if !w.Has(path) {
		// It may be that only the disk is new.
		if _, err := w.Bring(ctx, path, 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var s record.Step
	if err := fsx.ReadJSON(w.Local(path), &s); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !s.Over() {
		s.Schema, s.Job, s.Crew, s.Ended, s.ExitCode, s.Cause = record.Schema, job, w.Unit, w.Now(), interrupted, record.CauseRestart
		if s.Begun.IsZero() {
			s.ExitCode = notBegun
		}
		w.say("%s: it was cut off, and is not begun again", job)
		if err := w.Publish(path, s); err != nil {
			return err
		}
	}
	w.leftover(job)
	return nil
}

// leftover has what a job of an earlier start left here put up, if that is not known to be done.
func (w *worker) leftover(job string) {
	if _, err := os.Stat(w.porter.Carried(job)); err == nil {
		return
	}
	c, err := porter.Of(w.Dir, job, func(job string) (a record.Assignment, err error) {
		err = fsx.ReadJSON(w.Dir.Assignment(job), &a)
		return a, err
	})
	if err != nil {
		w.say("%v", err)
	}
	w.porter.Carry(c)
}
