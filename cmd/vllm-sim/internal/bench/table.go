package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"vtune/internal/load"
)

// fields are those of the real client's JSON.
func (o benchOptions) fields(s load.Summary) map[string]any {
	f := map[string]any{
		"date": o.started.Format("20060102-150405"), "endpoint_type": o.backend, "backend": o.backend,
		"label": nil, "model_id": o.work.Model, "tokenizer_id": cmp.Or(o.tokenizer, o.work.Model), "num_prompts": o.work.Requests,
		"request_rate": o.rate(), "burstiness": o.work.Burstiness, "max_concurrency": o.concurrency,
		"duration": s.Duration.Seconds(), "completed": s.Completed, "failed": s.Failed,
		"total_input_tokens": s.InputTokens, "total_output_tokens": s.OutputTokens,
		"request_throughput": s.RequestRate, "request_goodput": s.Goodput, "output_throughput": s.OutputRate,
		"total_token_throughput": s.TotalTokenRate, "max_output_tokens_per_s": s.PeakOutputRate,
		"max_concurrent_requests": s.PeakConcurrency, "rtfx": 0.0,
	}
	if math.IsInf(o.work.Burstiness, 1) {
		f["burstiness"] = "inf"
	}
	for _, m := range o.chosen() {
		d := s.Latency[m]
		f[fmt.Sprintf("mean_%s_ms", m)], f[fmt.Sprintf("median_%s_ms", m)], f[fmt.Sprintf("std_%s_ms", m)] = d.Mean, d.Median, d.Std
		for _, p := range d.Percentiles {
			f[fmt.Sprintf("p%s_%s_ms", load.PercentileName(p.P), m)] = p.Value
		}
	}
	return f
}

// chosen keeps the table's order, not that of the flag.
func (o benchOptions) chosen() []load.Metric {
	return slices.DeleteFunc(load.Metrics(), func(m load.Metric) bool { return !slices.Contains(o.metrics, m) })
}

// print writes the table that people (and auto_tune.sh) read.
func (o benchOptions) print(w io.Writer, s load.Summary) {
	row := func(name, format string, value any) {
		fmt.Fprintf(w, "%-40s %-10s\n", name, fmt.Sprintf(format, value))
	}
	if s.Completed == 0 {
		fmt.Fprintln(w, "All requests failed. This is likely due to a misconfiguration on the benchmark arguments.")
	}
	if s.FirstError != "" {
		fmt.Fprintln(w, "First error:", s.FirstError)
	}
	fmt.Fprintln(w, center(" Serving Benchmark Result ", "="))
	row("Successful requests:", "%d", s.Completed)
	row("Failed requests:", "%d", s.Failed)
	if o.concurrency != nil {
		row("Maximum request concurrency:", "%d", *o.concurrency)
	}
	if !math.IsInf(o.work.Rate, 1) {
		row("Request rate configured (RPS):", "%.2f", o.work.Rate)
	}
	row("Benchmark duration (s):", "%.2f", s.Duration.Seconds())
	row("Total input tokens:", "%d", s.InputTokens)
	row("Total generated tokens:", "%d", s.OutputTokens)
	row("Request throughput (req/s):", "%.2f", s.RequestRate)
	if s.Goodput != nil {
		row("Request goodput (req/s):", "%.2f", *s.Goodput)
	}
	row("Output token throughput (tok/s):", "%.2f", s.OutputRate)
	row("Peak output token throughput (tok/s):", "%.2f", s.PeakOutputRate)
	row("Peak concurrent requests:", "%.2f", float64(s.PeakConcurrency))
	row("Total token throughput (tok/s):", "%.2f", s.TotalTokenRate)
	titles := map[load.Metric]string{
		load.TTFT: "Time to First Token", load.TPOT: "Time per Output Token (excl. 1st token)",
		load.ITL: "Inter-token Latency", load.E2EL: "End-to-end Latency",
	}
	for _, m := range o.chosen() {
		name, d := strings.ToUpper(string(m)), s.Latency[m]
		fmt.Fprintln(w, center(titles[m], "-"))
		row("Mean "+name+" (ms):", "%.2f", d.Mean)
		row("Median "+name+" (ms):", "%.2f", d.Median)
		for _, p := range d.Percentiles {
			row(fmt.Sprintf("P%s %s (ms):", load.PercentileName(p.P), name), "%.2f", p.Value)
		}
	}
	fmt.Fprintln(w, strings.Repeat("=", tableWidth))
}

const tableWidth = 50

// center fills as Python's format does: the odd character goes to the right.
func center(text, fill string) string {
	left := (tableWidth - len(text)) / 2
	return strings.Repeat(fill, left) + text + strings.Repeat(fill, tableWidth-len(text)-left)
}
