// Package verdict says what a run means for its limits, as early as it can be said: a sequential test on the share of requests
// beyond a limit, over the steady state. It is pure: who has the requests' times asks again and again while the load goes on, and
// once more when it is over.
//
// "P99 <= L" is a statement about a share: at most 1 % of the requests exceed L. With p the share that is allowed, a run passes
// when a share above (1+zone)p is ruled out at the test's error rate, and misses when one below (1-zone)p is. What neighbours in a
// queue share counts once: see the rules in rules.go, each with the assumption it rests on.
package verdict

import (
	"fmt"
	"math"
	"strings"

	"vtune/internal/record"
)

// Request is what a verdict needs to know of one request. Times are in s since the run's start, latencies in ms from when the
// policy lets them begin; a latency of 0 is not known yet.
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
	Capacity   float64 // see record.Load
	Beat       float64 // see record.Load
	Seen       float64 // see record.Load
	SeenBeyond float64
	Budget     int     // requests that the run may send
	Likely     bool    // an exploring run: it ends with what is more likely, and never unsure
	Once       bool    // the run is looked at when it is over, and never before
	Claim      float64 // at an infinite rate: the throughput that the run must show at its end; 0: none
	Precision  float64 // at an infinite rate: the run ends when its throughput is known to this relative half-width
}

// An exploring run may be wrong in one case of ten: what it gets wrong costs a run more, and nothing is accepted on its word.
const exploreError = 0.1

// What a bound is asked for: to start a search it need only be roughly known, to be the answer itself it must be exact.
const (
	boundPrecision  = 0.03
	answerPrecision = 0.01
)

// Of is the rule for a run of the given load.
func Of(p record.Policy, l record.Load) Rule {
	r := Rule{Limits: p.Limits, GoodputPct: p.GoodputPct, Test: p.Test, Rate: float64(l.Rate), Capacity: l.Capacity, Beat: l.Beat, Seen: l.Seen, SeenBeyond: l.SeenBeyond, Budget: l.Requests, Precision: answerPrecision}
	if most := r.Rate * r.Test.MaxSeconds; most > 0 && most < float64(r.Budget) {
		r.Budget = int(most)
	}
	if l.Purpose == record.Explore {
		r.Likely = true
		r.Test.FalsePass = max(r.Test.FalsePass, exploreError)
		r.Test.FalseMiss = max(r.Test.FalseMiss, exploreError)
	}
	if l.Purpose == record.Verify {
		r.Once, r.Claim = true, p.Verify.Rate*(1-p.Tolerance)
	}
	if len(p.Limits) > 0 {
		r.Precision = boundPrecision
	}
	return r
}

// Outcome is a verdict with what it rests on.
type Outcome struct {
	Verdict   record.Verdict // pass, miss or unsure
	Reason    string
	Standings []record.Standing
	Steady    record.Steady
	Futile    bool // unsure, and so it will be at the end of the budget
}

// Sure reports whether the load may end.
func (o Outcome) Sure() bool {
	return o.Verdict == record.Pass || o.Verdict == record.Miss || o.Futile
}

// Judge looks at the requests that are due by now, in due order. While the run goes on (over is false) an unsure outcome means
// that it should; at its end every request has its fate.
func (r Rule) Judge(requests []Request, now float64, over bool) Outcome {
	if math.IsInf(r.Rate, 1) {
		return r.throughput(requests, now, over)
	}
	if len(requests) == 0 {
		return Outcome{Verdict: record.Unsure, Reason: "no request yet"}
	}
	w := steadyWindow(requests, now)
	o := Outcome{Verdict: record.Pass, Steady: w.steady(requests)}
	var reasons []string
	grows, keepsUp, growth := trend(requests, w)
	for _, s := range r.questions() {
		st, why, n := r.standing(s, requests, w, keepsUp, over)
		o.Futile = o.Futile || n.futile
		if o.Steady.Effective == 0 || n.effective < o.Steady.Effective {
			o.Steady.Effective, o.Steady.Requests = n.effective, n.requests
		}
		o.Standings = append(o.Standings, st)
		switch {
		case st.Verdict == record.Miss && o.Verdict != record.Miss:
			o.Verdict, reasons = record.Miss, []string{why}
		case st.Verdict == record.Unsure && o.Verdict == record.Pass:
			o.Verdict, reasons = record.Unsure, []string{why}
		case st.Verdict == record.Pass && o.Verdict == record.Pass:
			reasons = append(reasons, why)
		}
	}
	if grows {
		o.Verdict, reasons = record.Miss, []string{growth}
		for i := range o.Standings {
			o.Standings[i].Verdict = record.Miss
		}
	}
	o.Reason = strings.Join(reasons, "; ")
	o.Steady.Reason, o.Steady.Early = o.Reason, !over
	return o
}

// question is one limit, or all of them at once.
type question struct {
	record.Limit
	all []record.Limit // under a goodput
}

func (r Rule) questions() []question {
	if r.GoodputPct > 0 {
		return []question{{Limit: record.Limit{Metric: record.Goodput, Percentile: r.GoodputPct}, all: r.Limits}}
	}
	qs := make([]question, len(r.Limits))
	for i, l := range r.Limits {
		qs[i].Limit = l
	}
	return qs
}

// throughput judges a run whose requests were all sent at once: it passes when its throughput is known well enough. Whether a
// limit is met there is no question: a queue of everything says nothing about a load that can be sustained.
func (r Rule) throughput(requests []Request, now float64, over bool) Outcome {
	t, windows := saturated(requests)
	o := Outcome{Verdict: record.Unsure, Steady: record.Steady{To: now, Throughput: t, Early: !over}}
	half := (t.High - t.Low) / 2
	switch {
	case r.Claim > 0 && over && windows >= minWindows && t.Value > 0:
		o.Verdict, o.Reason = r.claimed(t)
	case windows >= minWindows && t.Value > 0 && t.High <= r.Beat:
		o.Verdict, o.Reason = record.Pass, fmt.Sprintf("it reaches %.4g req/s at most, which cannot win", t.High)
	case windows >= minWindows && t.Value > 0 && half <= r.Precision*t.Value:
		o.Verdict, o.Reason = record.Pass, fmt.Sprintf("the throughput is known to %.1f %%", 100*half/t.Value)
	case over && t.Value > 0 && r.Claim == 0:
		o.Verdict, o.Reason = record.Pass, fmt.Sprintf("the run ended with the throughput known to %.1f %%", 100*half/t.Value)
	default:
		o.Reason = "the throughput is not steady yet"
	}
	for i := range requests {
		if requests[i].End > 0 {
			o.Steady.Requests++
		}
	}
	o.Steady.Effective, o.Steady.Peak, o.Steady.Reason = float64(windows), len(requests), o.Reason
	return o
}

// claimed compares a throughput with what it is said to be.
func (r Rule) claimed(t record.Interval) (record.Verdict, string) {
	text := fmt.Sprintf("it reaches %.4g to %.4g req/s, and %.4g is asked for", t.Low, t.High, r.Claim)
	switch {
	case t.Low >= r.Claim:
		return record.Pass, text
	case t.High < r.Claim:
		return record.Miss, text
	}
	return record.Unsure, text
}
