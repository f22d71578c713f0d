package search

import (
	"fmt"
	"strconv"
	"strings"

	"vtune/internal/record"
)

// curve is a server as a client sees it: what comes out at each rate, infinity being rate 0.
type curve struct {
	throughput func(rate int) float64
	e2el       func(rate int) float64
}

// measure is what a client observes of a curve at a load, by the verdict that Judge gives it.
func measure(c curve, p record.Policy, l record.Load, seq int) record.Observation {
	rate := 0
	if !l.Rate.IsInf() {
		rate = int(l.Rate)
	}
	m := metrics(l.Requests, c.throughput(rate), c.e2el(rate))
	verdict, cause, detail := Judge(p, m, l.Requests)
	return record.Observation{Attempt: 1, Seq: seq, Load: l, Metrics: m, Verdict: verdict, Cause: cause, Detail: detail, Complete: true}
}

func metrics(requests int, throughput, e2el float64) record.Metrics {
	return record.Metrics{
		Completed: requests, Seconds: float64(requests) / throughput, RequestThroughput: throughput, RequestGoodput: throughput,
		TotalOutputTokens: requests * 16, E2EL: record.Latency{P99: e2el},
	}
}

// scripted is auto_tune.sh's run_benchmark, kept apart from the code under test: as in bash, it works on the text that the
// benchmark prints. It returns the rates in the order they are run and the one that is accepted, if any.
func scripted(c curve, limit string) (runs []string, accepted string) {
	bench := func(rate int) (throughput, e2el string) {
		return fmt.Sprintf("%.2f", c.throughput(rate)), fmt.Sprintf("%.2f", c.e2el(rate))
	}
	meets := func(e2el string) bool { // bc: e2el <= limit
		a, errA := strconv.ParseFloat(e2el, 64)
		b, errB := strconv.ParseFloat(limit, 64)
		return errA == nil && errB == nil && a <= b
	}
	throughput, e2el := bench(0)
	runs = append(runs, "inf")
	if meets(e2el) {
		return runs, "inf"
	}
	whole, _, _ := strings.Cut(throughput, ".") // ${throughput%.*}
	rate, err := strconv.Atoi(whole)
	if err != nil {
		return runs, ""
	}
	for rate++; rate > 0; rate-- {
		_, e2el = bench(rate)
		runs = append(runs, strconv.Itoa(rate))
		if meets(e2el) {
			return runs, strconv.Itoa(rate)
		}
	}
	return runs, ""
}
