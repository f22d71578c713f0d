package load

import (
	"context"
	"fmt"
	"time"
)

// Watch looks at a run while it goes on, about every Every of real time. See gets the requests whose time has come, in the order
// in which they were due; one in flight has no Done yet, and First once its first chunk came. They are See's until it returns.
// When See says stop, nothing more is sent and open connections are closed at once, so that the server aborts what it has; Run
// then returns a report with Stopped set. After the last answer See is not called again.
type Watch struct {
	Every time.Duration
	See   func(now time.Duration, requests []Timeline) (stop bool)
}

func (w *Watch) check() error {
	if w != nil && (w.Every <= 0 || w.See == nil) {
		return fmt.Errorf("a watch every %v", w.Every)
	}
	return nil
}

// watch begins to look, and returns what ends it: when that returns, See runs no more.
func (r *running) watch(w *Watch, stop context.CancelCauseFunc) (end func()) {
	if w == nil {
		return func() {}
	}
	over, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(w.Every)
		defer ticker.Stop()
		var v view
		for {
			select {
			case <-ticker.C:
			case <-over:
				return
			}
			now, any := r.look(&v)
			if any && w.See(now, v.requests) {
				stop(errStopped)
				return
			}
		}
	}()
	return func() {
		close(over)
		<-gone
	}
}

// view is a copy of a run's requests that a Watch may read at leisure.
type view struct {
	requests []Timeline
	settled  int // so many from the start are over and need no more looking at
}

// lookBatch requests are copied at a time, so that a look does not hold up answers.
const lookBatch = 256

// look brings the view up to date; false if the last answer has come.
func (r *running) look(v *view) (time.Duration, bool) {
	r.mu.Lock()
	now, begun := r.clock.now(), r.begun
	if r.over == len(r.requests) {
		r.mu.Unlock()
		return 0, false
	}
	if r.w.Closed == 0 {
		for begun < len(r.requests) && r.requests[begun].Due <= now {
			begun++
		}
		r.begun = begun
	}
	r.mu.Unlock()
	over := func(t Timeline) bool { return t.Done > 0 || t.Aborted }
	v.requests = append(v.requests, make([]Timeline, begun-len(v.requests))...)
	for from := v.settled; from < begun; from += lookBatch {
		r.mu.Lock()
		for i := from; i < min(from+lookBatch, begun); i++ {
			if !over(v.requests[i]) {
				v.requests[i] = r.requests[i]
			}
		}
		r.mu.Unlock()
	}
	for v.settled < begun && over(v.requests[v.settled]) {
		v.settled++
	}
	return now, true
}
