package load

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"time"
)

// Workload is what to send: Requests prompts of PrefixLen shared and InputLen own tokens each, answered by OutputLen tokens.
type Workload struct {
	Model      string
	Requests   int
	Rate       float64 // requests per second; +Inf sends all at once
	Burstiness float64 // shape of the gamma intervals: 1 is Poisson, +Inf is constant; 0 means 1
	Rescale    bool    // stretch the arrivals so that the last one is at Requests/Rate, as vllm bench does
	Seed       uint64  // of arrivals and prompts

	// Closed keeps so many requests in flight all the time; Rate and Burstiness are ignored, and a request is due when it is
	// sent. 0: an open loop.
	Closed int
	// LetIn is a queue in front of the server, first come, first served, that lets so many in at once: a smaller
	// max-num-seqs than the server has. Requests stay due when the schedule says. 0: all are let in.
	LetIn int
	// MaxDuration leaves out what is due later than this: the run is complete with fewer requests. 0: no limit.
	MaxDuration time.Duration

	InputLen  int
	PrefixLen int
	OutputLen int
	IDs       []int // token ids to draw prompts from; empty: Vocab
	Vocab     int   // token ids are drawn below it; 0 means 10,000

	Temperature *float64       // nil leaves it to the server
	IgnoreEOS   bool           // without it a random prompt's answer has a random length
	ExtraBody   map[string]any // further fields of the request; they win

	From        Clock // of latencies; empty: FromDue
	Goodput     []Objective
	Percentiles []float64 // reported beside mean, median and deviation; 0 to 100
}

// Clock is from when a latency counts.
type Clock string

const (
	// FromDue counts what a user waits whose request comes when it comes. A client that waits for a place, or is late,
	// cannot make the server look fast.
	FromDue Clock = "due"
	// FromSent counts what the server was given to see, as `vllm bench serve` does.
	FromSent Clock = "sent"
)

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
	// TimeScale is the number of virtual seconds that pass on the server in one real second: schedules are divided by it,
	// reported times multiplied. 0 means 1, a server of this world.
	TimeScale float64

	dial func() (net.Conn, error) // tests: a connection in memory
}

// Report is one observation. Requests are in the order of their arrival.
type Report struct {
	Requests []Timeline
	Summary  Summary
	Stopped  bool // a Watch ended it
}

// Timeline is one request. Times are virtual, whole microseconds, and count from the start of the run; Sent, First and Done
// are zero for what did not happen.
type Timeline struct {
	Due          time.Duration // by the schedule
	Held         time.Duration // of the time from Due to Sent: spent waiting to be let in
	Sent         time.Duration // when the client began to send it
	First        time.Duration // first chunk of output
	Done         time.Duration // last chunk of output; of a request that failed or was cut off, when that was
	Gaps         []uint32      // µs between neighbouring chunks; complete once it is done
	PromptTokens int           // as sent
	OutputTokens int           // by the server's usage, else the number of chunks
	Error        string        // why it failed
	Aborted      bool          // cut off, or never sent, because the run ended: neither failed nor completed
}

// OK reports whether the request was answered in full.
func (t Timeline) OK() bool { return t.Error == "" && !t.Aborted && t.Done > 0 }

const (
	defaultVocab    = 10_000
	defaultEndpoint = "/v1/completions"

	// maxRate is the most requests per real second that one process sends on schedule; a client that can only be late would
	// measure itself.
	maxRate = 20_000
)

// check refuses what would silently measure something else.
func (w Workload) check() error {
	switch {
	case w.Requests < 1:
		return fmt.Errorf("a load of %d requests", w.Requests)
	case w.Closed < 0:
		return fmt.Errorf("a closed loop of %d requests", w.Closed)
	case w.Closed == 0 && !(w.Rate > 0):
		return fmt.Errorf("a rate of %v requests per second", w.Rate)
	case w.Burstiness < 0 || math.IsNaN(w.Burstiness):
		return fmt.Errorf("a burstiness of %v", w.Burstiness)
	case w.InputLen < 0 || w.PrefixLen < 0 || w.InputLen+w.PrefixLen < 1:
		return fmt.Errorf("a prompt of %d and %d tokens", w.PrefixLen, w.InputLen)
	case w.OutputLen < 1:
		return fmt.Errorf("an output of %d tokens", w.OutputLen)
	case w.Vocab < 0 || w.Vocab == 1 || len(w.IDs) == 1:
		return fmt.Errorf("a vocabulary of %d tokens", max(w.Vocab, len(w.IDs)))
	case w.LetIn < 0:
		return fmt.Errorf("%d requests let in", w.LetIn)
	case w.MaxDuration < 0:
		return fmt.Errorf("a duration of at most %v", w.MaxDuration)
	case w.From != "" && w.From != FromDue && w.From != FromSent:
		return fmt.Errorf("latencies from %q: it is %q or %q", w.From, FromDue, FromSent)
	}
	for _, id := range w.IDs {
		if id < 0 {
			return fmt.Errorf("a token id of %d", id)
		}
	}
	for _, p := range w.Percentiles {
		if !(p >= 0 && p <= 100) {
			return fmt.Errorf("a percentile of %v", p)
		}
	}
	return nil
}

func (t Target) check() error {
	if t.BaseURL == "" && t.UnixSocket == "" && t.dial == nil {
		return errors.New("a target without an address")
	}
	if t.TimeScale < 0 || math.IsNaN(t.TimeScale) || math.IsInf(t.TimeScale, 0) {
		return fmt.Errorf("a time scale of %v", t.TimeScale)
	}
	return nil
}

// scale is the time scale, defaulted.
func (t Target) scale() float64 {
	if t.TimeScale == 0 {
		return 1
	}
	return t.TimeScale
}

func check(t Target, w Workload) error {
	if err := errors.Join(t.check(), w.check()); err != nil {
		return err
	}
	if rate := w.Rate * t.scale(); w.Closed == 0 && rate > maxRate && !math.IsInf(rate, 1) {
		return fmt.Errorf("%g requests per second are more than a client can send on schedule (%d): ask for less, or for all at once", rate, maxRate)
	}
	return nil
}
