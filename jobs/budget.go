package jobs

import (
	"vtune/internal/record"
)

// Budget is what a run's machines may cost at the worst, in chip-hours, and those that were asked for.
type Budget struct {
	ChipHours float64 // approved
	Asked     []record.Resource
}

// leastRun is the shortest life that is worth a machine, in s: less is spent on its start.
const leastRun = 10 * 60

// Left is what no machine can spend any more. One that lives may spend all of its time; one that has ended has spent it from when it was
// last seen waiting, or, where nobody saw that, from when it was asked for.
func (b Budget) Left() float64 {
	left := b.ChipHours
	for _, r := range b.Asked {
		left -= cost(r)
	}
	return left
}

func cost(r record.Resource) float64 {
	seconds, from := float64(r.MaxRun), r.From
	if from.IsZero() {
		from = r.Asked
	}
	switch {
	case r.Ended.IsZero():
	case r.Cause == record.CauseLaunch && r.Seen.IsZero():
		seconds = 0 // nothing of it ever ran
	case !r.Ended.Before(from): // else two who look have clocks that differ, and how long it ran is not known
		seconds = min(seconds, r.Ended.Sub(from).Seconds())
	}
	return ChipHours(1, r.Chips, seconds)
}

// ChipHours that so many machines spend in seconds each.
func ChipHours(machines, chips int, seconds float64) float64 {
	return float64(machines*chips) * seconds / 3600
}

// Afford is how many of so many further machines can be paid for, and how many seconds each of them may live: as long as it is said,
// while what is left suffices for one, else as long as that is.
func (b Budget) Afford(machines, chips, seconds int) (each, affordable int) {
	left := b.Left() * 3600 / float64(max(chips, 1)) // machine-seconds
	// What is left is known from sums of products; a part of a second less must not refuse the last machine.
	const slack = 1e-3
	if n := int((left + slack) / float64(max(seconds, 1))); n > 0 {
		return seconds, min(n, machines)
	}
	if each = int(left + slack); each < leastRun || machines <= 0 {
		return 0, 0
	}
	return each, 1
}

// WorstCase is what a plan's machines cost, in chip-hours, if each lives as long as it may.
func WorstCase(p record.Plan, chips int) (machines int, hours float64) {
	for _, u := range p.Units {
		if u.Crew != nil && u.Crew.Pool {
			machines++
			hours += ChipHours(1, chips, float64(u.Jobs[0].Resources.Seconds))
		}
	}
	return machines, hours
}
