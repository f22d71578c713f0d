package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// SweepMarked ends every process of an attempt (see Marked) except the caller and its ancestors: SIGTERM, up to grace, then
// SIGKILL until none is left, new ones included. It returns what it found. The end of ctx ends the effort; the error then
// names what is left.
func SweepMarked(ctx context.Context, token string, grace time.Duration) ([]Identity, error) {
	return sweep(ctx, grace, func() ([]Identity, error) { return Marked(token) })
}

// maxPause between two looks while processes use their grace: a look reads the environment of every process.
const maxPause = 200 * time.Millisecond

// Sweep is SweepMarked for the supervisor's attempt, which also finds every descendant of this process that lost both marks.
func (s *Supervisor) Sweep(ctx context.Context, grace time.Duration) ([]Identity, error) {
	self := os.Getpid()
	return sweep(ctx, grace, func() ([]Identity, error) {
		return family(func(e entry) bool { return e.pid == self || hasMark(e.pid, s.token) || branded(e.pid, s.token) })
	})
}

func sweep(ctx context.Context, grace time.Duration, find func() ([]Identity, error)) ([]Identity, error) {
	var swept []Identity
	deadline := time.Now().Add(grace)
	for wait := pause; ; wait = min(2*wait, maxPause) {
		left, err := others(find)
		if err != nil {
			return swept, fmt.Errorf("sweep: %w", err)
		}
		if len(left) == 0 {
			return swept, nil
		}
		kill := !time.Now().Before(deadline)
		for _, id := range left {
			known := slices.Contains(swept, id)
			if !known {
				swept = append(swept, id)
			}
			switch {
			case kill:
				err = id.Signal(syscall.SIGKILL)
			case !known:
				err = id.Signal(syscall.SIGTERM)
			}
			if err != nil && !errors.Is(err, os.ErrProcessDone) {
				return swept, fmt.Errorf("sweep %s: %w", id, err)
			}
		}
		select {
		case <-ctx.Done():
			return swept, fmt.Errorf("sweep: %d processes are left, the first is %s: %w", len(left), left[0], ctx.Err())
		case <-time.After(wait):
		}
	}
}

// others is what find finds, without the caller and its ancestors.
func others(find func() ([]Identity, error)) ([]Identity, error) {
	found, err := find()
	if err != nil {
		return nil, err
	}
	var above []int
	for pid := os.Getpid(); pid > 0 && !slices.Contains(above, pid); { // the first process of a container is 1 itself
		above = append(above, pid)
		e, err := read(pid)
		if err != nil {
			break
		}
		pid = e.parent
	}
	return slices.DeleteFunc(found, func(id Identity) bool { return slices.Contains(above, id.PID) }), nil
}
