package agent

import (
	"time"

	"vtune/internal/record"
)

// ledger books every moment of an attempt on exactly one activity, so that its entries add up to the wall time.
type ledger struct {
	spent    record.Ledger
	activity string
	since    time.Time
}

func newLedger(now time.Time) *ledger {
	return &ledger{spent: record.Ledger{}, activity: record.SpendOther, since: now}
}

// enter ends the present activity and begins the next. It returns the ended one, to go back to.
func (l *ledger) enter(activity string, now time.Time) (before string) {
	l.spent[l.activity] += now.Sub(l.since).Seconds()
	before, l.activity, l.since = l.activity, activity, now
	return before
}

// move books seconds on another activity, as far as the first one has that many: a client reports how long its load took only
// when it is over, and by its own clock.
func (l *ledger) move(from, to string, seconds float64) {
	if seconds = min(seconds, l.spent[from]); seconds <= 0 {
		return
	}
	l.spent[from] -= seconds
	l.spent[to] += seconds
}

func (l *ledger) close(now time.Time) record.Ledger {
	l.enter(record.SpendOther, now)
	return l.spent
}
