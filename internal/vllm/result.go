package vllm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"vtune/internal/record"
)

// BenchResult is what the benchmark client reports about one run.
type BenchResult struct {
	Rate    record.Rate // as the client understood it
	Sent    int         // num_prompts
	Metrics record.Metrics
}

// ParseBench reads the client's JSON. Every field is optional, because most were added over the years: one that is absent or
// null reads as zero. The client writes in place, so a half file is an everyday error and not a reason to panic.
func ParseBench(data []byte) (BenchResult, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(PlainJSON(data), &fields); err != nil {
		return BenchResult{}, fmt.Errorf("benchmark result: %w", err)
	}
	if fields == nil {
		return BenchResult{}, errors.New("benchmark result: null")
	}
	f := reader{fields: fields}
	r := BenchResult{
		Rate: f.rate("request_rate"),
		Sent: f.count("num_prompts"),
		Metrics: record.Metrics{
			Completed:         f.count("completed"),
			Failed:            f.count("failed"),
			Seconds:           f.number("duration"),
			RequestThroughput: f.number("request_throughput"),
			RequestGoodput:    f.number("request_goodput"),
			OutputThroughput:  f.number("output_throughput"),
			TotalInputTokens:  f.count("total_input_tokens"),
			TotalOutputTokens: f.count("total_output_tokens"),
			TTFT:              f.latency("ttft"),
			TPOT:              f.latency("tpot"),
			ITL:               f.latency("itl"),
			E2EL:              f.latency("e2el"),
		},
	}
	if f.err != nil {
		return BenchResult{}, f.err
	}
	return r, nil
}

// reader keeps the first error, so that the table of fields reads as a table.
type reader struct {
	fields map[string]json.RawMessage
	err    error
}

func (r *reader) number(name string) float64 {
	raw, ok := r.fields[name]
	if !ok || r.err != nil {
		return 0
	}
	var f float64 // null leaves it at zero
	if err := json.Unmarshal(raw, &f); err != nil {
		r.err = fmt.Errorf("benchmark result: %s: %w", name, err)
		return 0
	}
	if f < 0 {
		r.err = fmt.Errorf("benchmark result: %s is negative: %v", name, f)
		return 0
	}
	return f
}

func (r *reader) count(name string) int {
	f := r.number(name)
	if f != math.Trunc(f) || f > math.MaxInt32*1e3 {
		r.err = fmt.Errorf("benchmark result: %s is no count: %v", name, f)
		return 0
	}
	return int(f)
}

func (r *reader) rate(name string) record.Rate {
	raw, ok := r.fields[name]
	if !ok || r.err != nil {
		return 0
	}
	var rate record.Rate
	if err := json.Unmarshal(raw, &rate); err != nil {
		r.err = fmt.Errorf("benchmark result: %s: %w", name, err)
	}
	return rate
}

func (r *reader) latency(metric string) record.Latency {
	l := record.Latency{
		Mean: r.number("mean_" + metric + "_ms"),
		P50:  r.number("p50_" + metric + "_ms"),
		P90:  r.number("p90_" + metric + "_ms"),
		P99:  r.number("p99_" + metric + "_ms"),
	}
	if l.P50 == 0 {
		l.P50 = r.number("median_" + metric + "_ms")
	}
	return l
}

// PlainJSON replaces the bare words that Python writes for numbers JSON does not have. A latency that is not a number says
// nothing, so it becomes null, and the counts beside it tell the story.
func PlainJSON(data []byte) []byte {
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Infinity")) {
		return data
	}
	out := make([]byte, 0, len(data))
	quoted := false
	for i := 0; i < len(data); i++ {
		rest := data[i:]
		switch word := bareWord(rest); {
		case quoted && data[i] == '\\' && len(rest) > 1:
			out = append(out, rest[:2]...)
			i++
		case data[i] == '"':
			quoted = !quoted
			out = append(out, '"')
		case !quoted && word > 0:
			out = append(out, "null"...)
			i += word - 1
		default:
			out = append(out, data[i])
		}
	}
	return out
}

func bareWord(data []byte) int {
	for _, w := range []string{"NaN", "-Infinity", "Infinity"} {
		if bytes.HasPrefix(data, []byte(w)) {
			return len(w)
		}
	}
	return 0
}
