package handsfree

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/collect/chain"
	"vtune/internal/fsx"
	"vtune/internal/record"
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

// Say it in a line, with a hint where nobody does.
func (c Collecting) Say(t *tuning.Tuning, program string, now time.Time) (line, hint string) {
	switch {
	case c.Link != nil && c.Seen.Word != "PENDING":
		return fmt.Sprintf("collected by itself: link %d is %s on %s", c.Link.Number, c.Seen.Word, cmp.Or(c.Seen.Node, "-")), ""
	case c.Link != nil && c.Begins.After(now):
		return fmt.Sprintf("collected by itself: link %d waits until %s", c.Link.Number, clock(c.Begins, now)), ""
	case c.Link != nil:
		return fmt.Sprintf("collected by itself: link %d is %s (%s)", c.Link.Number, c.Seen.Word, cmp.Or(c.Seen.Reason, "-")), ""
	case c.Owner != nil:
		return fmt.Sprintf("collected by %s", c.Owner), ""
	case c.Wished && c.Last > 0:
		return fmt.Sprintf("nobody collects this run: its chain ended with link %d, whose last words are in %s", c.Last, t.Dir.JobLog(record.LinkID(c.Last))),
			fmt.Sprintf("%s submit --hands-free %s starts it again", program, t.Dir)
	}
	return "nobody collects this run", fmt.Sprintf("%s collect --watch %s does", program, t.Place())
}

// clock is a time of day, with its date where that is not today's.
func clock(at, now time.Time) string {
	at = at.Local()
	if at.Sub(now) > 12*time.Hour {
		return at.Format("2006-01-02 15:04")
	}
	return at.Format("15:04:05")
}
