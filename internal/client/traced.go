package client

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"vtune/internal/serving"
)

const (
	writingEvery = 250 * time.Millisecond
	// progressEvery is how often a person is told that a trace is still being written.
	progressEvery = 30 * time.Second
)

// Traced is a client of a server that writes a trace of the load before it lets the client go. It tells how the trace grows, and
// when the writing began.
type Traced struct {
	Client interface {
		Measure(context.Context, Target) (Measurement, error)
	}
	Now  func() time.Time
	Tell func(progress string)
}

// Measure is the client's.
func (c Traced) Measure(ctx context.Context, t Target) (Measurement, error) {
	watching, cancel := context.WithCancel(ctx)
	idleSince := make(chan time.Time, 1)
	go func() { idleSince <- c.watch(watching, t.Server) }()
	m, err := c.Client.Measure(ctx, t)
	cancel()
	if since := <-idleSince; m.Writing == 0 && !since.IsZero() {
		m.Writing = c.Now().Sub(since)
	}
	return m, err
}

// watch returns when the server last became idle after it had been busy: since then it writes its trace. Zero: not seen.
func (c Traced) watch(ctx context.Context, srv *serving.Server) (idleSince time.Time) {
	tick := time.NewTicker(writingEvery)
	defer tick.Stop()
	busy, told := false, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return idleSince
		case <-tick.C:
		}
		m, err := srv.API.Metrics(ctx)
		now := c.Now()
		switch {
		case err != nil: // a server that writes a trace may be slow to answer
		case !m.Idle():
			busy, idleSince = true, time.Time{}
		case busy && idleSince.IsZero():
			idleSince = now
		}
		if !idleSince.IsZero() && now.Sub(cmp.Or(told, idleSince)) >= progressEvery {
			told = now
			c.Tell(fmt.Sprintf("the trace is being written for %.0f s, %.1f MB so far", now.Sub(idleSince).Seconds(), serving.Size(srv.TraceDir())/1e6))
		}
	}
}
