package jobs

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// anyResource has been asked for some time ago, and may have begun and ended; who looked may have had another clock than who asked.
func anyResource() *rapid.Generator[record.Resource] {
	return rapid.Custom(func(t *rapid.T) record.Resource {
		r := record.Resource{Chips: rapid.SampledFrom([]int{1, 4, 8, 256}).Draw(t, "chips"), MaxRun: rapid.IntRange(leastRun, 7*24*3600).Draw(t, "max run")}
		at := func(name string) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-7200, 14*24*3600).Draw(t, name)) * time.Second)
		}
		r.Asked = noon
		if rapid.Bool().Draw(t, "begun") {
			r.From, r.Seen = at("from"), at("seen")
		}
		if rapid.Bool().Draw(t, "over") {
			r.Ended = at("ended")
		}
		return r
	})
}

// However a run's machines fare, and whatever the clocks of those who look, what they can cost together stays within what was approved.
func TestNoMachineIsAffordedBeyondWhatWasApproved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chips, seconds := rapid.SampledFrom([]int{1, 4, 8, 256}).Draw(t, "chips of a machine"), rapid.IntRange(leastRun, 24*3600).Draw(t, "life")
		b := Budget{ChipHours: rapid.Float64Range(0, 5000).Draw(t, "approved")}
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			each, n := b.Afford(rapid.IntRange(0, 4).Draw(t, "wanted"), chips, seconds)
			if n > 0 && (each > seconds || each < leastRun) {
				t.Fatalf("a machine may live for %d s, of %d", each, seconds)
			}
			for range n {
				b.Asked = append(b.Asked, record.Resource{Chips: chips, MaxRun: each, Asked: noon})
			}
			if left := b.Left(); left < -1e-3 {
				t.Fatalf("%g chip-hours beyond what was approved, of %g", -left, b.ChipHours)
			}
			for i := range b.Asked { // some end meanwhile
				if r := &b.Asked[i]; r.Ended.IsZero() && rapid.Bool().Draw(t, "ends") {
					r.Ended = noon.Add(time.Duration(rapid.IntRange(0, r.MaxRun).Draw(t, "after")) * time.Second)
				}
			}
		}
	})
}

func TestAMachineCostsNoMoreThanItsLifeAndNoLessThanNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyResource().Draw(t, "resource")
		most := ChipHours(1, r.Chips, float64(r.MaxRun))
		if c := cost(r); c < 0 || c > most {
			t.Fatalf("%g chip-hours, at most %g: %+v", c, most, r)
		}
		if r.Ended.IsZero() && cost(r) != most {
			t.Fatalf("one that lives is reckoned with %g of %g chip-hours", cost(r), most)
		}
	})
}

func TestWhatAnEndedMachineHasCost(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		name string
		r    record.Resource
		want float64
	}{
		{"seen waiting for an hour", record.Resource{Asked: at(0), From: at(60), Seen: at(90), Ended: at(120)}, 8},
		{"not looked at for three of four hours", record.Resource{Asked: at(0), From: at(0), Seen: at(180), Ended: at(240)}, 32},
		{"never seen, over after two", record.Resource{Asked: at(0), Ended: at(120)}, 16},
		{"never given", record.Resource{Asked: at(0), Ended: at(120), Cause: record.CauseLaunch}, 0},
		{"ended before it was seen to run, by another clock", record.Resource{Asked: at(0), From: at(60), Ended: at(10)}, 32},
		{"ended before it was asked for, by another clock", record.Resource{Asked: at(0), Ended: at(-50)}, 32},
		{"found long after its end", record.Resource{Asked: at(0), From: at(10), Ended: at(3000)}, 32},
	} {
		c.r.Chips, c.r.MaxRun = 8, 4*3600
		if got := cost(c.r); got != c.want {
			t.Errorf("%s: %g chip-hours, want %g", c.name, got, c.want)
		}
	}
}

func TestAReplacementGetsWhatIsLeftAndBelowTenMinutesThereIsNone(t *testing.T) {
	spent := func(minutes int) Budget {
		r := record.Resource{Chips: 8, MaxRun: 4 * 3600, Asked: noon, From: noon, Seen: noon, Ended: noon.Add(time.Duration(minutes) * time.Minute)}
		return Budget{ChipHours: 32, Asked: []record.Resource{r}}
	}
	for _, c := range []struct{ spent, each, n int }{{0, 4 * 3600, 1}, {60, 3 * 3600, 1}, {230, 600, 1}, {231, 0, 0}, {240, 0, 0}} {
		if each, n := spent(c.spent).Afford(1, 8, 4*3600); each != c.each || n != c.n {
			t.Errorf("after %d minutes: %d machines for %d s, want %d for %d s", c.spent, n, each, c.n, c.each)
		}
	}
	if each, n := (Budget{ChipHours: 96}).Afford(5, 8, 4*3600); each != 4*3600 || n != 3 {
		t.Errorf("%d machines for %d s", n, each)
	}
}
