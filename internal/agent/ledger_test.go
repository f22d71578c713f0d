package agent

import (
	"math"
	"slices"
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
	w := &work{secrets: secrets([]string{"HF_TOKEN=hf_abcdefgh", "SHORT_KEY=abc", "PATH=/usr/bin", "AWS_SECRET=swordfish1", "DB=pw"}, []string{"DB"})}
	if got := w.redact("hf_abcdefgh abc /usr/bin swordfish1"); got != "[secret] abc /usr/bin [secret]" {
		t.Error(got)
	}
}

func TestTheClientAsksNoProxyForItsServer(t *testing.T) {
	got := direct([]string{"http_proxy=http://proxy:3128", "NO_PROXY=.cluster"})
	if want := []string{"no_proxy=127.0.0.1,.cluster", "NO_PROXY=127.0.0.1,.cluster"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestTheUnitsIDIsKnownWhateverTheScheduler(t *testing.T) {
	for want, env := range map[string][]string{
		"12": {"SLURM_JOB_ID=14", "SLURM_ARRAY_JOB_ID=12", "SLURM_ARRAY_TASK_ID=1"},
		"14": {"SLURM_JOB_ID=14"},
		"3":  {"VTUNE_LOCAL_JOB=3"},
		"":   nil,
	} {
		if got := schedulerID(env); got != want {
			t.Errorf("%v: %q", env, got)
		}
	}
}
