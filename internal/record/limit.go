package record

import (
	"fmt"
	"strings"
)

// Metric of latency, under the names of `vllm bench serve`.
type Metric string

const (
	TTFT Metric = "ttft" // to the first token
	TPOT Metric = "tpot" // mean of an output token, without the first
	ITL  Metric = "itl"  // between neighbouring chunks; its samples are gaps, not requests
	E2EL Metric = "e2el" // to the last token
	// Goodput stands in a Standing for all limits at once: a request is beyond if it misses one of them.
	Goodput Metric = "goodput"
)

// Limit is one SLO: of the samples of Metric at most 100-Percentile % exceed MS.
type Limit struct {
	Metric     Metric  `json:"metric"`
	Percentile float64 `json:"percentile"` // above 0, below 100
	MS         float64 `json:"ms"`
}

// Share of the samples that may exceed the limit, 0 to 1.
func (l Limit) Share() float64 { return 1 - l.Percentile/100 }

func (l Limit) String() string {
	return fmt.Sprintf("P%g %s <= %g ms", l.Percentile, upper(l.Metric), l.MS)
}

func upper(m Metric) string {
	switch m {
	case TTFT:
		return "TTFT"
	case TPOT:
		return "TPOT"
	case ITL:
		return "ITL"
	case E2EL:
		return "E2EL"
	}
	return string(m)
}

// SLOs are the policy's limits, whichever method they were written for.
func (p Policy) SLOs() []Limit {
	if len(p.Limits) == 0 && p.LimitMS > 0 {
		return []Limit{{Metric: E2EL, Percentile: 99, MS: p.LimitMS}}
	}
	return p.Limits
}

// LimitText is what a request rate must hold, in words. Under a goodput a limit has no percentile of its own.
func (p Policy) LimitText() string {
	var parts []string
	for _, l := range p.SLOs() {
		if p.GoodputPct > 0 {
			parts = append(parts, fmt.Sprintf("%s <= %g ms", upper(l.Metric), l.MS))
		} else {
			parts = append(parts, l.String())
		}
	}
	text := strings.Join(parts, ", ")
	if p.GoodputPct > 0 {
		text = fmt.Sprintf("%g %% of requests within %s", p.GoodputPct, text)
	}
	return text
}

// Test sets how sure a confirming verdict is. With p the share that a limit allows: a load whose true share is above (1+Zone)p
// is accepted in at most FalsePass of cases, one below (1-Zone)p is rejected in at most FalseMiss; between them either is right.
type Test struct {
	Zone        float64 `json:"zone"`
	FalsePass   float64 `json:"false_pass"`
	FalseMiss   float64 `json:"false_miss"`
	MaxRequests int     `json:"max_requests"` // budget of one run; what is not sure by then is unsure
	MaxSeconds  float64 `json:"max_s"`        // the same, in seconds under load
}

// Prune says which cells are not measured to their end.
type Prune string

const (
	PruneBound Prune = "bound" // those that cannot win, by what was measured of themselves
	PruneModel Prune = "model" // also those that a monotone model of their neighbours rules out
	PruneNone  Prune = "none"
)

// Emulate says whether one server may answer for cells with fewer max-num-seqs.
type Emulate string

const (
	EmulateAuto Emulate = "auto"
	EmulateOff  Emulate = "off"
)

// Arrivals of an open loop. Intervals are gamma distributed: Burstiness 1 is Poisson, greater is more even, 0 stands for 1.
type Arrivals struct {
	Burstiness float64 `json:"burstiness,omitempty"`
	From       string  `json:"latency_from,omitempty"` // "due" (default) or "sent": when a request's latency begins
}

// Interval is an estimate with the bounds that hold at the test's confidence.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Standing is what one observation says of one limit in the steady state.
type Standing struct {
	Limit
	Verdict Verdict `json:"verdict"` // pass, miss or unsure
	// Independent is as how many independent requests the steady ones count for this limit: neighbours are late together.
	Independent float64  `json:"independent"`
	Share       Interval `json:"share"`          // of samples beyond the limit, 0 to 1
	At          Interval `json:"at_ms"`          // the metric at the limit's percentile; zero under a goodput
	Near        bool     `json:"near,omitempty"` // the limit lies within the interval
}

// Steady is the part of a run that verdicts rest on: without its start-up, and without requests whose fate is open.
type Steady struct {
	From        float64  `json:"from_s"` // since the run's start
	To          float64  `json:"to_s"`
	Requests    int      `json:"requests"`
	Effective   float64  `json:"effective"`          // as many independent ones say as much
	Throughput  Interval `json:"request_throughput"` // requests/s completed in the steady state
	Peak        int      `json:"peak_in_flight"`
	Early       bool     `json:"early"`  // the run was ended because the verdict was sure
	Reason      string   `json:"reason"` // of the verdict, one sentence
	LatenessP99 float64  `json:"client_lateness_p99_ms"`
}
