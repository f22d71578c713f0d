package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
)

// Daemons are numbered. Number n+1 can be claimed only when daemon n has retired or is dead, and by one process only, so at most
// one daemon lives at any time. A lease with a heartbeat was rejected: a stopped daemon would lose it and then wake up beside
// its successor, whereas the process table knows at once and for certain.

var (
	errTaken     = errors.New("another daemon lives")
	errElsewhere = errors.New("the local scheduler of this run lives on another machine")
)

// reign is the latest daemon; number 0: there was none.
type reign struct {
	number int
	owner  proc.Identity
	over   bool // retired or dead
}

func (f folder) reign() (reign, error) {
	numbers, err := f.numbers("daemons", ".json")
	if err != nil || len(numbers) == 0 {
		return reign{over: true}, err
	}
	r := reign{number: slices.Max(numbers)}
	if err := fsx.ReadJSON(f.daemon(r.number), &r.owner); err != nil {
		return reign{}, err
	}
	switch _, err := os.Stat(f.retired(r.number)); {
	case err == nil:
		r.over = true
	case !errors.Is(err, fs.ErrNotExist):
		return reign{}, fmt.Errorf("look for the local scheduler: %w", err)
	case r.owner.Elsewhere():
		return reign{}, fmt.Errorf("%w: on %s; run this command there (or, if that machine is gone for good, remove %s)",
			errElsewhere, r.owner.Host, f.daemon(r.number))
	default:
		r.over = !r.owner.Alive()
	}
	return r, nil
}

// claim makes this process the daemon and returns its number, or fails with errTaken.
func (f folder) claim() (int, error) {
	self, err := proc.Self()
	if err != nil {
		return 0, err
	}
	for {
		r, err := f.reign()
		if err != nil {
			return 0, err
		}
		if !r.over {
			return 0, errTaken
		}
		switch err := publishOnce(f.daemon(r.number+1), self); {
		case err == nil:
			return r.number + 1, nil
		case !errors.Is(err, fs.ErrExist):
			return 0, err
		}
	}
}

const (
	startPatience = 20 * time.Second // for a new daemon to claim its number
	startPause    = 5 * time.Millisecond
)

// ensure starts a daemon unless one lives, and returns when it has taken office.
func (s *Scheduler) ensure(ctx context.Context) error {
	f := folder(s.config.Dir)
	before, err := f.reign()
	if err != nil || !before.over {
		return err
	}
	if err := s.runnable(); err != nil {
		return fmt.Errorf("start the local scheduler: %w", err)
	}
	argv := append(slices.Clone(s.config.Program), DaemonCommand, s.config.Dir)
	child, err := proc.Detach(argv, s.config.Env, s.config.Dir, f.log())
	if err != nil {
		return fmt.Errorf("start the local scheduler: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		lives := child.Alive() // before looking: what it did last must not be missed
		now, err := f.reign()
		if err != nil {
			return err
		}
		if now.number > before.number {
			return nil
		}
		if !lives {
			return fmt.Errorf("start the local scheduler: it ended at once; see %s", f.log())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start the local scheduler: %w; see %s", ctx.Err(), f.log())
		case <-time.After(startPause):
		}
	}
}
