package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"syscall"
	"time"

	"vtune/internal/load/kernel"

	"vtune/internal/load/wire"
)

// Run sends the workload and waits for every answer; watch may be nil. Failed requests are part of the report, not an error; an
// error means that there is no observation. When ctx ends, open requests are closed at once and Run returns the report of what
// there is, together with ctx's error.
func Run(ctx context.Context, t Target, w Workload, watch *Watch) (Report, error) {
	report, err := run(ctx, t, w, watch, nil)
	if err != nil {
		return report, fmt.Errorf("load: %w", err)
	}
	return report, nil
}

// Once sends the workload's first prompt outside of any measurement: the check that `vllm bench serve` makes before its run.
func Once(ctx context.Context, t Target, w Workload) error {
	if err := check(t, w); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	m, err := newMessage(w)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	c := newClient(t)
	defer c.Close()
	clock := virtual{start: time.Now(), scale: t.scale()}
	c.Complete(ctx, m.body(0), m.asked, &wire.Answer{Now: clock.now}, func(e error) { err = e })
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

// errStopped ends a run for its Watch.
var errStopped = errors.New("the run was ended by who watched it")

// run calls before with each request's number when its time has come; tests make a client late with it.
func run(parent context.Context, t Target, w Workload, watch *Watch, before func(int)) (Report, error) {
	if err := errors.Join(check(t, w), watch.check()); err != nil {
		return Report{}, err
	}
	m, err := newMessage(w)
	if err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	r := &running{
		w: w, client: newClient(t), message: m, before: before, clock: virtual{scale: t.scale()},
		answers: sync.Pool{New: func() any { return new(wire.Answer) }},
	}
	defer r.client.Close()
	r.kick = kernel.NewKick()
	defer r.kick.Close()
	if err := r.schedule(); err != nil {
		return Report{}, err
	}
	building, built := context.WithCancel(ctx)
	bodies := r.build(building)
	r.effort, r.clock.start = startEffort(), time.Now()
	watched := r.watch(watch, cancel)
	r.dispatch(ctx, bodies)
	built()
	r.wait.Wait()
	watched()
	report := Report{Requests: r.requests, Stopped: errors.Is(context.Cause(ctx), errStopped)}
	report.Summary = Summarize(report.Requests, w)
	r.effort.judge(&report.Summary, w, r.clock.scale)
	if parent.Err() != nil && !report.Stopped {
		return report, context.Cause(parent)
	}
	return report, nil
}

// running is a run while it goes on.
type running struct {
	w       Workload
	client  *wire.Client
	message *message
	clock   virtual
	kick    *kernel.Kick
	before  func(int)
	answers sync.Pool
	wait    sync.WaitGroup

	mu       sync.Mutex // of what follows, once the run has begun
	requests []Timeline
	begun    int // requests whose time has come
	over     int // requests that were answered, or failed
	effort   effort
}

// set changes one request, so that a Watch sees all of the change or nothing.
func (r *running) set(i int, change func(*Timeline)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.requests[i])
}

// schedule draws what a seed decides, ahead of the run.
func (r *running) schedule() error {
	r.requests = make([]Timeline, r.w.Requests)
	if r.w.Closed == 0 {
		for i, due := range Arrivals(r.w) {
			if r.w.MaxDuration > 0 && due > r.w.MaxDuration {
				r.requests = r.requests[:i]
				break
			}
			r.requests[i].Due = due.Truncate(time.Microsecond)
		}
		if len(r.requests) == 0 {
			return fmt.Errorf("no request is due within %v at %g requests per second", r.w.MaxDuration, r.w.Rate)
		}
	}
	for i := range r.requests {
		r.requests[i].PromptTokens = r.w.PrefixLen + r.w.InputLen
	}
	return nil
}

// Bodies are made ahead, so that no prompt is made on the clock, but not all of them, so that a long run needs no more memory
// than a short one.
const (
	aheadSeconds = 2
	aheadBytes   = 64 << 20
	aheadFewest  = 16
	aheadMost    = 4096
)

// build returns when the first bodies are there, and makes the others as they are taken.
func (r *running) build(ctx context.Context) <-chan *wire.Body {
	n, ahead := len(r.requests), aheadMost
	if r.w.Closed == 0 && !math.IsInf(r.w.Rate, 1) {
		ahead = min(ahead, int(r.w.Rate*r.clock.scale*aheadSeconds))
	}
	ahead = min(max(min(ahead, aheadBytes/r.message.size()), aheadFewest), n)
	bodies := make(chan *wire.Body, ahead)
	ready := make(chan struct{})
	r.wait.Go(func() {
		for i := range n {
			b := r.message.body(i)
			select {
			case bodies <- b:
			case <-ctx.Done():
				return
			}
			if i == ahead-1 {
				close(ready)
			}
		}
	})
	select {
	case <-ready:
	case <-ctx.Done():
	}
	return bodies
}

// dispatch sends each request when its time has come, whatever became of those before it.
func (r *running) dispatch(ctx context.Context, bodies <-chan *wire.Body) {
	n := len(r.requests)
	loop, gate := newPlaces(min(r.w.Closed, n)), newPlaces(min(r.w.LetIn, n))
	sent := 0
	for i := range n {
		due, again := r.next(ctx, i, loop)
		if !again {
			break
		}
		freed, ok := gate.take(ctx)
		if !ok {
			break
		}
		b := receive(ctx, bodies)
		if b == nil {
			break
		}
		if r.before != nil {
			r.before(i)
		}
		r.wait.Go(func() {
			r.send(ctx, i, b, max(0, freed-due))
			now := r.clock.now()
			gate.give(now)
			loop.give(now)
		})
		sent++
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() == nil { // a closed loop had its time
		r.requests = r.requests[:sent]
	}
	for i := range r.requests[sent:] {
		r.requests[sent+i].Aborted = true
	}
}

// next waits for a request's time, and says false if there is none because the run is over.
func (r *running) next(ctx context.Context, i int, loop places) (due time.Duration, ok bool) {
	if loop == nil {
		due = r.requests[i].Due // written before the run began
		return due, r.clock.until(ctx, due, r.kick) == nil
	}
	freed, ok := loop.take(ctx)
	due = r.clock.now()
	if r.w.LetIn > 0 { // the wait in the queue belongs to the request
		due = freed
	}
	if i > 0 {
		due = max(due, r.requests[i-1].Due)
	}
	if !ok || r.w.MaxDuration > 0 && due > r.w.MaxDuration {
		return 0, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[i].Due, r.begun = due, i+1
	return due, true
}

func receive(ctx context.Context, bodies <-chan *wire.Body) *wire.Body {
	select {
	case b := <-bodies:
		return b
	case <-ctx.Done():
		return nil
	}
}

func (r *running) send(ctx context.Context, i int, b *wire.Body, held time.Duration) {
	a := r.answers.Get().(*wire.Answer)
	a.Reset()
	a.Now, a.Begun = r.clock.now, func(first time.Duration) { r.set(i, func(t *Timeline) { t.First = first }) }
	now := r.clock.now()
	r.set(i, func(t *Timeline) {
		t.Held, t.Sent = held, max(now, t.Due)
		if r.w.Closed > 0 && r.w.LetIn == 0 {
			t.Sent = t.Due
		}
	})
	r.client.Complete(ctx, b, r.message.asked, a, func(err error) { r.record(ctx, i, a, err) })
	r.answers.Put(a)
}

func (r *running) record(ctx context.Context, i int, a *wire.Answer, err error) {
	now, gaps := r.clock.now(), slices.Clone(a.Gaps)
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.requests[i]
	r.over++
	t.Done, t.Gaps, t.OutputTokens = a.Last, gaps, a.Chunks
	if a.Usage != nil {
		t.OutputTokens = a.Usage.Completion
	}
	if err == nil {
		return
	}
	t.Done = max(now, time.Microsecond)
	if ctx.Err() != nil {
		t.Aborted = true
		return
	}
	t.Error = err.Error()
	for _, mine := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, mine) {
			r.effort.exhausted = mine.Error()
		}
	}
}

// places is a number of requests that may be under way, each as the time at which it was given back; nil: any number.
type places chan time.Duration

func newPlaces(n int) places {
	if n == 0 {
		return nil
	}
	p := make(places, n)
	for range n {
		p <- 0
	}
	return p
}

func (p places) take(ctx context.Context) (freed time.Duration, ok bool) {
	if p == nil {
		return 0, true
	}
	select {
	case freed = <-p:
		return freed, true
	case <-ctx.Done():
		return 0, false
	}
}

func (p places) give(now time.Duration) {
	if p != nil {
		p <- now
	}
}
