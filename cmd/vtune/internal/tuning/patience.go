package tuning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vtune/jobs"
)

// pause between two tries to reach a scheduler: controllers restart in seconds, and are not helped by being asked meanwhile.
const pause = 5 * time.Second

// patiently tries again while the scheduler cannot be reached, and says so. What act has done before is recorded, so that it does
// nothing twice. An answer that may have been an acceptance is not tried again here: it wants a look, which act's next call takes.
func (w World) patiently(ctx context.Context, scheduler string, act func() error) error {
	var since time.Time
	for {
		err := act()
		if !errors.Is(err, jobs.ErrUnavailable) || errors.Is(err, jobs.ErrAbsent) || w.Patience <= 0 {
			return err
		}
		now := w.Now()
		if since.IsZero() {
			since = now
			fmt.Fprintf(w.Err, "%v\nwaiting up to %s for %s to answer; interrupt and run the same command again at any time\n", err, w.Patience, scheduler)
		}
		if now.Sub(since) >= w.Patience {
			return fmt.Errorf("%w (for %s)", err, w.Patience)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(pause, w.Patience)): // the pace of asking, not a wait for a condition
		}
	}
}
