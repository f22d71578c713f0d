package search

import (
	"cmp"
	"fmt"
	"math"

	"vtune/internal/record"
	"vtune/internal/verdict"
)

// Budgets of an exploring run: it is cheap, or it is not worth its question.
const (
	exploreRequests  = 200
	exploreLatencies = 5
)

// vtune is the method of that name: bracket, narrow in log rate, confirm.
//
//   - A pass at a rate says that every lower one passes, a miss that every higher one misses.
//   - Exploring runs find what is likely, cheaply; only a confirming run's pass is an answer. Unsure is no pass: what could not be
//     shown within the budget is not claimed, and a lower rate is tried.
//   - With the best of other cells known, the first question is whether this one can beat it: a miss there is cheap, and the end.
//     Cells are compared by what is likely of both, since that is known of both alike.
func vtune(q Question) Decision {
	b := bracketOf(q)
	if d, spoilt := b.spoilt(); spoilt {
		return d
	}
	if len(q.Policy.SLOs()) == 0 {
		return unlimited(q, b)
	}
	beat := q.Best * (1 + q.Policy.Tolerance) // what is worth finding out: less is a tie
	switch {
	case b.confirmed != nil:
		return Decision{Action: Accept, Best: b.confirmed}
	case q.Best > 0 && b.high > 0 && b.high <= beat*1.001:
		return Decision{Action: Leave, Bound: b.high, Reason: fmt.Sprintf("it does not hold %.4g req/s, and the best so far may hold %.4g", b.high, q.Best)}
	case q.Best > 0 && b.cap > 0 && b.cap <= beat:
		return Decision{Action: Leave, Bound: b.cap, Reason: fmt.Sprintf("it reaches %.4g req/s at most, and the best so far may hold %.4g", b.cap, q.Best)}
	case b.low == 0 && b.high == 0:
		return b.first(beat)
	case b.low == 0:
		return b.down(beat)
	case b.open():
		return b.up()
	case b.ceiling() > b.low*(1+coarse*q.Policy.Tolerance):
		return b.narrow(beat)
	case q.Best > 0 && b.low <= q.Best:
		return Decision{Action: Leave, Bound: b.ceiling(), Reason: fmt.Sprintf("it may hold %.4g req/s, and the best so far %.4g", b.low, q.Best)}
	}
	return b.settle()
}

// coarse: what is likely need not be known as well as the answer, which will lie below it by more than that.
const coarse = 3

// bracket is what a cell's observations say about its boundary: passes below, misses above.
type bracket struct {
	q         Question
	confirmed *record.Observation // the highest pass that is an answer
	low, high float64             // request rates that likely hold and do not; 0: not known
	atLow     float64             // the closest limit's value over the limit there, 0: not known
	atHigh    float64
	lowest    *record.Observation // the miss at high
	highest   *record.Observation // the pass at low
	cap       float64             // throughput at an infinite rate, its upper bound
	bound     *record.Observation
	invalid   map[float64][]record.Observation
	passes    int                   // exploring runs that passed
	misses    int                   // exploring runs that missed above low
	fails     []*record.Observation // confirming runs that did not pass
}

func bracketOf(q Question) bracket {
	b := bracket{q: q, invalid: map[float64][]record.Observation{}}
	obs := mine(q)
	for i := range obs {
		o := &obs[i]
		rate := float64(o.Load.Rate)
		switch {
		case o.Verdict == record.Invalid, o.Load.Rate.IsInf() && (o.Steady == nil || !positive(o.Steady.Throughput.Value)):
			b.invalid[rate] = append(b.invalid[rate], *o)
		case o.Load.Rate.IsInf():
			if b.bound == nil || o.Steady != nil && b.bound.Steady != nil && width(o.Steady.Throughput) < width(b.bound.Steady.Throughput) {
				b.bound = o
			}
		case o.Verdict == record.Pass && o.Load.Purpose == record.Confirm:
			if b.confirmed == nil || o.Load.Rate > b.confirmed.Load.Rate {
				b.confirmed = o
			}
		}
	}
	if b.bound != nil && b.bound.Steady != nil {
		b.cap = b.bound.Steady.Throughput.High
		if len(q.Policy.SLOs()) > 0 {
			b.cap *= inStep
		}
	}
	// The bracket is of what is likely, which exploring runs say; confirming runs are told apart, since they may be unsure of what
	// is likely true. Of runs that contradict each other, the miss is believed.
	for i := range obs {
		o := &obs[i]
		rate := float64(o.Load.Rate)
		switch {
		case o.Load.Rate.IsInf() || o.Verdict == record.Invalid:
		case o.Load.Purpose == record.Confirm && o.Verdict != record.Pass:
			b.fails = append(b.fails, o)
		case o.Verdict != record.Pass && (b.high == 0 || rate < b.high): // an exploring run that is unsure shows no more than a miss
			b.high, b.atHigh, b.lowest = rate, worst(o), o
		}
	}
	for i := range obs {
		o := &obs[i]
		rate := float64(o.Load.Rate)
		if o.Verdict == record.Pass && !o.Load.Rate.IsInf() && rate > b.low && (b.high == 0 || rate < b.high) {
			b.low, b.atLow, b.highest = rate, worst(o), o
		}
	}
	for i := range obs {
		if o := &obs[i]; o.Verdict != record.Pass && o.Verdict != record.Invalid && o.Load.Purpose == record.Explore && float64(o.Load.Rate) > b.low {
			b.misses++
		} else if o.Verdict == record.Pass && o.Load.Purpose == record.Explore {
			b.passes++
		}
	}
	return b
}

// inStep: requests that all came at once are answered in step, and a server does less then than when they come one by one. In one
// of six simulated cells what could be sustained was more than 5 % above the throughput at an infinite rate, in few more than 15 %.
const inStep = 1.15

// mine are the observations that answer the question, each once, in the order they were made.
func mine(q Question) []record.Observation {
	sorted := distinct(q.Observed)
	var of []record.Observation
	for _, o := range sorted {
		if o.Emulated == q.Emulated && o.Load.Purpose != "" {
			of = append(of, o)
		}
	}
	return of
}

func width(i record.Interval) float64 { return i.High - i.Low }

// worst is how near an observation came to its limits: the greatest value over its limit. A goodput has no value; its share over
// the share that is allowed stands for it.
func worst(o *record.Observation) float64 {
	most := 0.0
	for _, s := range o.Standings {
		switch {
		case s.MS > 0 && s.At.Value > 0:
			most = max(most, s.At.Value/s.MS)
		case s.Limit.Share() > 0:
			most = max(most, math.Sqrt(s.Share.Value/s.Limit.Share()))
		}
	}
	return most
}

// spoilt ends a search in which nothing valid comes of a load, which once may be chance.
func (b bracket) spoilt() (Decision, bool) {
	for _, of := range b.invalid {
		if len(of) >= triesPerLoad && !b.answered(float64(of[0].Load.Rate)) {
			last := of[len(of)-1]
			cause := cmp.Or(last.Cause, record.CauseClient)
			return Decision{Action: GiveUp, Cause: cause, Reason: fmt.Sprintf("no valid run at %s req/s: %s", last.Load.Rate, cmp.Or(last.Detail, string(cause)))}, true
		}
	}
	return Decision{}, false
}

// answered reports whether a load that was spoilt was repeated well.
func (b bracket) answered(rate float64) bool {
	for _, o := range mine(b.q) {
		if float64(o.Load.Rate) == rate && o.Verdict != record.Invalid {
			return true
		}
	}
	return false
}

func (b bracket) try(rate float64, p record.Purpose) Decision {
	load := record.Load{Rate: record.Rate(round(rate)), Purpose: p, Requests: b.q.Policy.Test.MaxRequests}
	if b.bound != nil && b.bound.Steady != nil && !math.IsInf(rate, 1) {
		load.Capacity = b.bound.Steady.Throughput.Low
	}
	if p == record.Explore {
		// A run is too short to say anything before some latencies have passed.
		load.Requests = min(load.Requests, max(exploreRequests, int(exploreLatencies*rate*b.latency())))
	}
	if p == record.Bound {
		load.Beat = b.q.Best
	}
	if p == record.Confirm {
		load.Likely = max(b.low, rate)
		load.Seen, load.SeenBeyond = b.seen(rate)
	}
	return Decision{Action: Try, Load: load}
}

// latency of a request that hardly waits, in s, as far as is known.
func (b bracket) latency() float64 {
	least := 0.0
	if b.bound != nil {
		least = max(0, b.bound.Metrics.E2EL.P50-b.bound.Metrics.TTFT.P50)
	}
	for _, o := range mine(b.q) {
		if p := o.Metrics.E2EL.P50; !o.Load.Rate.IsInf() && p > 0 && (least == 0 || p < least) {
			least = p
		}
	}
	return least / 1000
}

// round keeps four digits, so that a rate is what a person would write.
func round(rate float64) float64 {
	if rate <= 0 || math.IsInf(rate, 0) {
		return rate
	}
	scale := math.Pow(10, 3-math.Floor(math.Log10(rate)))
	return math.Round(rate*scale) / scale
}

// first is where a search begins: with the question whether the best can be beaten, where one is known.
func (b bracket) first(beat float64) Decision {
	switch {
	case b.q.Hint > 0 && b.q.Best == 0, b.q.Hint > beat:
		return b.try(b.q.Hint, record.Explore)
	case beat > 0:
		return b.try(beat, record.Explore)
	case b.bound == nil:
		return b.try(math.Inf(1), record.Bound)
	}
	// Where in the range the limit bites is not known: most do between a half and nine tenths of what the server can do.
	return b.try(firstShare*b.bound.Steady.Throughput.Value, record.Explore)
}

const firstShare = 0.7

// down looks for a pass below a miss.
func (b bracket) down(beat float64) Decision {
	o := b.lowest
	if o.Verdict == record.Unsure {
		return Decision{Action: GiveUp, Reason: fmt.Sprintf("within the budget of a run no rate is shown to hold: at %.3g req/s %s", b.high, o.Detail)}
	}
	// Little's law: rate x latency is how many requests are in the server. With next to none beside it, a request that is late is
	// late at every rate.
	inside := b.high * o.Metrics.E2EL.P50 / 1000
	if inside <= alone && hopeless(o) || inside <= lonely {
		return Decision{Action: GiveUp, Reason: fmt.Sprintf("the limit is missed even at %.3g req/s, where requests are alone in the server", b.high)}
	}
	if b.high < slowest {
		return Decision{Action: GiveUp, Reason: fmt.Sprintf("the limit is missed even at %.3g req/s", b.high)}
	}
	factor := 0.5
	if b.atHigh > 1 {
		factor = min(max(1/b.atHigh, 0.4), 0.9)
	}
	if inside <= 1 {
		factor = min(factor, 0.5) // there latency hardly falls with the rate
	}
	return b.try(max(b.high*factor, beat), record.Explore)
}

// A cell that does not hold a request every quarter of an hour holds none.
const (
	alone   = 0.5
	lonely  = 0.05
	slowest = 0.001
)

// hopeless reports whether most requests of an observation were beyond a limit.
func hopeless(o *record.Observation) bool {
	for _, s := range o.Standings {
		if s.Share.Value >= 0.5 {
			return true
		}
	}
	return false
}

// ceiling is the lowest rate that is known not to hold, or cannot.
func (b bracket) ceiling() float64 {
	if b.high == 0 || b.cap > 0 && b.cap < b.high {
		return b.cap
	}
	return b.high
}

// open reports whether nothing bounds the search from above.
func (b bracket) open() bool {
	return b.high == 0 && (b.cap == 0 || b.low < b.cap/(1+b.q.Policy.Tolerance))
}

// up looks for a miss above a pass. In a queue latency grows as one over the capacity that is left; where the limit is far above
// what a request takes, heavy traffic says how little may be left.
func (b bracket) up() Decision {
	if likely := b.headroom(1 / verdict.Variability); likely > b.low*(1+b.q.Policy.Tolerance) && likely < b.cap {
		return b.try(likely, record.Explore)
	}
	if b.bound == nil && b.passes >= manyPasses {
		return b.try(math.Inf(1), record.Bound)
	}
	rate := b.low * 1.5
	if b.atLow > 0 {
		rate = b.low * min(max(1/b.atLow, 1.1), 1.3)
	}
	if b.cap > b.low {
		rate = min(max(b.cap-(b.cap-b.low)*max(b.atLow, 0.02), b.low*1.05), b.low+0.9*(b.cap-b.low))
	}
	return b.try(rate, record.Explore)
}

// manyPasses in a row without a miss, and it is time to ask what the server can do at all.
const manyPasses = 6

// narrow asks between a pass and a miss: where a straight line through their latencies, both in logarithms, meets the limit; but
// never so near to one end that a wrong line costs more than bisecting.
func (b bracket) narrow(beat float64) Decision {
	low, high := math.Log(max(b.low, beat/(1+b.q.Policy.Tolerance))), math.Log(b.ceiling())
	at := 0.5
	// Every other question bisects: the line is a poor guide where latency rises steeply at the end.
	if b.misses%2 == 1 && b.high > 0 && b.atLow > 0 && b.atLow < 1 && b.atHigh > 1 {
		yl, yh := math.Log(b.atLow), math.Log(min(b.atHigh, steepest))
		at = -yl / (yh - yl)
	}
	at = min(max(at, 0.2), 0.8)
	return b.try(math.Exp(low+at*(high-low)), record.Explore)
}

// steepest is what a miss may weigh: how late requests are in a queue that grows says only how long it has grown.
const steepest = 2.0

// settle: what is likely is known to the tolerance. What can be shown within a run's budget lies below it: where the queue that
// chance builds up is short enough by what is left of the capacity, and below every rate that was not shown.
func (b bracket) settle() Decision {
	if b.q.Emulated || b.q.Explore {
		return Decision{Action: Own, Hint: b.low, Reason: fmt.Sprintf("it may hold %.4g req/s", b.low)}
	}
	if b.bound == nil {
		return b.try(math.Inf(1), record.Bound) // a verdict rests on the capacity
	}
	rate := b.low
	// Where a run can be long beside the time in which the queue forgets, what it sees is enough.
	if verdict.Relaxed(b.low, b.bound.Steady.Throughput.Low) > float64(b.q.Policy.Test.MaxRequests)/4 {
		rate = min(rate, b.showable())
	}
	for k, o := range b.fails {
		rate = min(rate, float64(o.Load.Rate)*backOff(o, k))
	}
	if len(b.fails) >= enoughFails {
		return Decision{Action: GiveUp, Reason: fmt.Sprintf("%.4g req/s may be held, but %d runs could not show that any rate is", b.low, len(b.fails))}
	}
	return b.try(rate, record.Confirm)
}

// enoughFails confirming runs in vain, each at a lower rate, end a search.
const enoughFails = 12

// showable is the rate below which the queue cannot reach a limit.
func (b bracket) showable() float64 { return max(b.headroom(1.02), 0.5*b.low) }

// headroom is the rate that leaves so many times the headroom of every limit that counts the time in the queue; +Inf without one.
func (b bracket) headroom(times float64) float64 {
	rate := math.Inf(1)
	if b.bound == nil || b.highest == nil {
		return rate
	}
	for _, l := range b.q.Policy.SLOs() {
		p50 := b.highest.Metrics.E2EL.P50
		switch l.Metric {
		case record.TTFT:
			p50 = b.highest.Metrics.TTFT.P50
		case record.E2EL:
		default:
			continue
		}
		if need := verdict.Headroom(l, l.Share(), p50); !math.IsInf(need, 1) {
			rate = min(rate, b.bound.Steady.Throughput.Low-times*need)
		}
	}
	return rate
}

// seen is what runs at a rate and a little above say of it, in independent requests: the higher rate has the longer latencies.
// They are chosen by their rates alone, whatever they say.
func (b bracket) seen(rate float64) (requests, beyond float64) {
	for _, o := range mine(b.q) {
		if r := float64(o.Load.Rate); r < rate || r > rate*above || o.Verdict == record.Invalid || len(o.Standings) != 1 {
			continue
		}
		s := o.Standings[0]
		requests += s.Independent
		beyond += s.Independent * s.Share.Value
	}
	return requests, beyond
}

const above = 1.1

// backOff is how far below the k-th rate that could not be shown the next one is put: in longer and longer steps.
func backOff(o *record.Observation, k int) float64 {
	step := 0.04
	for _, s := range o.Standings {
		if s.Share.Value > s.Limit.Share() {
			step = 0.07
		}
	}
	return 1 - min(step*math.Pow(1.3, float64(k)), 0.3)
}

// unlimited is the search without a limit: the throughput of requests sent all at once is the answer.
func unlimited(q Question, b bracket) Decision {
	if b.bound == nil {
		return b.try(math.Inf(1), record.Bound)
	}
	t := b.bound.Steady.Throughput
	beat := q.Best
	if q.Emulated {
		beat *= 1 + q.Policy.Tolerance
	}
	switch {
	case q.Best > 0 && t.High <= beat:
		return Decision{Action: Leave, Bound: t.High, Reason: fmt.Sprintf("it reaches %.4g req/s at most, the best so far %.4g", t.High, q.Best)}
	case q.Emulated:
		return Decision{Action: Own, Hint: t.Value, Reason: fmt.Sprintf("it may reach %.4g req/s", t.Value)}
	}
	return Decision{Action: Accept, Best: b.bound}
}
