package search

import (
	"math"

	"vtune/internal/record"
)

// verify is method vtune with the question given: one long run at the claimed rate, whose first valid outcome is the answer. Nothing
// follows from it: no lower rate is tried, and no second run gets the chance to say something else.
//
// Under limits a short run at an infinite rate comes first, on the same server. A verdict rests on what the rate leaves of the
// capacity, and to take that from the run that made the claim would be to believe a part of it.
func verify(q Question) Decision {
	for _, o := range mine(q) {
		switch {
		case o.Load.Purpose != record.Verify || o.Verdict == record.Invalid:
		case o.Verdict == record.Pass:
			return Decision{Action: Accept, Best: &o}
		default:
			return Decision{Action: GiveUp, Reason: o.Detail}
		}
	}
	b := bracketOf(q)
	if d, spoilt := b.spoilt(); spoilt {
		return d
	}
	claim, rate := q.Policy.Verify, math.Inf(1)
	if len(q.Policy.SLOs()) > 0 {
		if b.bound == nil {
			return b.try(rate, record.Bound)
		}
		rate = claim.Rate
	}
	d := b.try(rate, record.Verify)
	d.Load.Rate, d.Load.Requests = record.Rate(rate), int(math.Ceil(claim.Rate*claim.Seconds))
	return d
}
