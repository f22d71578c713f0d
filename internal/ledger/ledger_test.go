package ledger

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

func TestALedgerAddsUpToTheWallTimeWhateverIsBooked(t *testing.T) {
	activities := []string{record.SpendStarting, record.SpendClient, record.SpendWaiting, record.SpendMeasured, record.SpendStopping}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		l := New(now)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ns")))
			from := rapid.SampledFrom(activities).Draw(t, "from")
			if rapid.Bool().Draw(t, "enter") {
				l.Enter(from, now)
			} else {
				l.Move(from, rapid.SampledFrom(activities).Draw(t, "to"), rapid.Float64Range(-5, 1e6).Draw(t, "seconds"))
			}
		}
		sum := 0.0
		for activity, s := range l.Close(now) {
			if s < -1e-9 {
				t.Errorf("%v s of %s", s, activity)
			}
			sum += s
		}
		if wall := now.Sub(time.Unix(0, 0)).Seconds(); math.Abs(sum-wall) > 1e-6 {
			t.Errorf("%v of %v s", sum, wall)
		}
	})
}
