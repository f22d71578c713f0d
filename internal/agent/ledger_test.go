package agent

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
		l := newLedger(now)
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "ns")))
			from := rapid.SampledFrom(activities).Draw(t, "from")
			if rapid.Bool().Draw(t, "enter") {
				l.enter(from, now)
			} else {
				l.move(from, rapid.SampledFrom(activities).Draw(t, "to"), rapid.Float64Range(-5, 1e6).Draw(t, "seconds"))
			}
		}
		sum := 0.0
		for activity, s := range l.close(now) {
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

func TestSecretsAreRedactedByTheNameOfTheirVariable(t *testing.T) {
	w := &work{secrets: secrets([]string{"HF_TOKEN=hf_abcdefgh", "SHORT_KEY=abc", "PATH=/usr/bin", "AWS_SECRET=swordfish1"})}
	if got := w.redact("hf_abcdefgh abc /usr/bin swordfish1"); got != "[secret] abc /usr/bin [secret]" {
		t.Error(got)
	}
}
