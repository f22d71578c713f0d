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

// The metrics, under the names of `vllm bench serve`. Workload.From says from when TTFT and E2EL count.
const (
	TTFT Metric = "ttft" // to the first chunk
	TPOT Metric = "tpot" // mean time of an output token, without the first
	ITL  Metric = "itl"  // between neighbouring chunks
	E2EL Metric = "e2el" // to the last chunk
)

// Metrics lists them in the order of the printed table.
func Metrics() []Metric { return []Metric{TTFT, TPOT, ITL, E2EL} }

// Summary is an observation in numbers. Latencies and throughputs are over successful requests only: Failed is the only sign
// of loss.
type Summary struct {
	Duration         time.Duration // from the start to the last answer
	Completed        int
	Failed           int
	Aborted          int // cut off or never sent, because the run was ended
	InputTokens      int
	OutputTokens     int
	RequestRate      float64 // requests/s achieved
	OutputRate       float64 // output tokens/s
	TotalTokenRate   float64 // input and output tokens/s
	Goodput          *float64
	PeakOutputRate   float64 // most output chunks in one second
	PeakConcurrency  int     // most requests in flight
	Latency          map[Metric]Distribution
	FirstError       string        // of a failed request, by arrival
	HighestQueueTime time.Duration // longest wait to be let in

	// How far the client fell behind its schedule. Time spent waiting to be let in is the workload's and not counted; in a
	// closed loop there is no schedule.
	LatenessP50, LatenessP99, MaxLateness time.Duration

	CPUShare float64 // of the CPU time that this process may have; measured by Run
	Late     string  // the client was too late, or too busy, for this to be an observation of the server, and what helps
}

// Distribution is in milliseconds; zeros if there was nothing to measure.
type Distribution struct {
	Mean, Median, Std float64
	Percentiles       []Percentile
}

// Percentile is one row, e.g. {99, 1234.5}.
type Percentile struct{ P, Value float64 }

// value is a metric of an answered request in milliseconds. A request of one token has no TPOT; ITL has a value for each gap and
// not for the request.
func (t Timeline) value(m Metric, from Clock) (ms float64, ok bool) {
	start := t.Due
	if from == FromSent {
		start = t.Sent
	}
	switch m {
	case TTFT:
		return millis(t.First - start), true
	case E2EL:
		return millis(t.Done - start), true
	case TPOT:
		if t.OutputTokens > 1 {
			return millis(t.Done-t.First) / float64(t.OutputTokens-1), true
		}
	}
	return 0, false
}

// Summarize computes the metrics of `vllm bench serve`. A request is good if it meets every objective; the time per output
// token of a request with one token counts as 0.
func Summarize(requests []Timeline, w Workload) Summary {
	s := Summary{Latency: map[Metric]Distribution{}}
	values := map[Metric][]float64{}
	var lateness []float64
	good := 0
	for _, r := range requests {
		s.Duration = max(s.Duration, r.Done)
		if r.Sent > 0 || r.OK() {
			s.HighestQueueTime = max(s.HighestQueueTime, r.Held)
			lateness = append(lateness, float64(max(0, r.Sent-r.Due-r.Held)))
		}
		if !r.OK() {
			if r.Error != "" {
				s.Failed++
				if s.FirstError == "" {
					s.FirstError = r.Error
				}
			} else if r.Aborted {
				s.Aborted++
			}
			continue
		}
		s.Completed++
		s.InputTokens += r.PromptTokens
		s.OutputTokens += r.OutputTokens
		meets := true
		for _, m := range []Metric{TTFT, TPOT, E2EL} {
			v, ok := r.value(m, w.From)
			if ok {
				values[m] = append(values[m], v)
			}
			meets = meets && !slices.ContainsFunc(w.Goodput, func(o Objective) bool { return o.Metric == m && v > o.LimitMS })
		}
		for _, gap := range r.Gaps {
			values[ITL] = append(values[ITL], float64(gap)/1000)
		}
		if meets {
			good++
		}
	}
	slices.Sort(lateness)
	s.LatenessP50, s.LatenessP99 = time.Duration(stat.Percentile(lateness, 50)), time.Duration(stat.Percentile(lateness, 99))
	s.MaxLateness = time.Duration(stat.Percentile(lateness, 100))
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

// peaks counts, per second of the run, the chunks that arrived and the requests that were in flight at some time in it.
func peaks(requests []Timeline) (tokens float64, concurrent int) {
	perSecond, inFlight := map[int]int{}, map[int]int{}
	for _, r := range requests {
		if !r.OK() {
			continue
		}
		at := r.First
		perSecond[int(at/time.Second)]++
		for _, gap := range r.Gaps {
			at += time.Duration(gap) * time.Microsecond
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

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
