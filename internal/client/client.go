// Package client measures: it puts one load on a running server and brings back the numbers. Bench does it with `vllm bench
// serve`, Own as that would but in this process, and Sequential with a load that ends when its verdict is sure. None of them
// publishes an observation or knows what comes next.
package client

import (
	"context"
	"os"
	"time"

	"vtune/internal/record"
	"vtune/internal/serving"
	"vtune/internal/verdict"
)

// Target is what a client needs to know for one load.
type Target struct {
	Server    *serving.Server
	Load      record.Load
	Seed      int64
	Profile   bool   // bracket the load with the profiler
	Log       string // path of the client's log
	Raw       string // path of the client's own JSON
	Timelines string // path of every request's times
}

// Measurement is what came of a load.
type Measurement struct {
	Metrics record.Metrics
	Note    string        // in the client's words, about what went wrong with single requests
	Loading time.Duration // how long of the client's time the load itself took, as far as it tells
	Writing time.Duration // how long a profiler wrote its trace before the client was let go

	Judged *Judged // of Sequential
}

// Judged is what a load's requests say about its limits.
type Judged struct {
	verdict.Outcome
	Failed     int    // requests that were neither answered nor cut off
	Late       string // why this client was too slow to be believed
	Histograms map[string]string
}

// Setting is what is the same for all loads of an attempt.
type Setting struct {
	Assignment record.Assignment
	Env        []string
	Dir        string // the working directory of a client's process
	Mark       string
	LogMode    os.FileMode
	Now        func() time.Time
}

// cause prefers the reason of a context that ended to the error of the call that noticed.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
