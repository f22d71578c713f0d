package collect

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"vtune/collect/doorbell"
	"vtune/internal/record"
)

// Pace of Watch. Rescan is how often events/ is listed whether or not the doorbell rang: on NFS and Lustre it never rings. Ask
// bounds the interval between scheduler queries, which grows from Min to Max while nothing happens. Full is how often everything
// is read although no event says so, for an event whose publication failed.
type Pace struct {
	Rescan, AskMin, AskMax, Full time.Duration
}

// Report is called by Watch for each new event and after each pass.
type Report struct {
	Event func(record.Event)
	Pass  func(record.State, error)
}

// Watch makes passes until the run is over or ctx ends. Errors of a pass are reported and do not end it: the next one may go
// better. The last state is returned with ctx's error, if that is what ended it.
func (c *Collector) Watch(ctx context.Context, p Pace, r Report) (record.State, error) {
	bell, stop := doorbell.Hang(c.cfg.Dir.Events())
	defer stop()
	events := doorbell.Reader{Dir: c.cfg.Dir.Events()}
	var asked, passed time.Time
	interval := p.AskMin
	for {
		pulled := c.sync(ctx, c.cfg.Pull)
		fresh := events.Fresh()
		for _, e := range fresh {
			r.Event(e)
		}
		now := c.cfg.Now()
		ask := now.Sub(asked) >= interval
		if len(fresh) > 0 || ask || now.Sub(passed) >= p.Full {
			if ask {
				asked, interval = now, jittered(min(interval*3/2, p.AskMax))
			}
			if len(fresh) > 0 {
				interval = jittered(p.AskMin)
			}
			passed = now
			st, err := c.pass(ctx, ask)
			err = errors.Join(pulled, err)
			r.Pass(st, err)
			if err == nil && Settled(st) {
				return st, nil
			}
			if ctx.Err() != nil {
				return st, ctx.Err()
			}
		}
		select {
		case <-ctx.Done():
			st, _ := c.scan.Scan()
			return Derive(st), ctx.Err()
		case <-bell:
		case <-time.After(p.Rescan):
		}
	}
}

// jittered keeps collectors that were started together from asking a controller together for ever: up to a fifth more.
func jittered(d time.Duration) time.Duration { return d + rand.N(d/5+1) }
