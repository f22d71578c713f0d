// Package verdict says what a run means for a limit, as early as it can be said: a sequential test on the share of requests
// beyond the limit, over the steady state. It is pure: who has the requests' times asks it again and again while the load goes on,
// and once more when it is over.
package verdict

import (
	"vtune/internal/record"
)

// Request is what a verdict needs to know of one request. Times are in s since the run's start, latencies in ms from when the
// policy lets them begin.
type Request struct {
	Due              float64
	End              float64 // of its last token; 0 while it is not answered
	TTFT, TPOT, E2EL float64
	Gaps             []float32 // between chunks, ms; needed only where a limit is on ITL
}

// Rule is how sure a run's verdict must be, and about what.
type Rule struct {
	Limits     []record.Limit
	GoodputPct float64
	Test       record.Test
	Rate       float64 // of the arrivals, requests/s; +Inf: all at once, and the question is the throughput
	Precision  float64 // at an infinite rate: the run ends when its throughput is known to this relative half-width
}

// Of is the rule for a run of the given load.
func Of(p record.Policy, l record.Load) Rule {
	return Rule{Limits: p.Limits, GoodputPct: p.GoodputPct, Test: p.Test, Rate: float64(l.Rate)}
}

// Outcome is a verdict with what it rests on.
type Outcome struct {
	Verdict   record.Verdict // pass, miss or unsure
	Reason    string
	Standings []record.Standing
	Steady    record.Steady
}

// Sure reports whether the load may end.
func (o Outcome) Sure() bool { return o.Verdict == record.Pass || o.Verdict == record.Miss }

// Judge looks at the requests that are due by now, in due order. While the run goes on (over is false) an unsure outcome means
// that it should; at its end every request has its fate.
func (r Rule) Judge(requests []Request, now float64, over bool) Outcome {
	return Outcome{Verdict: record.Unsure}
}
