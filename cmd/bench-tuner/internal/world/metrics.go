package world

import (
	"slices"

	"vtune/internal/record"
	"vtune/internal/stat"
)

// Metrics of a run over its answered requests, as `vllm bench serve` defines them.
func Metrics(run Run, w record.Workload) record.Metrics {
	m := record.Metrics{Seconds: run.Seconds}
	var ttft, tpot, e2el []float64
	last := 0.0
	for _, r := range run.Requests {
		if r.End == 0 {
			continue
		}
		ttft, e2el = append(ttft, r.TTFT), append(e2el, r.E2EL)
		if w.OutputLen > 1 {
			tpot = append(tpot, r.TPOT)
		}
		last = max(last, r.End)
	}
	m.Completed = len(e2el)
	m.TotalInputTokens, m.TotalOutputTokens = m.Completed*w.InputLen, m.Completed*w.OutputLen
	if last > 0 {
		m.Seconds = last
		m.RequestThroughput = float64(m.Completed) / last
		m.OutputThroughput = float64(m.TotalOutputTokens) / last
	}
	m.TTFT, m.TPOT, m.E2EL = latency(ttft), latency(tpot), latency(e2el)
	return m
}

func latency(ms []float64) record.Latency {
	if len(ms) == 0 {
		return record.Latency{}
	}
	slices.Sort(ms)
	sum := 0.0
	for _, v := range ms {
		sum += v
	}
	return record.Latency{Mean: sum / float64(len(ms)), P50: stat.Percentile(ms, 50), P90: stat.Percentile(ms, 90), P99: stat.Percentile(ms, 99)}
}
