package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"vtune/internal/fsx"
)

// Lease is an object that one process holds at a time: what fsx.Lease is on a shared file system. Its content says who; while the
// owner lives it rewrites the object, each time for the generation that it wrote last. So a lease is taken over by one write, for
// the generation that was watched, and the owner learns of it by its next.
type Lease struct {
	b    *Bucket
	name string
	me   fsx.Owner
	beat time.Duration

	generation int64 // of the object as we wrote it last
	stop       context.CancelFunc
	done       chan struct{}
	lost       chan struct{}
	lose       sync.Once
}

// releasePatience bounds how long the end of a lease may take.
const releasePatience = 30 * time.Second

// Acquire takes the lease or reports, as *fsx.HeldError, who has it. An owner that seems dead is watched for cfg.Stale, by this
// machine's own clock, before its lease is taken over, unless cfg.Alive knows at once.
func (b *Bucket) Acquire(ctx context.Context, name string, cfg fsx.LeaseConfig) (*Lease, error) {
	for generation := int64(0); ; {
		l, err := b.take(ctx, name, generation, cfg)
		if !errors.Is(err, ErrChanged) {
			return l, err
		}
		if generation, err = b.dead(ctx, name, cfg); err != nil {
			return nil, err
		}
	}
}

// take writes the object for that generation.
func (b *Bucket) take(ctx context.Context, name string, generation int64, cfg fsx.LeaseConfig) (*Lease, error) {
	l := &Lease{b: b, name: name, me: cfg.Me, beat: cfg.Beat, generation: generation, done: make(chan struct{}), lost: make(chan struct{})}
	if err := l.write(ctx); err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	// It beats on after the context of Acquire, until Release.
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	go l.run(ctx)
	return l, nil
}

func (l *Lease) write(ctx context.Context) error {
	l.me.Beat++
	data, err := json.Marshal(l.me)
	if err != nil {
		return err
	}
	o, err := l.b.Put(ctx, l.name, data, l.generation, nil)
	if err == nil {
		l.generation = o.Generation
	}
	return err
}

func (l *Lease) run(ctx context.Context) {
	defer close(l.done)
	t := time.NewTicker(l.beat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// Any other error is one of the network. It is not repeated before the next tick; while we cannot reach the bucket we
		// cannot do harm in it either.
		if err := l.write(ctx); errors.Is(err, ErrChanged) && !l.still(ctx) {
			l.lose.Do(func() { close(l.lost) })
			return
		}
	}
}

// still says whether the object is ours after all: a beat that got no answer may have been written. What cannot be read now is
// not lost yet; the next beat will tell.
func (l *Lease) still(ctx context.Context) bool {
	o, owner, err := l.b.owner(ctx, l.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false
	case err != nil:
		return ctx.Err() != nil || !errors.Is(err, errUnreadable)
	}
	if same(owner, l.me) {
		l.generation = o.Generation
		return true
	}
	return false
}

// Lost is closed when somebody has taken the lease over, or removed it. Whoever holds it must then stop writing.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the lease up. It leaves a lease alone that was taken over meanwhile. It is called once.
func (l *Lease) Release() error {
	l.stop()
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), releasePatience)
	defer cancel()
	// A beat may have been under way, so the generation is asked for. One that arrives even now makes it another; then once more.
	for {
		o, owner, err := l.b.owner(ctx, l.name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errUnreadable) || err == nil && !same(owner, l.me) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("release lease: %w", err)
		}
		if err := l.b.Delete(ctx, l.name, o.Generation); !errors.Is(err, ErrChanged) {
			return err
		}
	}
}

// Holder is who has the lease, by what its owner wrote last. Whether that process still lives is another question.
func (b *Bucket) Holder(ctx context.Context, name string) (fsx.Owner, bool) {
	_, owner, err := b.owner(ctx, name)
	return owner, err == nil
}

var errUnreadable = errors.New("this is no lease")

func (b *Bucket) owner(ctx context.Context, name string) (Object, fsx.Owner, error) {
	data, o, err := b.Get(ctx, name)
	if err != nil {
		return Object{}, fsx.Owner{}, err
	}
	var owner fsx.Owner
	if err := json.Unmarshal(data, &owner); err != nil {
		return o, fsx.Owner{}, fmt.Errorf("gs://%s/%s: %w: %w", b.name, name, errUnreadable, err)
	}
	return o, owner, nil
}

func same(a, b fsx.Owner) bool { return a.Host == b.Host && a.PID == b.PID && a.Start == b.Start }

// dead is the generation of a lease whose owner is certainly dead, 0 if there is none any more; or HeldError as soon as the owner
// shows life. What cannot be read as a lease is given the same time.
func (b *Bucket) dead(ctx context.Context, name string, cfg fsx.LeaseConfig) (generation int64, err error) {
	seen, owner, err := b.owner(ctx, name)
	readable := err == nil
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil && !errors.Is(err, errUnreadable):
		return 0, err
	case readable && cfg.Alive != nil && owner.Host == cfg.Me.Host:
		if cfg.Alive(owner) {
			return 0, &fsx.HeldError{By: owner}
		}
		return seen.Generation, nil
	}
	for since := time.Now(); time.Since(since) < cfg.Stale; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(cfg.Stale / 20):
		}
		now, err := b.Stat(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return 0, nil
		case err != nil:
			return 0, err
		case now.Generation == seen.Generation:
			continue
		}
		if _, owner, err = b.owner(ctx, name); err == nil {
			return 0, &fsx.HeldError{By: owner}
		}
		// It was given up, or rewritten by something else, in this moment: that is watched from the beginning.
		return b.dead(ctx, name, cfg)
	}
	return seen.Generation, nil
}
