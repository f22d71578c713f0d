package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/serving"
	"vtune/internal/vllm"
)

// Own measures what `vllm bench serve` would, in this process: no start-up, and a timeline for each request.
type Own struct{ Setting }

// Measure is as Bench's.
func (c Own) Measure(ctx context.Context, t Target) (m Measurement, err error) {
	to, workload := address(t.Server), c.workload(t)
	// `vllm bench serve` sends its first prompt once before it measures; both clients must leave the cache alike.
	if err := load.Once(ctx, to, workload); err != nil {
		return m, cause(ctx, err)
	}
	report, writing, err := c.run(ctx, t, to, workload, nil)
	if err != nil {
		return m, cause(ctx, err)
	}
	m.Writing, m.Loading = writing, report.Summary.Duration
	m.Metrics, m.Note = metrics(report.Summary), report.Summary.FirstError
	if err := fsx.PublishJSON(t.Raw, report); err != nil {
		return m, err
	}
	return m, fsx.Publish(t.Log, []byte(table(t.Load, m)), 0o644)
}

// run brackets the load with the profiler where that is asked for.
func (s Setting) run(ctx context.Context, t Target, to load.Target, w load.Workload, watch *load.Watch) (r load.Report, writing time.Duration, err error) {
	if t.Profile {
		if err := t.Server.API.StartProfile(ctx); err != nil {
			return r, 0, err
		}
	}
	if r, err = load.Run(ctx, to, w, watch); err != nil || !t.Profile {
		return r, 0, err
	}
	began := s.Now()
	err = t.Server.API.StopProfile(ctx)
	return r, s.Now().Sub(began), err
}

func address(s *serving.Server) load.Target {
	return load.Target{BaseURL: fmt.Sprintf("http://%s:%d", vllm.Loopback, s.Port), UnixSocket: s.Socket, APIKey: s.Key}
}

// workload is what `vllm bench serve` sends with the flags that vtune gives it.
func (c Own) workload(t Target) load.Workload {
	w := c.requests(t)
	w.Rescale, w.From = true, load.FromSent
	if limit := c.Assignment.Policy.LimitMS; limit > 0 {
		w.Goodput = []load.Objective{{Metric: load.E2EL, LimitMS: limit}}
	}
	return w
}

func (s Setting) requests(t Target) load.Workload {
	prefix := s.Assignment.Workload.PrefixLen()
	return load.Workload{
		Model: s.Assignment.Server.Model, Requests: t.Load.Requests, Rate: float64(t.Load.Rate), Seed: uint64(t.Seed),
		InputLen: s.Assignment.Workload.InputLen - prefix, PrefixLen: prefix, OutputLen: s.Assignment.Workload.OutputLen,
		Temperature: new(float64), IgnoreEOS: true, Percentiles: []float64{50, 90, 99},
	}
}

func metrics(s load.Summary) record.Metrics {
	m := record.Metrics{
		Completed: s.Completed, Failed: s.Failed, Seconds: s.Duration.Seconds(),
		RequestThroughput: s.RequestRate, RequestGoodput: s.RequestRate, OutputThroughput: s.OutputRate,
		TotalInputTokens: s.InputTokens, TotalOutputTokens: s.OutputTokens,
		TTFT: latency(s.Latency[load.TTFT]), TPOT: latency(s.Latency[load.TPOT]),
		ITL: latency(s.Latency[load.ITL]), E2EL: latency(s.Latency[load.E2EL]),
	}
	if s.Goodput != nil { // without a limit every answered request is a good one
		m.RequestGoodput = *s.Goodput
	}
	return m
}

func latency(d load.Distribution) record.Latency {
	l := record.Latency{Mean: d.Mean, P50: d.Median}
	for _, p := range d.Percentiles {
		switch p.P {
		case 90:
			l.P90 = p.Value
		case 99:
			l.P99 = p.Value
		}
	}
	return l
}

// table is the log of a load, with the lines that people grep in the script's logs.
func table(l record.Load, m Measurement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vtune load client: %s\n", l)
	for _, row := range []struct {
		name   string
		number float64
	}{
		{"Successful requests:", float64(m.Metrics.Completed)},
		{"Failed requests:", float64(m.Metrics.Failed)},
		{"Benchmark duration (s):", m.Metrics.Seconds},
		{"Request throughput (req/s):", m.Metrics.RequestThroughput},
		{"Request goodput (req/s):", m.Metrics.RequestGoodput},
		{"P99 TTFT (ms):", m.Metrics.TTFT.P99},
		{"P99 TPOT (ms):", m.Metrics.TPOT.P99},
		{"P99 ITL (ms):", m.Metrics.ITL.P99},
		{"P99 E2EL (ms):", m.Metrics.E2EL.P99},
	} {
		fmt.Fprintf(&b, "%-40s %.2f\n", row.name, row.number)
	}
	if j := m.Judged; j != nil {
		fmt.Fprintf(&b, "%-40s %s: %s\n", "Verdict:", j.Verdict, j.Reason)
	}
	if m.Note != "" {
		fmt.Fprintf(&b, "first failed request: %s\n", m.Note)
	}
	return b.String()
}
