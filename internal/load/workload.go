package load

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Workload is what to send: Requests prompts of PrefixLen shared and InputLen
// own tokens each, answered by OutputLen tokens.
type Workload struct {
	Model      string
	Requests   int
	Rate       float64 // requests per second; +Inf sends all at once
	Burstiness float64 // shape of the gamma intervals: 1 is Poisson, +Inf is constant; 0 means 1
	Rescale    bool    // stretch the arrivals so that the last one is at Requests/Rate, as vllm bench does
	Seed       uint64  // of arrivals and prompts

	InputLen  int
	PrefixLen int
	OutputLen int
	Vocab     int // token ids are drawn below it; 0 means 10,000

	Temperature    *float64       // nil leaves it to the server
	IgnoreEOS      bool           // without it a random prompt's answer has a random length
	MaxConcurrency int            // requests in flight at most; 0: unlimited
	ExtraBody      map[string]any // further fields of the request; they win

	Goodput     []Objective
	Percentiles []float64 // reported beside mean, median and deviation; 0 to 100
}

// Objective is one condition of a good request.
type Objective struct {
	Metric  Metric
	LimitMS float64
}

// Target is where to send it.
type Target struct {
	BaseURL    string // http://host:port; ignored with UnixSocket
	UnixSocket string
	Endpoint   string // default /v1/completions
	APIKey     string // sent as Authorization: Bearer
	Header     http.Header
	// TimeScale is the number of virtual seconds that pass on the server in
	// one real second: schedules are divided by it, reported times multiplied.
	// 0 means 1, a server of this world.
	TimeScale float64
}

// Report is one observation. Requests are in the order of their arrival.
type Report struct {
	Requests []Timeline
	Summary  Summary
}

// Timeline is one request. All times are virtual and count from the start of
// the run; Sent, First and Done are zero for what did not happen.
type Timeline struct {
	Due          time.Duration // by the schedule
	Sent         time.Duration // when the client began to send it
	First        time.Duration // first chunk of output
	Done         time.Duration // last chunk of output
	Gaps         []time.Duration
	PromptTokens int    // as sent
	OutputTokens int    // by the server's usage, else the number of chunks
	Error        string // empty: it succeeded
}

// OK reports whether the request was answered.
func (t Timeline) OK() bool { return t.Error == "" }

const (
	defaultVocab    = 10_000
	defaultEndpoint = "/v1/completions"
)

// check refuses what would silently measure something else.
func (w Workload) check() error {
	switch {
	case w.Requests < 1:
		return fmt.Errorf("a load of %d requests", w.Requests)
	case !(w.Rate > 0):
		return fmt.Errorf("a rate of %v requests per second", w.Rate)
	case w.Burstiness < 0 || math.IsNaN(w.Burstiness):
		return fmt.Errorf("a burstiness of %v", w.Burstiness)
	case w.InputLen < 0 || w.PrefixLen < 0 || w.InputLen+w.PrefixLen < 1:
		return fmt.Errorf("a prompt of %d and %d tokens", w.PrefixLen, w.InputLen)
	case w.OutputLen < 1:
		return fmt.Errorf("an output of %d tokens", w.OutputLen)
	case w.Vocab < 0 || w.Vocab == 1:
		return fmt.Errorf("a vocabulary of %d tokens", w.Vocab)
	case w.MaxConcurrency < 0:
		return fmt.Errorf("a concurrency of %d", w.MaxConcurrency)
	}
	for _, p := range w.Percentiles {
		if !(p >= 0 && p <= 100) {
			return fmt.Errorf("a percentile of %v", p)
		}
	}
	return nil
}

func (t Target) check() error {
	if t.BaseURL == "" && t.UnixSocket == "" {
		return errors.New("a target without an address")
	}
	if t.TimeScale < 0 || math.IsNaN(t.TimeScale) || math.IsInf(t.TimeScale, 0) {
		return fmt.Errorf("a time scale of %v", t.TimeScale)
	}
	return nil
}
