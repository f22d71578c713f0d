package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

// errLost says that this machine is not its unit's any more: a collector took it for dead and has given its work to others, or another
// machine of the unit has begun. Whatever it does from here on, somebody else does too.
var errLost = errors.New("this machine was given up, or another one does the work of its unit")

// life is the worker's sign of life, which is also how it learns that it has none: each beat rewrites the one that it knows.
type life struct {
	remote.Run
	every time.Duration
	say   func(string, ...any)

	beating    sync.Mutex // one beat at a time
	generation int64

	mu   sync.Mutex
	self record.Worker
	wake chan struct{}
	lost chan struct{}
}

func newLife(c Config) *life {
	return &life{
		Run: c.Run, every: c.Beat, say: c.say, wake: make(chan struct{}, 1), lost: make(chan struct{}),
		self: record.Worker{Schema: record.Schema, Unit: c.Unit, Phase: record.WorkerOpen, Node: c.Node},
	}
}

func (l *life) path() string { return l.Rel(l.Dir.Worker(l.self.Unit)) }

// take begins this start of the machine: it is numbered after all that were before it, on this disk (local) or on another. What a
// collector has buried stays dead, what was closed stays closed.
func (l *life) take(ctx context.Context, local int) error {
	var seen record.Worker
	o, err := l.GetJSON(ctx, l.path(), &seen)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case seen.Phase == record.WorkerDead:
		return errLost
	case seen.Phase == record.WorkerClosed:
		l.self.Phase = record.WorkerClosed
	}
	l.self.Boot, l.self.Manifests = max(local, seen.Boot+1), seen.Manifests
	l.self.Beat = seen.Beat + 1
	o, err = l.write(ctx, l.self, o.Generation)
	if errors.Is(err, bucket.ErrChanged) {
		return errContended
	}
	l.generation = o.Generation
	return err
}

// errContended says that somebody else wrote at the same moment, perhaps this very process, whose answer was lost.
var errContended = errors.New("its sign of life changed meanwhile")

func (l *life) write(ctx context.Context, w record.Worker, generation int64) (bucket.Object, error) {
	data, err := fsx.JSON(w)
	if err != nil {
		return bucket.Object{}, err
	}
	return l.Put(ctx, l.path(), data, generation, names.Describe(w))
}

// beat says now that the worker lives, and how far it is. errLost: it is not to go on. Any other error is the bucket's absence, and no
// reason for anything.
func (l *life) beat(ctx context.Context) error {
	l.beating.Lock()
	defer l.beating.Unlock()
	l.mu.Lock()
	l.self.Beat++
	self := l.self
	l.mu.Unlock()
	o, err := l.write(ctx, self, l.generation)
	if errors.Is(err, bucket.ErrChanged) {
		o, err = l.own(ctx)
	}
	if errors.Is(err, errLost) {
		l.lose()
	}
	if err == nil {
		l.generation = o.Generation
	}
	return err
}

// own is the object that is there, if it is this worker's after all: a beat whose answer was lost. No other has its boot's number, and
// whoever buries it says so.
func (l *life) own(ctx context.Context) (bucket.Object, error) {
	var seen record.Worker
	o, err := l.GetJSON(ctx, l.path(), &seen)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return o, errLost
	case err != nil:
		return o, err
	case seen.Unit != l.self.Unit || seen.Boot != l.self.Boot || seen.Phase == record.WorkerDead:
		return o, fmt.Errorf("%w (%s, boot %d)", errLost, seen.Phase, seen.Boot)
	}
	return o, nil
}

func (l *life) lose() {
	select {
	case <-l.lost:
	default:
		close(l.lost)
	}
}

// run beats until ctx ends or the worker is lost, in time and whenever something changed.
func (l *life) run(ctx context.Context) {
	tick := time.NewTicker(l.every)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.lost:
			return
		case <-tick.C:
		case <-l.wake:
		}
		err := l.beat(ctx)
		switch {
		case err == nil && away:
			l.say("the bucket answers again")
		case err != nil && !away && ctx.Err() == nil:
			l.say("%v", err)
		}
		away = err != nil
	}
}

// tell changes what the next beat says, and has it come soon.
func (l *life) tell(change func(*record.Worker)) {
	l.mu.Lock()
	change(&l.self)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// published notes how many manifests are out. Whoever mirrors the run finds them by themselves; so it need not be told at once.
func (l *life) published(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.self.Manifests = n
}

func (l *life) boot() int { return l.self.Boot }

func (l *life) phase() record.WorkerPhase {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.self.Phase
}
