package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Run sends the workload and waits for every answer. Failed requests are part
// of the report, not an error; an error means that there is no observation.
// When ctx ends, open requests are closed at once and Run returns the report
// of what there is, together with ctx's error.
func Run(ctx context.Context, t Target, w Workload) (Report, error) {
	if err := errors.Join(t.check(), w.check()); err != nil {
		return Report{}, fmt.Errorf("load: %w", err)
	}
	bodies := make([][]byte, w.Requests)
	for i := range bodies {
		b, err := body(w, Prompt(w, i))
		if err != nil {
			return Report{}, fmt.Errorf("load: %w", err)
		}
		bodies[i] = b
	}
	c := newClient(t)
	defer c.close()
	clock := virtual{start: time.Now(), scale: t.TimeScale}
	if clock.scale == 0 {
		clock.scale = 1
	}
	report := Report{Requests: make([]Timeline, w.Requests)}
	places := semaphore(w.MaxConcurrency)
	var wait sync.WaitGroup
	for i, due := range Arrivals(w) {
		r := &report.Requests[i]
		r.Due, r.PromptTokens = due, w.PrefixLen+w.InputLen
		if err := clock.until(ctx, due); err != nil {
			r.Error = err.Error() // never sent
			continue
		}
		wait.Go(func() {
			if places != nil {
				select {
				case places <- struct{}{}:
					defer func() { <-places }()
				case <-ctx.Done():
					r.Error = context.Cause(ctx).Error()
					return
				}
			}
			r.Sent = clock.now()
			a, err := c.complete(ctx, bodies[i])
			clock.record(r, a, err)
		})
	}
	wait.Wait()
	report.Summary = Summarize(report.Requests, w)
	if err := ctx.Err(); err != nil {
		return report, context.Cause(ctx)
	}
	return report, nil
}

// Once sends the workload's first prompt outside of any measurement: the check
// that `vllm bench serve` makes before its run.
func Once(ctx context.Context, t Target, w Workload) error {
	if err := errors.Join(t.check(), w.check()); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	b, err := body(w, Prompt(w, 0))
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	c := newClient(t)
	defer c.close()
	if _, err := c.complete(ctx, b); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

// semaphore is nil if nothing is to be limited.
func semaphore(places int) chan struct{} {
	if places == 0 {
		return nil
	}
	return make(chan struct{}, places)
}

// virtual turns real time into the server's time.
type virtual struct {
	start time.Time
	scale float64
}

func (v virtual) at(t time.Time) time.Duration {
	return time.Duration(float64(t.Sub(v.start)) * v.scale)
}

func (v virtual) now() time.Duration { return v.at(time.Now()) }

// until waits for an absolute time, so that lateness never adds up.
func (v virtual) until(ctx context.Context, due time.Duration) error {
	wait := time.Until(v.start.Add(time.Duration(float64(due) / v.scale)))
	if wait <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v virtual) record(r *Timeline, a answer, err error) {
	last := time.Duration(0)
	for i, chunk := range a.chunks {
		at := v.at(chunk)
		if i == 0 {
			r.First = at
		} else {
			r.Gaps = append(r.Gaps, at-last)
		}
		last = at
	}
	r.Done = last
	r.OutputTokens = a.tokens
	if a.tokens < 0 {
		r.OutputTokens = len(a.chunks)
	}
	if err != nil {
		r.Error = err.Error()
		r.Done = v.now()
	}
}
