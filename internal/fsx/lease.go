package fsx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Owner says who holds a lease. Beat changes while the owner lives; its value means nothing else.
type Owner struct {
	Host  string `json:"host"`
	User  string `json:"user"`
	PID   int    `json:"pid"`
	Start string `json:"start"` // distinguishes this process from a later one with the same pid
	Doing string `json:"doing"`
	Beat  int64  `json:"beat"`
}

func (o Owner) String() string {
	return fmt.Sprintf("%s (%s, pid %d on %s)", o.Doing, o.User, o.PID, o.Host)
}

func (o Owner) same(p Owner) bool { return o.Host == p.Host && o.PID == p.PID && o.Start == p.Start }

// HeldError is returned when somebody else holds a lease and shows signs of life.
type HeldError struct{ By Owner }

func (e *HeldError) Error() string { return "held by " + e.By.String() }

// LeaseConfig of Acquire. Alive judges an owner on this host at once; nil, or an owner elsewhere, is judged by its beat alone.
type LeaseConfig struct {
	Me    Owner
	Beat  time.Duration // how often the owner beats
	Stale time.Duration // an owner that has not beaten for so long, by the reader's own clock, is dead
	Alive func(Owner) bool
}

// Lease is a directory that one process holds at a time; a file in it beats while the owner lives. It is made under another
// name and renamed into place: rename refuses to replace a directory that is not empty, so one process wins, and at no moment
// is there a lease without an owner. Ages are never compared between machines: a reader watches the beat by its own clock.
type Lease struct {
	dir  string
	me   Owner
	stop context.CancelFunc
	done chan struct{}
}

const ownerFile = "owner.json"

// Acquire takes the lease at dir or reports, as *HeldError, who has it. An owner that seems dead is watched for cfg.Stale
// before its lease is taken over, unless cfg.Alive knows at once.
func Acquire(ctx context.Context, dir string, cfg LeaseConfig) (*Lease, error) {
	for {
		l, err := take(dir, cfg)
		if !errors.Is(err, ErrTaken) {
			return l, err
		}
		dead, err := watch(ctx, dir, cfg)
		if err != nil {
			return nil, err
		}
		if err := displace(dir, dead); err != nil {
			return nil, err
		}
	}
}

func take(dir string, cfg LeaseConfig) (*Lease, error) {
	staged := fmt.Sprintf("%s%s%d-%d", dir, tempMark, os.Getpid(), time.Now().UnixNano())
	if err := os.Mkdir(staged, 0o755); err != nil {
		return nil, fmt.Errorf("take lease %s: %w", dir, err)
	}
	l := &Lease{dir: staged, me: cfg.Me, done: make(chan struct{})}
	if err := l.beat(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(staged))
	}
	if err := os.Rename(staged, dir); err != nil {
		os.RemoveAll(staged)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
			return nil, ErrTaken
		}
		return nil, fmt.Errorf("take lease %s: %w", dir, err)
	}
	Point("lease.taken", dir)
	l.dir = dir
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() {
		defer close(l.done)
		t := time.NewTicker(cfg.Beat)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				// A beat that fails (a full disk, a hung mount) is not repeated before the next tick; the worst that
				// follows is that somebody takes over, which every protocol here survives.
				_ = l.beat()
			}
		}
	}()
	return l, nil
}

func (l *Lease) beat() error {
	l.me.Beat++
	data, err := json.Marshal(l.me)
	if err != nil {
		return err
	}
	return Publish(filepath.Join(l.dir, ownerFile), data, 0o644)
}

// Release gives the lease up. It leaves a lease alone that was taken over meanwhile.
func (l *Lease) Release() error {
	l.stop()
	<-l.done
	if o, err := owner(l.dir); err != nil || !o.same(l.me) {
		return err
	}
	return displace(l.dir, l.me)
}

// Holder is who has the lease at dir, by what its owner wrote last. Whether that process still lives is another question.
func Holder(dir string) (Owner, bool) {
	o, err := owner(dir)
	return o, err == nil
}

func owner(dir string) (Owner, error) {
	var o Owner
	err := ReadJSON(filepath.Join(dir, ownerFile), &o)
	return o, err
}

// watch returns the owner once it is certainly dead, or HeldError as soon as it shows life. An owner file that cannot be read is
// given the same time.
func watch(ctx context.Context, dir string, cfg LeaseConfig) (dead Owner, err error) {
	first, ferr := owner(dir)
	if ferr == nil && cfg.Alive != nil && first.Host == cfg.Me.Host {
		if cfg.Alive(first) {
			return Owner{}, &HeldError{first}
		}
		return first, nil
	}
	deadline := time.Now().Add(cfg.Stale)
	for time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return Owner{}, ctx.Err()
		case <-time.After(cfg.Stale / 20):
		}
		now, nerr := owner(dir)
		if _, gone := os.Stat(dir); errors.Is(gone, fs.ErrNotExist) {
			return first, nil
		}
		if nerr == nil && (ferr != nil || now != first) {
			return Owner{}, &HeldError{now}
		}
	}
	return first, nil
}

// displace removes a dead owner's lease by renaming the directory away. Two processes may have found the same owner dead, and
// the slower one would rename away what the faster one has just acquired; so the owner is read again behind the rename, and a
// living owner's lease is put back.
func displace(dir string, dead Owner) error {
	grave := fmt.Sprintf("%s%s%d-%d", dir, tempMark, os.Getpid(), time.Now().UnixNano())
	if err := os.Rename(dir, grave); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("take lease %s over: %w", dir, err)
	}
	o, err := owner(grave)
	theOne := err == nil && o.same(dead) || err != nil && dead == Owner{}
	if !theOne && os.Rename(grave, dir) == nil {
		return nil
	}
	return os.RemoveAll(grave)
}
