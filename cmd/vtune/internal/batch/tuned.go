package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
)

// Hands are how the command that a batch is called by submits, collects and shows a single run, for that caller.
type Hands struct {
	PutOut  func(context.Context, caller.Caller, *tuning.Tuning) error
	Collect func(context.Context, caller.Caller, *tuning.Tuning) (record.State, error)
	Show    func(*spec.Spec) error
}

// equip gives a batch the runs of this program.
func (c Config) equip(who caller.Caller, r tuning.Request, h Hands) Config {
	held := func(t *tuning.Tuning, err error, me caller.Caller) (Run, error) {
		if err != nil {
			return nil, err
		}
		return &tuned{t: t, me: me, hands: h}, nil
	}
	c.Prepare = func(ctx context.Context, specFile string, say io.Writer) (Run, error) {
		me := who
		me.Err = say
		t, err := tuning.Prepare(ctx, me.World(), specFile, r)
		return held(t, err, me)
	}
	c.Open = func(ctx context.Context, place string, say io.Writer) (Run, error) {
		me := who
		me.Err = say
		t, err := tuning.Open(ctx, me.World(), place)
		return held(t, err, me)
	}
	c.Hold = func(ctx context.Context, lock string) (Lease, error) {
		w := who.World()
		l, err := w.Lease(ctx, lock, "batch")
		var held *fsx.HeldError
		if errors.As(err, &held) {
			return nil, diag.Wrap(fmt.Errorf("%s is being worked off: %w", c.File, err), diag.Busy, "one batch at a time works on a file")
		}
		if err != nil {
			return nil, diag.Wrap(err, diag.Usage, "copy the file into a folder of your own; nothing was submitted")
		}
		return l, nil
	}
	w := who.World()
	c.Upload = uploader{env: w.Getenv}.upload
	return c
}

// tuned is a run in this program's hands.
type tuned struct {
	t     *tuning.Tuning
	me    caller.Caller
	hands Hands
	lease tuning.Lease
}

func (r *tuned) Name() string    { return filepath.Base(string(r.t.Dir)) }
func (r *tuned) Place() string   { return r.t.Place() }
func (r *tuned) Dir() record.Dir { return r.t.Dir }

// PutOut takes the run's lease, which Watch gives back. A run that is over, or was cancelled by somebody, is only to be looked at.
func (r *tuned) PutOut(ctx context.Context) (err error) {
	if r.lease, err = r.t.Lease(ctx, "batch"); err != nil {
		return err
	}
	var st record.State
	_, cancelled := os.Stat(r.t.Dir.Cancelled())
	if cancelled == nil || fsx.ReadJSON(r.t.Dir.State(), &st) == nil && st.Phase.Over() {
		return nil
	}
	if err := r.hands.PutOut(ctx, r.me, r.t); err != nil {
		return errors.Join(err, r.lease.Release())
	}
	return nil
}

func (r *tuned) Watch(ctx context.Context) (record.State, error) {
	defer r.lease.Release()
	return r.hands.Collect(ctx, r.me, r.t)
}
