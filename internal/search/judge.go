package search

import (
	"fmt"
	"math"
	"strconv"

	"vtune/internal/record"
)

// Judge says what a load client's numbers mean for the SLO, sent being the number of requests it was told to send. Numbers
// that cannot be true, or are of survivors only, are Invalid, with a cause and a sentence; they never pass.
func Judge(p record.Policy, m record.Metrics, sent int) (record.Verdict, record.Cause, string) {
	invalid := func(c record.Cause, format string, args ...any) (record.Verdict, record.Cause, string) {
		return record.Invalid, c, fmt.Sprintf(format, args...)
	}
	switch {
	case sent <= 0 || m.Completed < 0 || m.Failed < 0 || m.Completed > sent || m.Failed > sent:
		return invalid(record.CauseClient, "the load client counts %d completed and %d failed of %d requests", m.Completed, m.Failed, sent)
	case m.Completed == 0 && m.Failed == 0:
		return invalid(record.CauseClient, "the load client reports no requests at all")
	case m.Failed > 0:
		return invalid(record.CauseRequests, "%d of %d requests failed", m.Failed, sent)
	case m.Completed != sent:
		return invalid(record.CauseRequests, "%d of %d requests were completed", m.Completed, sent)
	case m.TotalOutputTokens <= 0:
		return invalid(record.CauseRequests, "the answers hold no output tokens")
	}
	for _, n := range []struct {
		name  string
		value float64
	}{
		{"duration", m.Seconds},
		{"request throughput", m.RequestThroughput},
		{"P99 E2EL", m.E2EL.P99},
	} {
		if !positive(n.value) {
			return invalid(record.CauseClient, "the load client reports a %s of %v", n.name, n.value)
		}
	}
	// A goodput of zero is a fact: no request was within the limit.
	if g := m.RequestGoodput; g != 0 && !positive(g) {
		return invalid(record.CauseClient, "the load client reports a request goodput of %v", g)
	}
	if p.LimitMS > 0 && printed(m.E2EL.P99) > p.LimitMS {
		return record.Miss, record.CauseNone, ""
	}
	return record.Pass, record.CauseNone, ""
}

func positive(f float64) bool { return f > 0 && !math.IsInf(f, 1) }

// printed is f as `vllm bench serve` prints it, with two decimals. The script compares what it reads there, so result.txt
// can be checked by itself: every accepted row is within the limit, and the best row has the greatest throughput.
func printed(f float64) float64 {
	p, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', 2, 64), 64)
	if err != nil {
		return f
	}
	return p
}
