package load

import (
	"fmt"
	"math"
	"slices"
	"time"

	"vtune/internal/stat"
)

// Metric is a latency of one request.
type Metric string

// The metrics, under the names of `vllm bench serve`.
const (
	TTFT Metric = "ttft" // first chunk after sending
	TPOT Metric = "tpot" // mean time of an output token, without the first
	ITL  Metric = "itl"  // between neighbouring chunks
	E2EL Metric = "e2el" // last chunk after sending
)

// Metrics lists them in the order of the printed table.
func Metrics() []Metric { return []Metric{TTFT, TPOT, ITL, E2EL} }

// Summary is an observation in numbers. Latencies and throughputs are over
// successful requests only: Failed is the only sign of loss.
type Summary struct {
	Duration         time.Duration // from the start to the last answer
	Completed        int
	Failed           int
	InputTokens      int
	OutputTokens     int
	RequestRate      float64 // requests/s achieved
	OutputRate       float64 // output tokens/s
	TotalTokenRate   float64 // input and output tokens/s
	Goodput          *float64
	PeakOutputRate   float64 // most output tokens in one second
	PeakConcurrency  int     // most requests in flight
	Latency          map[Metric]Distribution
	MaxLateness      time.Duration // how far the client fell behind its schedule
	FirstError       string        // of a failed request, by arrival
	HighestQueueTime time.Duration // longest wait for MaxConcurrency
}

// Distribution is in milliseconds; zeros if there was nothing to measure.
type Distribution struct {
	Mean, Median, Std float64
	Percentiles       []Percentile
}

// Percentile is one row, e.g. {99, 1234.5}.
type Percentile struct{ P, Value float64 }

// Summarize computes the metrics of `vllm bench serve`. A request is good if
// it meets every objective; the time per output token of a request with one
// token counts as 0.
func Summarize(requests []Timeline, w Workload) Summary {
	s := Summary{Latency: map[Metric]Distribution{}}
	values := map[Metric][]float64{}
	good := 0
	for _, r := range requests {
		s.Duration = max(s.Duration, r.Done)
		if !r.OK() {
			s.Failed++
			if s.FirstError == "" {
				s.FirstError = r.Error
			}
			continue
		}
		s.Completed++
		s.InputTokens += r.PromptTokens
		s.OutputTokens += r.OutputTokens
		own := map[Metric]float64{TTFT: ms(r.First - r.Sent), E2EL: ms(r.Done - r.Sent)}
		values[TTFT] = append(values[TTFT], own[TTFT])
		values[E2EL] = append(values[E2EL], own[E2EL])
		if r.OutputTokens > 1 {
			own[TPOT] = ms(r.Done-r.First) / float64(r.OutputTokens-1)
			values[TPOT] = append(values[TPOT], own[TPOT])
		}
		for _, gap := range r.Gaps {
			values[ITL] = append(values[ITL], ms(gap))
		}
		if !slices.ContainsFunc(w.Goodput, func(o Objective) bool { return own[o.Metric] > o.LimitMS }) {
			good++
		}
		s.HighestQueueTime = max(s.HighestQueueTime, r.Sent-r.Due)
	}
	if w.MaxConcurrency == 0 {
		s.MaxLateness, s.HighestQueueTime = s.HighestQueueTime, 0
	}
	if seconds := s.Duration.Seconds(); seconds > 0 {
		s.RequestRate = float64(s.Completed) / seconds
		s.OutputRate = float64(s.OutputTokens) / seconds
		s.TotalTokenRate = float64(s.InputTokens+s.OutputTokens) / seconds
		if len(w.Goodput) > 0 {
			rate := float64(good) / seconds
			s.Goodput = &rate
		}
	}
	if len(w.Goodput) > 0 && s.Goodput == nil {
		s.Goodput = new(float64)
	}
	for _, m := range Metrics() {
		s.Latency[m] = distribution(values[m], w.Percentiles)
	}
	s.PeakOutputRate, s.PeakConcurrency = peaks(requests)
	return s
}

// distribution sorts x.
func distribution(x, percentiles []float64) Distribution {
	slices.Sort(x)
	d := Distribution{Median: stat.Percentile(x, 50)}
	for _, v := range x {
		d.Mean += v / float64(len(x))
	}
	variance := 0.0
	for _, v := range x {
		variance += (v - d.Mean) * (v - d.Mean) / float64(len(x))
	}
	d.Std = math.Sqrt(variance)
	for _, p := range percentiles {
		d.Percentiles = append(d.Percentiles, Percentile{p, stat.Percentile(x, p)})
	}
	return d
}

// peaks counts, per second of the run, the chunks that arrived and the
// requests that were in flight at some time in it.
func peaks(requests []Timeline) (tokens float64, concurrent int) {
	perSecond, inFlight := map[int]int{}, map[int]int{}
	for _, r := range requests {
		if !r.OK() {
			continue
		}
		at := r.First
		perSecond[int(at/time.Second)]++
		for _, gap := range r.Gaps {
			at += gap
			perSecond[int(at/time.Second)]++
		}
		for sec := int(r.Sent / time.Second); sec <= int(r.Done/time.Second); sec++ {
			inFlight[sec]++
		}
	}
	for _, n := range perSecond {
		tokens = max(tokens, float64(n))
	}
	for _, n := range inFlight {
		concurrent = max(concurrent, n)
	}
	return tokens, concurrent
}

// PercentileName prints P as vllm does: 99, 99.9.
func PercentileName(p float64) string { return fmt.Sprintf("%g", p) }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
