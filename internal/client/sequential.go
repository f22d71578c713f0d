package client

import (
	"bytes"
	"context"
	"math"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/verdict"
)

// judgeEvery is how often a load's requests are judged while it goes on.
const judgeEvery = 100 * time.Millisecond

// Sequential measures until the verdict is sure, at most what the load and the policy's test allow. A load without a purpose is
// not judged, and one that verifies a claim is judged at its end: both run to it.
type Sequential struct {
	Setting
	IDs []int // token ids for prompts
}

// WarmUp sends one request, which is counted nowhere: a server's first one pays for what it loads late.
func (c Sequential) WarmUp(ctx context.Context, t Target) error {
	if err := load.Once(ctx, c.address(t), c.workload(t)); err != nil {
		return cause(ctx, err)
	}
	return nil
}

// Measure is as Bench's. What it brings back is of the whole run; the verdict is of its steady state.
func (c Sequential) Measure(ctx context.Context, t Target) (m Measurement, err error) {
	a := c.Assignment
	workload := c.workload(t)
	judge := judge{rule: verdict.Of(a.Policy, t.Load), from: workload.From, gaps: limitsGaps(a.Policy.Limits), most: a.Policy.Test.MaxSeconds, whole: t.Load.Purpose == record.Verify}
	var watch *load.Watch
	if t.Load.Purpose != "" {
		watch = &load.Watch{Every: judgeEvery, See: judge.see}
	}
	began := c.Now()
	report, writing, err := c.run(ctx, t, c.address(t), workload, watch)
	if err != nil {
		return m, cause(ctx, err)
	}
	m.Writing, m.Loading = writing, c.Now().Sub(began)-writing
	m.Metrics, m.Note = metrics(report.Summary), report.Summary.FirstError
	if t.Load.Purpose != "" {
		if m.Judged, err = judge.conclude(report); err != nil {
			return m, err
		}
	}
	var times bytes.Buffer
	if err := load.WriteTimelines(&times, report.Requests); err != nil {
		return m, err
	}
	if err := fsx.Publish(t.Timelines, times.Bytes(), 0o644); err != nil {
		return m, err
	}
	return m, fsx.Publish(t.Log, []byte(table(t.Load, m)), 0o644)
}

func (c Sequential) address(t Target) load.Target {
	to := address(t.Server)
	to.TimeScale = t.Server.TimeScale
	return to
}

func (c Sequential) workload(t Target) load.Workload {
	p := c.Assignment.Policy
	w := c.requests(t)
	w.IDs, w.LetIn, w.Burstiness, w.From = c.IDs, t.Load.LetIn, p.Arrivals.Burstiness, load.Clock(p.Arrivals.From)
	if t.Load.Rate.IsInf() && w.LetIn == 0 {
		w.LetIn = max(saturating, 4*c.Assignment.Cell.MaxNumSeqs)
	}
	w.MaxDuration = time.Duration(p.Test.MaxSeconds * float64(time.Second))
	for _, l := range p.Limits {
		if l.Metric != record.ITL { // of gaps and not of requests
			w.Goodput = append(w.Goodput, load.Objective{Metric: load.Metric(l.Metric), LimitMS: l.MS})
		}
	}
	return w
}

// saturating is how many requests a server is given at once where the load is all of them: more than it can have in a batch, and
// less than the connections that a server and its node have room for.
const saturating = 1024

// judge asks for a run's verdict again and again.
type judge struct {
	rule     verdict.Rule
	from     load.Clock
	gaps     bool    // some limit is on them
	most     float64 // s: the run's budget
	whole    bool    // only the whole run is judged
	requests []verdict.Request
	settled  int // so many from the start will not change
	sure     *verdict.Outcome
}

func limitsGaps(limits []record.Limit) bool {
	for _, l := range limits {
		if l.Metric == record.ITL {
			return true
		}
	}
	return false
}

// see ends a load whose verdict is sure, or that a failed request has spoilt.
func (j *judge) see(now time.Duration, requests []load.Timeline) (stop bool) {
	for i := range requests {
		if requests[i].Error != "" {
			return true
		}
	}
	if !j.whole {
		if o := j.rule.Judge(j.read(requests), now.Seconds(), false); o.Sure() {
			j.sure = &o
			return true
		}
	}
	// Requests sent all at once are all due at once, so their schedule does not bound the run.
	return math.IsInf(j.rule.Rate, 1) && j.most > 0 && now.Seconds() >= j.most
}

func (j *judge) conclude(r load.Report) (*Judged, error) {
	d := &Judged{Failed: r.Summary.Failed, Late: r.Summary.Late, Histograms: map[string]string{}}
	if j.sure != nil {
		d.Outcome = *j.sure
	} else {
		d.Outcome = j.rule.Judge(j.read(r.Requests), r.Summary.Duration.Seconds(), true)
	}
	d.Steady.LatenessP99 = milliseconds(r.Summary.LatenessP99)
	for _, m := range load.Metrics() {
		text, err := load.Histogram(r.Requests, m)
		if err != nil {
			return nil, err
		}
		d.Histograms[string(m)] = text
	}
	return d, nil
}

// read is the requests in the terms of a verdict. What was answered does not change, so it is read once.
func (j *judge) read(requests []load.Timeline) []verdict.Request {
	if len(requests) > len(j.requests) {
		j.requests = append(j.requests, make([]verdict.Request, len(requests)-len(j.requests))...)
	}
	j.requests = j.requests[:len(requests)]
	for i := j.settled; i < len(requests); i++ {
		if j.requests[i].End == 0 {
			j.requests[i] = j.request(requests[i])
		}
	}
	for j.settled < len(requests) && j.requests[j.settled].End > 0 {
		j.settled++
	}
	return j.requests
}

func (j *judge) request(t load.Timeline) verdict.Request {
	start := t.Due
	if j.from == load.FromSent {
		start = t.Sent
	}
	r := verdict.Request{Due: t.Due.Seconds()}
	if t.First > 0 {
		r.TTFT = milliseconds(t.First - start)
	}
	if !t.OK() {
		return r
	}
	r.End, r.E2EL = t.Done.Seconds(), milliseconds(t.Done-start)
	if t.OutputTokens > 1 {
		r.TPOT = milliseconds(t.Done-t.First) / float64(t.OutputTokens-1)
	}
	if j.gaps {
		for _, gap := range t.Gaps {
			r.Gaps = append(r.Gaps, float32(gap)/1000)
		}
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
