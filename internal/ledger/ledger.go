// Package ledger keeps an attempt's time: every moment is booked on exactly one activity, so that the entries add up to the wall
// time.
package ledger

import (
	"time"

	"vtune/internal/record"
)

// Ledger is one attempt's.
type Ledger struct {
	spent    record.Ledger
	activity string
	since    time.Time
}

// New opens a ledger, on the activity "other".
func New(now time.Time) *Ledger {
	return &Ledger{spent: record.Ledger{}, activity: record.SpendOther, since: now}
}

// Enter ends the present activity and begins the next. It returns the ended one, to go back to.
func (l *Ledger) Enter(activity string, now time.Time) (before string) {
	l.spent[l.activity] += now.Sub(l.since).Seconds()
	before, l.activity, l.since = l.activity, activity, now
	return before
}

// Move books seconds on another activity, as far as the first one has that many: a client reports how long its load took only
// when it is over, and by its own clock.
func (l *Ledger) Move(from, to string, seconds float64) {
	if seconds = min(seconds, l.spent[from]); seconds <= 0 {
		return
	}
	l.spent[from] -= seconds
	l.spent[to] += seconds
}

// Spent is what is booked on an activity that is not the present one, in s.
func (l *Ledger) Spent(activity string) float64 { return l.spent[activity] }

// Close books what is left.
func (l *Ledger) Close(now time.Time) record.Ledger {
	l.Enter(record.SpendOther, now)
	return l.spent
}
