package handsfree

import (
	"context"
	"os"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/collect/chain"
	"vtune/internal/fsx"
)

// Collecting is who collects a run, if anybody does.
type Collecting struct {
	Owner  *fsx.Owner   // the process that has the run in its hands; nil: none. On another host, it may have died
	Wished bool         // the run shall collect itself
	Link   *chain.Link  // the one that runs or comes next; nil where a chain is wished for: it is broken
	Last   int          // number of the last link that there ever was; 0: none
	Seen   collect.Seen // what the scheduler says of Link
	Begins time.Time    // at the earliest, Link
}

// Who collects, as far as records and the scheduler's answer tell.
func Who(ctx context.Context, t *tuning.Tuning, links []chain.Link, seen []collect.Seen) Collecting {
	c := Collecting{Owner: t.Holder(ctx)}
	_, err := os.Stat(t.Dir.Chain())
	c.Wished = err == nil
	if len(links) > 0 {
		c.Last = links[len(links)-1].Number
	}
	if c.Link, c.Seen = linkOut(links, seen); c.Link != nil {
		c.Begins = c.Link.Submitted.At.Add(time.Duration(c.Link.Unit.Delay) * time.Second)
	}
	return c
}
