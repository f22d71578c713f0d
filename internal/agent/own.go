package agent

import (
	"context"
	"fmt"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

// ownClient measures with internal/load, in this process: no start-up, and a timeline for each request.
type ownClient struct{ w *work }

func (c ownClient) Measure(ctx context.Context, t target) (m measurement, err error) {
	to := load.Target{BaseURL: fmt.Sprintf("http://%s:%d", vllm.Loopback, t.Server.port), APIKey: t.Server.key}
	workload := c.workload(t.Load)
	// `vllm bench serve` sends its first prompt once before it measures; both clients must leave the cache alike.
	if err := load.Once(ctx, to, workload); err != nil {
		return m, cause(ctx, err)
	}
	if t.Profile {
		if err := t.Server.api.StartProfile(ctx); err != nil {
			return m, cause(ctx, err)
		}
	}
	report, err := load.Run(ctx, to, workload)
	if err != nil {
		return m, cause(ctx, err)
	}
	if t.Profile {
		began := c.w.c.Now()
		if err := t.Server.api.StopProfile(ctx); err != nil {
			return m, cause(ctx, err)
		}
		m.Writing = c.w.c.Now().Sub(began)
	}
	m.Metrics, m.Note = metrics(report.Summary), report.Summary.FirstError
	if err := fsx.PublishJSON(t.Raw, report); err != nil {
		return m, err
	}
	return m, fsx.Publish(t.Log, []byte(table(t.Load, m)), 0o644)
}

// cause prefers the reason of a context that ended to the error of the call that noticed.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// workload is what `vllm bench serve` sends with the flags that vtune gives it.
func (c ownClient) workload(l record.Load) load.Workload {
	a := c.w.a
	prefix := a.Workload.PrefixLen()
	w := load.Workload{
		Model: a.Server.Model, Requests: l.Requests, Rate: float64(l.Rate), Rescale: true, Seed: uint64(a.Seed),
		InputLen: a.Workload.InputLen - prefix, PrefixLen: prefix, OutputLen: a.Workload.OutputLen,
		Temperature: new(float64), IgnoreEOS: true, Percentiles: []float64{50, 90, 99},
	}
	if a.Policy.LimitMS > 0 {
		w.Goodput = []load.Objective{{Metric: load.E2EL, LimitMS: a.Policy.LimitMS}}
	}
	return w
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
func table(l record.Load, m measurement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vtune load client: %s\n", l)
	for _, row := range []struct {
		name   string
		number float64
	}{
		{"Successful requests:", float64(m.Metrics.Completed)}, {"Failed requests:", float64(m.Metrics.Failed)},
		{"Benchmark duration (s):", m.Metrics.Seconds},
		{"Request throughput (req/s):", m.Metrics.RequestThroughput}, {"Request goodput (req/s):", m.Metrics.RequestGoodput},
		{"P99 TTFT (ms):", m.Metrics.TTFT.P99}, {"P99 TPOT (ms):", m.Metrics.TPOT.P99}, {"P99 ITL (ms):", m.Metrics.ITL.P99},
		{"P99 E2EL (ms):", m.Metrics.E2EL.P99},
	} {
		fmt.Fprintf(&b, "%-40s %.2f\n", row.name, row.number)
	}
	if m.Note != "" {
		fmt.Fprintf(&b, "first failed request: %s\n", m.Note)
	}
	return b.String()
}
