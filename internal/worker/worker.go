// Package worker is vtune on a machine of a pool, where no directory is shared but a bucket: it takes jobs from the run's queue by
// claiming them, has the crew's machinery run them in a run directory of the machine's own, puts up what they publish there, brings
// what they read of others, and shows signs of life. It measures nothing and decides nothing about the run.
//
// A claim is for one start of one machine: what was under way when a machine went down is not begun again, here or elsewhere; it goes
// on as another attempt, which is the collector's to decide.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/crew"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/worker/porter"
	"vtune/internal/worker/remote"
)

// Config of Run. Optional fields have the value behind them when they are zero.
type Config struct {
	remote.Run // Dir is the machine's own; it survives its restarts, but need not
	Unit       string
	BucketTime func() time.Time    // manifests are named by it
	Env        []string            // for jobs
	Node       string              // the machine's name
	Stop       <-chan record.Cause // the machine goes down, nobody says why; optional
	// Metadata calls each with a value of the machine's metadata, and again whenever it changes, until ctx ends; optional.
	Metadata func(ctx context.Context, key string, each func(value string)) error
	Log      io.Writer
	Now      func() time.Time

	Beat     time.Duration // 10 s: between two signs of life; a collector gives up after two minutes without one
	Scan     time.Duration // 1 s: between two looks for what was published here
	Look     time.Duration // 5 s: between two looks into the bucket, without a job; with one, three times as long
	Lead     time.Duration // 2 min: before the machine's time is over; a quarter of that time, at most
	Flush    time.Duration // 25 s: for what is left, when the machine is taken away
	Piece    int64         // 4 MiB of a log
	PieceAge time.Duration // 15 s

	begin func(record.Job) (crew.Step, error) // tests begin no process
}

// At is c for a run in a bucket, gs://BUCKET/PATH, on this machine.
func (c Config) At(ctx context.Context, url string) (Config, error) {
	at, err := bucket.Parse(url)
	switch {
	case err != nil:
		return c, diag.Wrap(err, diag.Usage)
	case !remote.Plain(c.Unit) || c.Dir == "":
		return c, diag.Errorf(diag.Usage, "a machine has a unit and a folder: --unit %q --dir %q", c.Unit, c.Dir)
	}
	dir, err := filepath.Abs(string(c.Dir))
	if err != nil {
		return c, err
	}
	b, err := bucket.Open(ctx, at.Bucket, nil)
	if err != nil {
		return c, err
	}
	c.Dir, c.Store, c.Prefix, c.BucketTime = record.Dir(dir), b, at.Prefix, b.Now
	if c.Node == "" {
		c.Node, err = os.Hostname()
	}
	return c, err
}

func (c *Config) setDefaults() {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&c.Beat, 10 * time.Second},
		{&c.Scan, time.Second},
		{&c.Look, 5 * time.Second},
		{&c.Lead, 2 * time.Minute},
		{&c.Flush, 25 * time.Second},
		{&c.Run.Patience, 30 * time.Second},
		{&c.PieceAge, 15 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if c.Piece <= 0 {
		c.Piece = 4 << 20
	}
}

// say puts a line into the worker's log. A log that cannot be written stops nothing.
func (c *Config) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Log, "%s %s: %s\n", c.Now().Format("15:04:05"), c.Unit, fmt.Sprintf(format, args...))
}

// worker is one start of one machine.
type worker struct {
	Config
	order  record.CrewOrder
	start  start
	life   *life
	porter *porter.Porter
	supply *supply

	causes chan record.Cause // the crew is told
	// alive ends with Run, publishing when nothing may be put up any more, beginning when nothing is to be begun.
	alive, publishing, beginning context.Context
	silence, close               context.CancelFunc

	mu   sync.Mutex
	fate fate
	job  string // under way
	look chan struct{}
}

// fate is why a worker ends, the weightier the later.
type fate int

const (
	over      fate = iota // there is nothing left to do
	expired               // its time is
	stopped               // somebody ends it, and may start it again
	preempted             // the machine is taken away
	lost                  // somebody else is in its place
)

// Run does a machine's work. Its exit code is diag.OK when there is nothing left to do, diag.Unfinished when it was cut off, diag.Busy
// when somebody else is in its place. Only where the machine has said that it is done may whoever started it say nothing more of it.
func Run(ctx context.Context, c Config) (diag.Code, error) {
	c.setDefaults()
	if err := os.MkdirAll(c.Dir.Job(c.Unit), 0o755); err != nil {
		return diag.Internal, err
	}
	own, err := os.OpenFile(c.Dir.JobLog(c.Unit), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return diag.Internal, err
	}
	defer own.Close()
	c.Log = io.MultiWriter(c.Log, own)
	w := &worker{
		Config: c, causes: make(chan record.Cause, 8), look: make(chan struct{}, 1),
	}
	if w.begin == nil {
		w.begin = w.script
	}
	w.life, w.supply = newLife(w.Config), newSupply(w.Config)
	w.supply.strand = w.strand
	w.porter = porter.New(porter.Config{
		Run: c.Run, Unit: c.Unit, Now: c.Now, Time: c.BucketTime, Say: w.say, Told: w.life.published, Pace: c.Scan, Piece: c.Piece, Age: c.PieceAge,
	})
	switch stopped, err := w.ready(ctx); {
	case stopped:
		return diag.Unfinished, err
	case errors.Is(err, errLost):
		return diag.Busy, err
	case err != nil:
		return diag.Internal, err
	}
	return w.run(ctx)
}

// ready prepares, however long the bucket is away, unless the machine goes down meanwhile.
func (w *worker) ready(ctx context.Context) (stopped bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	prepared := make(chan error, 1)
	go func() { prepared <- w.prepare(ctx) }()
	defer cancel()
	select {
	case err := <-prepared:
		return false, err
	case <-w.Stop:
		cancel()
		return true, <-prepared
	}
}

func (w *worker) run(ctx context.Context) (diag.Code, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.alive = ctx
	w.publishing, w.silence = context.WithCancel(ctx)
	w.beginning, w.close = context.WithCancel(ctx)
	if w.start.most > 0 {
		left, lead := w.start.left-w.Now().Sub(w.start.now), min(w.Lead, w.start.most/4)
		defer time.AfterFunc(left, w.silence).Stop()
		defer time.AfterFunc(left-lead, func() { w.end(expired, "the machine's time is over", lead/2) }).Stop()
	}
	porting, still := context.WithCancel(w.publishing)
	var loops, beats sync.WaitGroup
	loops.Go(func() { w.porter.Loop(porting) })
	loops.Go(func() { w.provide(w.beginning) })
	beats.Go(func() { w.life.run(w.publishing) })
	go w.listen(ctx)

	p := &pool{worker: w, ctx: w.beginning, mine: map[string]bool{}, open: map[string]bool{}}
	var err error
	if w.life.phase() == record.WorkerClosed {
		err = w.insist(w.beginning, func() error { return w.supply.look(w.beginning, "") })
	} else {
		_, err = crew.Run(ctx, crew.Config{
			Dir: w.Dir, Order: w.order, Starter: p, Pool: p, Stop: w.causes, Log: w.Log, Now: w.Now, Pace: w.Scan,
			Idle: time.Duration(w.order.Pool.Idle) * time.Second,
		})
	}
	w.close()
	still()
	loops.Wait()
	if err == nil && w.why() != lost {
		err = w.insist(w.publishing, func() error { return p.abandon(w.publishing) })
	}
	code, err := w.leave(err)
	w.silence()
	beats.Wait()
	return code, err
}

// provide looks into the bucket until ctx ends.
func (w *worker) provide(ctx context.Context) {
	away := false
	for ctx.Err() == nil {
		w.mu.Lock()
		job := w.job
		w.mu.Unlock()
		err := w.supply.look(ctx, job)
		if err != nil && !away && ctx.Err() == nil {
			w.say("%v", err)
		}
		away = err != nil
		w.start.remember(w.Now(), w.Beat)
		wait := w.Look
		switch {
		case job != "":
			wait *= 3
		case err == nil && w.supply.rest.Load():
			wait = 0
		}
		select {
		case <-ctx.Done():
		case <-w.look:
		case <-time.After(wait):
		}
	}
}

// working says which job is under way.
func (w *worker) working(job string) {
	w.mu.Lock()
	w.job = job
	w.mu.Unlock()
	w.life.tell(func(r *record.Worker) { r.Job = job })
	select {
	case w.look <- struct{}{}:
	default:
	}
}

// listen waits for what ends the worker from outside.
func (w *worker) listen(ctx context.Context) {
	if w.Metadata != nil {
		go w.watch(ctx, "instance/preempted", func(value string) {
			if value == "TRUE" {
				w.life.tell(func(r *record.Worker) { r.Phase, r.Reason = record.WorkerPreempted, "the machine is taken away" })
				w.end(preempted, "the machine is being taken away", w.Flush*3/5)
			}
		})
		go w.watch(ctx, "instance/maintenance-event", func(value string) { w.say("maintenance: %s", value) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.life.lost:
			w.silence()
			w.end(lost, errLost.Error(), w.Flush)
			return
		case <-w.Stop:
			w.end(stopped, "told to end", w.Flush*3/5)
		}
	}
}

// end has the worker come to its end for a reason that outweighs those before. After patience nothing of its jobs lives.
func (w *worker) end(f fate, why string, patience time.Duration) {
	w.mu.Lock()
	weightier := f > w.fate
	w.fate = max(f, w.fate)
	w.mu.Unlock()
	if !weightier {
		return
	}
	w.say("%s", why)
	cause := record.CauseStopped
	if f == expired {
		cause = record.CauseTimeLimit
	}
	w.causes <- cause // as many as there are fates, at most
	w.close()
	time.AfterFunc(patience, func() {
		if w.alive.Err() == nil {
			w.sweep(w.alive)
		}
	})
	if f == stopped || f == preempted {
		w.porter.Hurry()
		time.AfterFunc(w.Flush, w.silence)
	}
}

func (w *worker) why() fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fate
}

// leave puts up what is left, and says that the machine is done, if it is.
func (w *worker) leave(failed error) (diag.Code, error) {
	f := w.why()
	if f == lost {
		return diag.Busy, errLost
	}
	if f < stopped {
		w.life.tell(func(r *record.Worker) { r.Phase = record.WorkerClosed })
	}
	err := w.porter.Flush(w.publishing)
	if f = w.why(); err == nil && f < stopped {
		if err = w.insist(w.publishing, func() error { return w.done(f, failed) }); err == nil {
			err = w.porter.Flush(w.publishing)
		}
	}
	if err == nil {
		err = w.insist(w.publishing, func() error { return w.life.beat(w.publishing) })
	}
	switch f = w.why(); {
	case f == lost:
		return diag.Busy, errLost
	case failed != nil && f < stopped:
		return diag.Internal, errors.Join(failed, err)
	case err != nil:
		return diag.Unfinished, fmt.Errorf("not all of it is in the bucket: %w", err)
	case f != over:
		return diag.Unfinished, nil
	}
	return diag.OK, nil
}

// done is written here, for the porter; what was said before stays said.
func (w *worker) done(f fate, failed error) error {
	d := record.Done{Schema: record.Schema, Unit: w.Unit, ExitCode: "0:0", At: w.Now()}
	switch {
	case failed != nil:
		d.ExitCode, d.Message = fmt.Sprintf("%d:0", diag.Internal), failed.Error()
	case f == expired:
		d.ExitCode, d.Message = fmt.Sprintf("%d:0", diag.Unfinished), "the machine's time was over"
	}
	path := w.Rel(w.Dir.Done(w.Unit))
	_, there, err := w.Find(w.publishing, path)
	if err != nil || there || w.Has(path) {
		return err
	}
	return w.Publish(path, d)
}
