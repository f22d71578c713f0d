// Package chain is about runs that collect themselves: what the records say of the links, tiny jobs of which each makes a pass and sees
// to it that another follows. Links are no work of the run. Nothing waits for them, they are not followed up, and the run's state
// does not know them; but they are jobs of the run, and end with it.
package chain

import (
	"cmp"
	"math"
	"slices"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Link is what is known of one link.
type Link struct {
	Number    int
	Unit      record.Unit
	Submitted *record.Submitted // nil: not acknowledged by the scheduler
	Claim     *record.Attempt   // a job has taken the number: it has begun
	Result    *record.Result    // its last word
	Ended     *record.Ended     // a collector has ended it
}

// Read is the link that an intent is about, by its records.
func Read(dir record.Dir, u record.Unit) Link {
	l := Link{Number: u.Jobs[0].Attempt, Unit: u}
	attempt := dir.Attempt(record.KindCollect, "", l.Number)
	l.Submitted = read[record.Submitted](dir.Submitted(u.ID))
	l.Claim = read[record.Attempt](attempt.Attempt())
	l.Result = read[record.Result](attempt.Result())
	l.Ended = read[record.Ended](dir.Ended(u.ID))
	return l
}

// read is a record, or nil where it is not there yet.
func read[T any](path string) *T {
	v := new(T)
	if fsx.ReadJSON(path, v) != nil {
		return nil
	}
	return v
}

// ID is the link's job and unit.
func (l Link) ID() string { return l.Unit.ID }

// Sort puts links in the order in which they run.
func Sort(links []Link) {
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Number, b.Number) })
}

// Living are the links that may be at the scheduler. One whose successor has begun is over, whether or not it could say so.
func Living(links []Link) (living []Link) {
	begun := 0
	for i, l := range links {
		if l.Claim != nil {
			begun = i
		}
	}
	for i, l := range links {
		if i >= begun && l.Submitted != nil && l.Result == nil && l.Ended == nil {
			living = append(living, l)
		}
	}
	return living
}

// Out is the link that runs, or else the next one to run, by the scheduler's own word about jobs; nil: it has none, and so the chain
// is broken.
func Out(links []Link, alive func(job string) bool) *Link {
	for i, l := range links {
		if l.Submitted != nil && alive(l.ID()) {
			return &links[i]
		}
	}
	return nil
}

// First is the number with which a chain that has no link out begins or goes on. One that was intended and never acknowledged is
// settled first: it may be out.
func First(links []Link) int {
	if len(links) == 0 {
		return 1
	}
	last := links[len(links)-1]
	if last.Submitted == nil {
		return last.Number
	}
	return last.Number + 1
}

// Before are the links before number n.
func Before(links []Link, n int) []Link {
	at, _ := slices.BinarySearchFunc(links, n, func(l Link, n int) int { return cmp.Compare(l.Number, n) })
	return links[:at]
}

// Quiet is how many links in a row, up to the last of these, found nothing new. Those that did not come to their end say nothing.
func Quiet(links []Link) int {
	quiet := 0
	for _, l := range slices.Backward(links) {
		if l.Result != nil && l.Result.Outcome != record.OutcomeSkipped {
			break
		}
		if l.Result != nil {
			quiet++
		}
	}
	return quiet
}

// mostPause is how much longer than asked for the pause between two links becomes while nothing changes.
const mostPause = 5

// Pause between links: as asked for when something has changed, then longer with every earlier link that found nothing new.
func Pause(asked time.Duration, earlier []Link, changed bool) time.Duration {
	if changed {
		return asked
	}
	longer := min(math.Pow(1.5, float64(Quiet(earlier))), mostPause)
	return time.Duration(float64(asked) * longer).Round(time.Second)
}
