package load

import (
	"context"
	"math"
	"time"

	"vtune/internal/load/kernel"
)

// virtual turns real time into the server's time.
type virtual struct {
	start time.Time
	scale float64
}

// at is in whole microseconds, so that a timeline is the same in memory and on disk.
func (v virtual) at(t time.Time) time.Duration {
	return time.Duration(float64(t.Sub(v.start)) * v.scale).Truncate(time.Microsecond)
}

func (v virtual) now() time.Duration { return v.at(time.Now()) }

// until waits for an absolute time, so that lateness never adds up.
func (v virtual) until(ctx context.Context, due time.Duration, k *kernel.Kick) error {
	wait := time.Until(v.start.Add(time.Duration(math.Ceil(float64(due) / v.scale))))
	if wait <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	k.In(wait)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
