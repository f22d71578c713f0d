package verdict

import (
	"fmt"
	"math"
	"slices"

	"vtune/internal/record"
	"vtune/internal/stat"
)

// size of the evidence.
type size struct {
	requests  int
	effective float64
	futile    bool
}

// standing answers one question.
func (r Rule) standing(q question, requests []Request, w window, keepsUp, over bool) (record.Standing, string, size) {
	s := record.Standing{Limit: q.Limit, Verdict: record.Unsure}
	beyond, values := q.samples(requests, w)
	n := float64(len(beyond))
	if n < startUpRequests {
		return s, "too few requests", size{}
	}
	exceeded := 0.0
	for _, x := range beyond {
		exceeded += x
	}
	e := r.evidence(q, beyond, values, exceeded)
	e.keepsUp = keepsUp
	e.span = requests[w.skip+len(beyond)-1].Due - w.from
	s.Share = e.interval()
	s.Independent = e.n / e.tail.length()
	if e.sorted == nil {
		s.Independent = e.effective
	}
	s.At = e.quantile()
	s.Near = q.MS > 0 && s.At.Low <= q.MS && q.MS <= s.At.High
	verdict, why := e.decide(r.Test)
	if r.Likely {
		verdict = e.likely(r.Test, over)
	}
	s.Verdict = verdict
	futile := verdict == record.Unsure && !r.Likely && !r.Once && e.n >= futileAfter && e.futile(r.Test, float64(r.Budget)/e.n)
	if futile {
		why += ", and the budget would not suffice to be sure"
	}
	return s, fmt.Sprintf("%s: %s", q.name(), why), size{len(beyond), e.effective, futile}
}

// futileAfter requests it is asked whether the rest of the budget could bring an answer.
const futileAfter = 150

func (q question) name() string {
	if q.all != nil {
		return fmt.Sprintf("%g %% within all limits", q.Percentile)
	}
	return q.Limit.String()
}

// samples are the steady requests whose fate is known, up to the first whose is not: to count quick answers while slow ones
// are still open would favour the quick. A request that has waited longer than the limit is beyond it already.
func (q question) samples(requests []Request, w window) (beyond, values []float64) {
	for i := w.skip; i < len(requests); i++ {
		x, v, known := q.fate(&requests[i], w.now)
		if !known {
			break
		}
		beyond, values = append(beyond, x), append(values, v)
	}
	return beyond, values
}

// fate of one request: the share of its samples beyond the limit, and its latency (or how much of it is known).
func (q question) fate(r *Request, now float64) (beyond, value float64, known bool) {
	if q.all != nil {
		all := true
		for _, l := range q.all {
			x, v, ok := question{Limit: l}.fate(r, now)
			if ok && x > 1-l.Percentile/100 && (l.Metric == record.ITL || x >= 1) {
				return 1, max(value, v/l.MS), true
			}
			all = all && ok
			value = max(value, v/l.MS)
		}
		return 0, value, all
	}
	age := (now - r.Due) * 1000
	switch q.Metric {
	case record.TTFT:
		value, known = r.TTFT, r.TTFT > 0
	case record.E2EL:
		value, known = r.E2EL, r.End > 0
	case record.TPOT:
		value, known = r.TPOT, r.End > 0
		age = 0
	case record.ITL:
		return q.gaps(r)
	}
	if !known && age > q.MS {
		return 1, age, true
	}
	if value > q.MS {
		beyond = 1
	}
	return beyond, value, known
}

// gaps: the samples of ITL are gaps, of which each request has as many as any other.
func (q question) gaps(r *Request) (beyond, value float64, known bool) {
	if r.End == 0 {
		return 0, 0, false
	}
	n := 0
	for _, g := range r.Gaps {
		if float64(g) > q.MS {
			n++
		}
		value = max(value, float64(g))
	}
	if len(r.Gaps) > 0 {
		beyond = float64(n) / float64(len(r.Gaps))
	}
	return beyond, value, true
}

// evidence is what a steady series says about one limit.
type evidence struct {
	limit     float64 // in the unit of the values
	allowed   float64 // share
	n         float64
	over      float64 // beyond the limit; not whole for gaps
	inflation float64
	effective float64
	series    []float64 // in due order
	sorted    []float64
	tail      tail

	rate, capacity float64
	span           float64 // s that the samples' arrivals took

	seen       float64 // independent requests of other runs
	seenBeyond float64
	looks      float64
	keepsUp    bool // nothing says that the queue grows
	waits      bool // the metric counts the time in the queue, in ms
}

func (r Rule) evidence(q question, beyond, values []float64, over float64) evidence {
	e := evidence{
		limit: q.MS, allowed: q.Share(), n: float64(len(beyond)), over: over, rate: r.Rate, capacity: r.Capacity,
		seen: r.Seen, seenBeyond: r.SeenBeyond, looks: looks,
		waits: q.Metric == record.E2EL || q.Metric == record.TTFT,
	}
	if q.all != nil {
		e.limit = 1
	}
	if r.Once {
		e.looks = 1
	}
	if q.Metric == record.ITL {
		// A request's worst gap says nothing of the share of gaps, so the tail is that of the shares themselves.
		e.inflation = inflation(beyond)
		e.effective = e.n / e.inflation
		return e
	}
	e.series, e.sorted = values, slices.Clone(values)
	slices.Sort(e.sorted)
	e.tail = tailOf(e.sorted, values)
	e.inflation = e.tail.inflation
	e.effective = e.n / e.inflation
	return e
}

// decide applies the rules in the order of their authority.
func (e evidence) decide(t record.Test) (record.Verdict, string) {
	p0, p1 := (1-t.Zone)*e.allowed, min((1+t.Zone)*e.allowed, 1-1e-9)
	share := e.over / e.n
	text := fmt.Sprintf("%.2f %% of %.0f requests beyond it", 100*share, e.n)
	// Of any stationary series, however dependent, whose share is p0, the running mean reaches p0/x with probability x at most
	// (the maximal ergodic inequality): so this may be asked after each request, and assumes nothing else.
	if share >= p0/t.FalseMiss {
		return record.Miss, text
	}
	llr := (e.over*math.Log(p1/p0) + (e.n-e.over)*math.Log((1-p1)/(1-p0))) / e.inflation
	if llr >= math.Log((1-t.FalsePass)/t.FalseMiss) {
		return record.Miss, text
	}
	if llr <= math.Log(t.FalsePass/(1-t.FalseMiss)) && e.relaxed() {
		return record.Pass, text
	}
	// Exceedances come in clusters, as long as an excursion above the tail's threshold is on average: so many requests count once.
	// What runs at this rate and above have shown counts as well.
	if k := e.tail.length(); e.sorted != nil && e.tail.clusters >= fewest && share <= e.allowed && e.relaxed() &&
		binomial(e.seen+e.n/k, math.Ceil(e.seenBeyond+e.over/k), p1) <= t.FalsePass/e.looks {
		return record.Pass, fmt.Sprintf("%s, which come %.1f at a time", text, k)
	}
	// No share of independent requests as great as p1 stays unseen in so many. Looks at a run that goes on are no new evidence
	// each, but some: a sixth of the error rate pays for them. Who looks once pays nothing.
	alpha := t.FalsePass / e.looks
	if e.sorted == nil || binomial(e.n, math.Ceil(e.over), p1) > alpha {
		return record.Unsure, text
	}
	if e.short(p1, alpha) {
		return record.Pass, text + ", and what is left of the capacity keeps the queue short"
	}
	if bound := e.tail.beyond(e.limit, alpha); bound <= p1 && e.relaxed() {
		return record.Pass, fmt.Sprintf("%s, and by its tail less than %.2f %% would be", text, 100*bound)
	}
	return record.Unsure, text
}

const looks = 6

func (e evidence) short(p1, alpha float64) bool {
	return e.waits && e.queueBeyond() <= e.allowed && e.spreadBelow(p1, alpha) && e.tail.at(e.allowed/4) <= e.limit
}

// likely is an exploring run's verdict: a miss as above, a pass when so many were within the limit that a greater share is
// unlikely, and at the end of the budget what was seen.
func (e evidence) likely(t record.Test, over bool) record.Verdict {
	p0, p1 := (1-t.Zone)*e.allowed, min((1+t.Zone)*e.allowed, 1-1e-9)
	within := e.over/e.n <= e.allowed && (e.sorted == nil || e.tail.at(e.allowed) <= e.limit)
	if !e.keepsUp || !over && e.n < e.settling() {
		within = false
	}
	switch {
	case e.over/e.n >= p0/t.FalseMiss:
		return record.Miss
	case within && binomial(e.n, math.Ceil(e.over), p1) <= t.FalsePass:
		return record.Pass
	case within && e.over == 0 && e.sorted != nil && e.n >= fewLikely && farBelow*e.tail.at(e.allowed) <= e.limit:
		return record.Pass
	case over && within:
		return record.Pass
	case over, e.over > 2 && binomial(e.n, e.over-1, p1) >= 1-t.FalseMiss:
		return record.Miss
	}
	return record.Unsure
}

// settling is how many requests a queue takes to come to its usual length; 0 where the capacity is not known.
func (e evidence) settling() float64 {
	if e.capacity <= e.rate {
		return 0
	}
	return Relaxed(e.rate, e.capacity) / relaxations
}

// So few requests are enough to call a pass likely, where the tail that they show ends well below the limit.
const (
	fewLikely = 60
	farBelow  = 1.4
)

// futile reports whether a run that stays as it is, but is so many times as long, would still be unsure.
func (e evidence) futile(t record.Test, times float64) bool {
	e.n, e.over, e.effective, e.span = e.n*times, e.over*times, e.effective*times, e.span*times
	e.tail.clusters *= times
	e.tail.n *= times
	verdict, _ := e.decide(t)
	return verdict == record.Unsure
}

// relaxed reports whether the run is long beside the time in which a queue forgets: 2/(1-rho)^2 requests in a queue of requests
// of one shape (M/D/1), where rho is the share of the capacity that is used. A shorter look sees one state of the queue, not its
// distribution.
func (e evidence) relaxed() bool { return e.n >= Relaxed(e.rate, e.capacity) }

// Relaxed is how many requests a run at a rate needs for that; +Inf where the capacity is not known, or not above the rate.
func Relaxed(rate, capacity float64) float64 {
	if capacity <= rate {
		return math.Inf(1)
	}
	left := 1 - rate/capacity
	return relaxations * 2 / (left * left)
}

const relaxations = 6

// queueBeyond is a bound on the share of requests that wait longer than the limit leaves them, after Lundberg: a queue that is
// emptied faster than it fills is longer than x seconds with a probability that falls by exp(-theta x), where theta is twice the
// capacity that is left, over the variability of arrivals and service (Kingman's heavy traffic). Arrivals are Poisson, requests of
// one shape, so it is little above 1. The median request stands for one that has not waited, which it has.
func (e evidence) queueBeyond() float64 {
	left := e.capacity - e.rate
	room := (e.limit - stat.Percentile(e.sorted, 50)) / 1000
	if left <= 0 || room <= 0 {
		return 1
	}
	return math.Exp(-2 / Variability * left * room)
}

// Headroom is what a limit needs to be left of a server's capacity, in requests/s, so that no more than a share of the requests
// wait longer than it allows: queueBeyond the other way round. p50 is the median latency, ms. +Inf where nothing suffices.
func Headroom(l record.Limit, share, p50 float64) float64 {
	room := (l.MS - p50) / 1000
	if room <= 0 {
		return math.Inf(1)
	}
	return Variability / 2 * math.Log(1/share) / room
}

// Variability of arrivals and service together: 1 for Poisson arrivals, a little for requests of one shape in changing batches.
const Variability = 1.25

// spreadBelow reports whether the limit lies above the latencies by so many deviations that a share of p1 beyond it is ruled out
// at alpha: a tolerance bound of the normal distribution, which is what a request's latency has from the many others that share
// its steps. What a queue adds is queueBeyond's.
func (e evidence) spreadBelow(p1, alpha float64) bool {
	mean, square := 0.0, 0.0
	seen := float64(len(e.sorted))
	for _, v := range e.sorted {
		mean += v / seen
	}
	for _, v := range e.sorted {
		square += (v - mean) * (v - mean)
	}
	// Requests that are in the server together share their steps: two latencies of time make one independent view of it.
	n := min(e.n/inflation(e.series), e.span/(2*stat.Percentile(e.sorted, 50)/1000))
	if n < fewest {
		return false
	}
	zp, za := normal(1-p1), normal(1-alpha)
	spread := 1 - za*za/(2*(n-1))
	if spread <= 0 {
		return false
	}
	k := (zp + math.Sqrt(zp*zp-spread*(zp*zp-za*za/n))) / spread
	return e.limit >= mean+k*math.Sqrt(square/(seen-1))
}

// normal quantile.
func normal(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// interval of the share, 99 %, after Wilson with the effective number.
func (e evidence) interval() record.Interval {
	const z = 2.576
	p, n := e.over/e.n, max(e.effective, 1)
	centre := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return record.Interval{Value: p, Low: min(p, max(0, centre-half)), High: max(p, min(1, centre+half))}
}

// quantile is the latency at the limit's percentile, with the interval that its rank has.
func (e evidence) quantile() record.Interval {
	if e.sorted == nil {
		return record.Interval{}
	}
	se := 2.576 * math.Sqrt(e.allowed*(1-e.allowed)/max(e.effective, 1))
	v := e.tail.at(e.allowed)
	return record.Interval{Value: v, Low: min(v, e.tail.at(min(1, e.allowed+se))), High: max(v, e.tail.at(max(e.allowed-se, e.allowed/10)))}
}

// binomial is the probability that of n independent requests, each beyond with probability p, at most k are.
func binomial(n, k, p float64) float64 {
	if k >= n {
		return 1
	}
	sum := 0.0
	for i := 0.0; i <= k; i++ {
		a, _ := math.Lgamma(n + 1)
		b, _ := math.Lgamma(i + 1)
		c, _ := math.Lgamma(n - i + 1)
		sum += math.Exp(a - b - c + i*math.Log(p) + (n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// trend of the requests in flight: whether they grow without end, and whether there is no sign that they do. Between arrivals of
// variance 1 (Poisson) what is in flight at a server that keeps up wanders by about the root of what arrived.
func trend(requests []Request, w window) (grows, keepsUp bool, why string) {
	arrived := float64(w.sent - w.skip)
	latency := e2el(requests)
	last := requests[len(requests)-1].Due
	if latency == 0 || w.from < latency || last-w.from < latency {
		return false, false, "" // the first answers are still on their way
	}
	var inFlight [4]float64 // at the start of the steady part, at its thirds, when the last request was due
	for k := range inFlight {
		at := w.from + float64(k)/3*(last-w.from)
		for i := range requests {
			if q := &requests[i]; q.Due <= at && (q.End == 0 || q.End > at) {
				inFlight[k]++
			}
		}
	}
	grown := inFlight[3] - inFlight[0]
	kept := 1 - grown/arrived
	steadily := inFlight[1] < inFlight[2] && inFlight[2] < inFlight[3]
	if arrived >= fewestGrowing && steadily && grown > 4*math.Sqrt(arrived) && kept < enoughKept {
		return true, false, fmt.Sprintf("the queue grows: of what arrives the server answers %.0f %%", 100*kept)
	}
	return false, grown <= 1.5*math.Sqrt(arrived), ""
}

// fewestGrowing requests must have come before a queue is said to grow.
const fewestGrowing = 80

// enoughKept: with more answered than this, the queue may be one that chance built.
const enoughKept = 0.9

// e2el is the median latency of what is answered, in s.
func e2el(requests []Request) float64 {
	var x []float64
	for i := range requests {
		if requests[i].End > 0 {
			x = append(x, requests[i].End-requests[i].Due)
		}
	}
	slices.Sort(x)
	return stat.Percentile(x, 50)
}
