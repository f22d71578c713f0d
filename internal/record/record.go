// Package record is the on-disk contract of a run: the types of every file that one process writes and another reads, and the
// paths where they stand. Submitter, agent and collector share no memory and no clock; these files are the protocol.
//
// Every file has one writer and is published whole. Readers tolerate unknown fields (a record may be newer than its reader)
// and treat what does not parse as not there yet. It decides nothing: what follows from records is search's and collect's.
package record

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Schema is the version of every record written by this build.
const Schema = 1

// Rate is a request rate in requests per second; +Inf sends everything at once. In JSON, infinity is the string "inf".
type Rate float64

// Inf is the infinite request rate.
var Inf = Rate(math.Inf(1))

// IsInf reports whether every request is sent at once.
func (r Rate) IsInf() bool { return math.IsInf(float64(r), 1) }

func (r Rate) String() string {
	if r.IsInf() {
		return "inf"
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 64)
}

func (r Rate) MarshalJSON() ([]byte, error) {
	if r.IsInf() {
		return []byte(`"inf"`), nil
	}
	return json.Marshal(float64(r))
}

func (r *Rate) UnmarshalJSON(data []byte) error {
	if string(data) == `"inf"` {
		*r = Inf
		return nil
	}
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("request rate %s: %w", data, err)
	}
	*r = Rate(f)
	return nil
}

// Load is what one observation offers a server: Requests sent at Rate. Where a Purpose is set, Requests is the most that may be
// sent: the run ends when its verdict is sure.
type Load struct {
	Rate     Rate    `json:"request_rate"`
	Requests int     `json:"requests"`
	Purpose  Purpose `json:"purpose,omitempty"`
	LetIn    int     `json:"let_in,omitempty"` // requests that a client-side queue lets into the server at once; 0: all
	// Capacity is what the server completes when it has more than it can do, at least, in requests/s; 0: not known. A verdict
	// rests on it: how slowly a queue forgets, and how high it can rise, depends on what is left of it.
	Capacity float64 `json:"capacity,omitempty"`
	// Likely is the highest request rate that exploring runs found to hold; what can be shown within a run's budget lies below.
	Likely float64 `json:"likely,omitempty"`
	// Seen are independent requests that runs at this rate and a little above have shown already, SeenBeyond those of them beyond
	// the limit: what holds at a higher rate holds here. Only where there is one limit.
	Seen       float64 `json:"seen,omitempty"`
	SeenBeyond float64 `json:"seen_beyond,omitempty"`
	// Beat is what another cell may hold: a run whose throughput is known to be less has said all that matters.
	Beat float64 `json:"beat,omitempty"`
}

func (l Load) String() string {
	if l.Purpose != "" {
		return fmt.Sprintf("%s at %s req/s", l.Purpose, l.Rate)
	}
	return fmt.Sprintf("%d requests at %s req/s", l.Requests, l.Rate)
}

// Purpose of a run of method vtune: what its answer is for, and so how sure it must be.
type Purpose string

const (
	Bound   Purpose = "bound"   // throughput at an infinite rate: above every rate that can be sustained
	Explore Purpose = "explore" // narrows the bracket; its verdict may be wrong now and then
	Confirm Purpose = "confirm" // as sure as the spec asks for; only such a pass is an answer
	Verify  Purpose = "verify"  // a claim's one run: as sure as that, and as long as it was asked to be
)

// Kind is what a job is for.
type Kind string

const (
	KindProbe   Kind = "probe"
	KindCell    Kind = "cell"
	KindProfile Kind = "profile"
	KindCollect Kind = "collect" // a link of the chain that collects without a person; its attempt is its number
)

// Verdict of an observation against the SLO.
type Verdict string

const (
	Pass    Verdict = "pass"
	Miss    Verdict = "miss"
	Unsure  Verdict = "unsure"  // valid, but the budget ended before the verdict was sure. Never counts as a pass
	Invalid Verdict = "invalid" // says nothing about the SLO; Cause says why. Never counts as a pass
)

// Cause says why something did not succeed; it means the same on a node and in the collector.
type Cause string

const (
	CauseNone      Cause = ""
	CauseOOM       Cause = "oom"         // the engine says that memory does not suffice
	CauseCrash     Cause = "crash"       // the server ended by itself
	CauseTimeout   Cause = "timeout"     // the server did not become healthy, or a load did not end, in the time given
	CausePort      Cause = "port"        // the port was taken by another process
	CauseFlags     Cause = "flags"       // the server refuses its arguments, model or environment: every start would fail
	CauseClient    Cause = "client"      // the load client failed or wrote nothing usable
	CauseRequests  Cause = "requests"    // requests failed or were lost: throughput and latency are of survivors only
	CauseTimeLimit Cause = "time-limit"  // the scheduler's time limit came
	CauseStopped   Cause = "stopped"     // the scheduler told the job to end (cancelled, preempted)
	CausePreempted Cause = "preempted"   // the scheduler took the node away for another job
	CauseRestart   Cause = "restart"     // the scheduler ran a job a second time; the agent refused
	CauseProbe     Cause = "probe"       // not run, because the probe failed
	CauseLost      Cause = "lost"        // the job is gone and left no result
	CauseNode      Cause = "node"        // the node failed
	CauseLaunch    Cause = "launch"      // the job could not be launched on its node
	CauseUnbegun   Cause = "not-begun"   // the allocation that was to run it ended before its turn
	CauseHostOOM   Cause = "host-oom"    // killed for host memory by the scheduler, not the accelerator's
	CauseRateLater Cause = "rate-search" // planned: rate_search is follow-up and the inf run is done
	CauseAgent     Cause = "agent"       // the agent itself failed (full disk, unreadable run directory)
)

// Cell is one combination of axis values.
type Cell struct {
	ID                  string `json:"id"` // "s128-t512": also its directory
	MaxNumSeqs          int    `json:"max_num_seqs"`
	MaxNumBatchedTokens int    `json:"max_num_batched_tokens"`
}

// CellID names a cell on disk and in job names.
func CellID(seqs, tokens int) string { return fmt.Sprintf("s%d-t%d", seqs, tokens) }

// Workload is the shape of every request. InputLen counts the shared prefix of InputLen*CacheHitPct/100 tokens.
type Workload struct {
	InputLen    int `json:"input_len"`
	OutputLen   int `json:"output_len"`
	CacheHitPct int `json:"cache_hit_pct"`
	VocabSize   int `json:"vocab_size,omitempty"` // ids that prompts may use; 0: found in the model's tokenizer
}

// PrefixLen is the shared prefix in tokens, by the script's integer division.
func (w Workload) PrefixLen() int { return w.InputLen * w.CacheHitPct / 100 }

// Policy is what a rate search must know of the spec.
type Policy struct {
	Method       string  `json:"method"`                // "auto_tune" or "vtune"
	LimitMS      float64 `json:"p99_e2el_ms,omitempty"` // the limit where it is the only one, on P99 E2EL; 0: none, or Limits says more
	InfRequests  int     `json:"inf_requests"`          // auto_tune: 1000
	RateRequests int     `json:"rate_requests"`         // auto_tune: 100; vtune: of the profile's load

	// Of method vtune:
	Limits     []Limit  `json:"limits,omitempty"`
	GoodputPct float64  `json:"goodput_pct,omitempty"` // so many % of the requests must be within all limits at once; 0: each limit by its own percentile
	Tolerance  float64  `json:"tolerance,omitempty"`   // of the request rate found, relative
	Test       Test     `json:"test,omitzero"`
	Prune      Prune    `json:"prune,omitempty"`
	Emulate    Emulate  `json:"emulate,omitempty"`
	Arrivals   Arrivals `json:"arrivals,omitzero"`

	Verify Verification `json:"verify,omitzero"` // in place of a search
}

// Verifies reports whether the question is one claim.
func (p Policy) Verifies() bool { return p.Verify.Rate > 0 }

// Verification is a claim and how long it is checked: that a server holds a rate within the limits, or without limits reaches it.
type Verification struct {
	Rate        float64 `json:"request_rate"`
	Seconds     float64 `json:"duration_s"`                       // of the load
	Utilization float64 `json:"gpu_memory_utilization,omitempty"` // that the claim is about; 0: what a probe finds
}

// Observation is one benchmark run at one load. Latencies in ms, throughput in requests (or tokens) per second, Seconds in s.
type Observation struct {
	Schema  int       `json:"schema"`
	Cell    string    `json:"cell"`
	Attempt int       `json:"attempt"`
	Seq     int       `json:"seq"` // counts from 1 within an attempt
	Load    Load      `json:"load"`
	Client  string    `json:"client"` // "vllm" or "vtune"
	Seed    int64     `json:"seed"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Verdict Verdict   `json:"verdict"`
	Cause   Cause     `json:"cause,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Metrics Metrics   `json:"metrics"`

	// Of method vtune: what the steady state says (see internal/verdict), and what later questions are answered from.
	Steady     *Steady           `json:"steady,omitempty"`
	Standings  []Standing        `json:"standings,omitempty"`      // in the order of Policy.Limits; the joint one alone under a goodput
	Emulated   bool              `json:"emulated,omitempty"`       // made on the server of another max-num-seqs, behind a client-side queue
	Histograms map[string]string `json:"histograms,omitempty"`     // by metric: compressed HDR histogram of µs, base64
	Timelines  string            `json:"timelines_file,omitempty"` // every request's times, relative to the run

	// In a crew: Neighbours are other jobs that were under way on the node when the run began. Alone is a repetition made when all of
	// them were over, to compare with; no search takes it for an answer.
	Neighbours int  `json:"neighbours,omitempty"`
	Alone      bool `json:"alone,omitempty"`

	RawFile  string `json:"raw_file,omitempty"` // the client's own JSON, relative to the run
	LogFile  string `json:"log_file,omitempty"` // the client's log, relative to the run
	Complete bool   `json:"complete"`           // written last; a reader ignores a record without it
}

// Metrics are a load client's numbers, defined as `vllm bench serve` defines them. All zero when the client wrote none.
type Metrics struct {
	Completed         int     `json:"completed"`
	Failed            int     `json:"failed"`
	Seconds           float64 `json:"duration_s"`
	RequestThroughput float64 `json:"request_throughput"`
	RequestGoodput    float64 `json:"request_goodput"`
	OutputThroughput  float64 `json:"output_throughput"`
	TotalInputTokens  int     `json:"total_input_tokens"`
	TotalOutputTokens int     `json:"total_output_tokens"`
	TTFT              Latency `json:"ttft_ms"`
	TPOT              Latency `json:"tpot_ms"`
	ITL               Latency `json:"itl_ms"`
	E2EL              Latency `json:"e2el_ms"`
}

// Latency of one metric in ms.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
}

// Ledger says where the time of an attempt went, in seconds by activity. Activities are disjoint; what is left of the
// attempt's wall time is "other".
type Ledger map[string]float64

// The activities of a Ledger.
const (
	SpendStarting = "starting"        // server start to healthy (or failed)
	SpendClient   = "client start-up" // load client's wall time outside its load
	SpendCheck    = "self-check"      // the short load that compares nodes
	SpendDraining = "draining"        // method vtune, between loads: until nothing runs, and cache reset
	SpendWaiting  = "waiting"         // between loads: draining, cache reset; after a stop request
	SpendMeasured = "measured"        // under load
	SpendProfile  = "profile"         // writing the profiler's trace
	SpendStopping = "stopping"        // server stop
	SpendOther    = "other"
)

// Outcome of an attempt.
type Outcome string

const (
	OutcomeDone     Outcome = "done"     // nothing is left to do for this unit of work
	OutcomeContinue Outcome = "continue" // cut off or planned: a follow-up goes on from the observations
	OutcomeFailed   Outcome = "failed"   // did not succeed; Cause says whether another attempt makes sense
	OutcomeSkipped  Outcome = "skipped"  // rightly not run
)

// Start is one start of a server.
type Start struct {
	Utilization float64 `json:"gpu_memory_utilization,omitempty"`
	OK          bool    `json:"ok"`
	Cause       Cause   `json:"cause,omitempty"`
	Message     string  `json:"message,omitempty"`    // the engine's own error
	Free        float64 `json:"free_share,omitempty"` // of the accelerator's memory, as a failed start named it, 0 to 1
	Seconds     float64 `json:"seconds"`
	LogFile     string  `json:"log_file,omitempty"` // relative to the run
}

// Result is an attempt's last word; its presence is the commit of the attempt.
type Result struct {
	Schema        int       `json:"schema"`
	Run           string    `json:"run"`
	Job           string    `json:"job"`
	Kind          Kind      `json:"kind"`
	Cell          string    `json:"cell,omitempty"`
	Attempt       int       `json:"attempt"`
	Outcome       Outcome   `json:"outcome"`
	Cause         Cause     `json:"cause,omitempty"`
	Message       string    `json:"message,omitempty"`
	Utilization   float64   `json:"gpu_memory_utilization,omitempty"` // probe: the highest that survived; cell: what its observations were made with
	ServerVersion string    `json:"server_version,omitempty"`
	Starts        []Start   `json:"starts,omitempty"`
	Observations  int       `json:"observations"`
	Profile       []string  `json:"profile,omitempty"` // trace files, relative to the run
	Ledger        Ledger    `json:"ledger_s,omitempty"`
	Node          string    `json:"node,omitempty"`
	SchedulerID   string    `json:"scheduler_id,omitempty"`
	Started       time.Time `json:"started"`
	Ended         time.Time `json:"ended"`
	Complete      bool      `json:"complete"`
}

// Attempt is written when an attempt's directory has been claimed: who runs it, where.
type Attempt struct {
	Schema      int       `json:"schema"`
	Job         string    `json:"job"`
	Node        string    `json:"node"`
	PID         int       `json:"pid"`
	SchedulerID string    `json:"scheduler_id,omitempty"` // of the unit: for a task of an array, the array's id
	Step        string    `json:"step,omitempty"`         // of that unit's allocation, in which a crew runs the job
	GPUs        string    `json:"gpus,omitempty"`         // CUDA_VISIBLE_DEVICES as the scheduler set it
	Hardware    *Hardware `json:"hardware,omitempty"`     // before any load
	Started     time.Time `json:"started"`
}

// Event is one publication, as a tiny file in events/: one directory to list and to watch.
type Event struct {
	At     time.Time `json:"at"`
	Job    string    `json:"job"`
	Kind   Kind      `json:"kind"`
	Cell   string    `json:"cell,omitempty"`
	What   string    `json:"what"` // started, server-starting, server-up, load, observation, waiting, profile, result
	Detail string    `json:"detail,omitempty"`
}
