package record

import "time"

// State is what a run's directory says at one moment: a pure function of the records, cached as state.json. Deleting the file
// and collecting again gives identical bytes, so it holds no time of its own and nothing that only the scheduler knows.
type State struct {
	Schema        int         `json:"schema"`
	Run           string      `json:"run"`
	Phase         Phase       `json:"phase"`
	Policy        Policy      `json:"policy"`
	ServerVersion string      `json:"server_version,omitempty"`
	Utilization   float64     `json:"gpu_memory_utilization,omitempty"`
	Probe         WorkState   `json:"probe"`
	Cells         []CellState `json:"cells"` // grid order
	Profile       WorkState   `json:"profile"`
	ProfileFiles  []string    `json:"profile_files,omitempty"`
	Best          *Best       `json:"best,omitempty"`
	Ledger        Ledger      `json:"ledger_s,omitempty"`
	Accelerators  int         `json:"accelerators,omitempty"` // that a job holds; 0: none, or not known
	Packed        []Beside    `json:"packed,omitempty"`       // what cells lost by sharing their node
	Nodes         []NodeState `json:"nodes,omitempty"`        // by name, those that attempts told of
	Warnings      []string    `json:"warnings,omitempty"`     // what a reader of the answer must know, as that emulation did not hold
}

// Phase of a run.
type Phase string

const (
	PhaseProbing   Phase = "probing"
	PhaseMeasuring Phase = "measuring"
	PhaseProfiling Phase = "profiling"
	PhaseOver      Phase = "over"
	PhaseCancelled Phase = "cancelled"
)

// Over reports whether nothing more will happen.
func (p Phase) Over() bool { return p == PhaseOver || p == PhaseCancelled }

// WorkPhase is where one unit of work (the probe, a cell, the profile) stands.
type WorkPhase string

const (
	WorkWaiting  WorkPhase = "waiting"   // no attempt has started
	WorkRunning  WorkPhase = "running"   // an attempt has started and has no result
	WorkFollowUp WorkPhase = "follow-up" // needs another attempt, which has not started
	WorkDone     WorkPhase = "done"
	WorkFailed   WorkPhase = "failed"
	WorkSkipped  WorkPhase = "skipped"
)

// Final reports whether no further attempt will be made.
func (p WorkPhase) Final() bool { return p == WorkDone || p == WorkFailed || p == WorkSkipped }

// WorkState is the probe's, a cell's or the profile's standing.
type WorkState struct {
	Phase    WorkPhase      `json:"phase"`
	Cause    Cause          `json:"cause,omitempty"`   // of a failure or skip
	Message  string         `json:"message,omitempty"` // in the server's or scheduler's own words
	Attempts []AttemptState `json:"attempts,omitempty"`
	// Failures are attempts that ended as the last one did and had observed nothing; with MostFailures of them the work is given up.
	Failures     int `json:"failures,omitempty"`
	MostFailures int `json:"failures_allowed,omitempty"`
}

// AttemptState is one attempt as the directory shows it.
type AttemptState struct {
	Job       string  `json:"job"`
	Attempt   int     `json:"attempt"`
	Submitted string  `json:"submitted,omitempty"` // the scheduler's id, with the task of an array or the step of a crew
	Node      string  `json:"node,omitempty"`
	Started   bool    `json:"started"`
	Outcome   Outcome `json:"outcome,omitempty"` // empty: no result
	Cause     Cause   `json:"cause,omitempty"`
	Message   string  `json:"message,omitempty"`
	Ended     bool    `json:"ended"` // has a result, or the collector noted its end
	ServerLog string  `json:"server_log,omitempty"`
	Starts    []Start `json:"starts,omitempty"` // of servers, in order
	Observed  int     `json:"observed"`
	Seconds   float64 `json:"seconds,omitempty"` // wall time, once there is a result
	// SubmittedAt is when its unit was acknowledged, StartedAt when it began. EndedAt is what its result says, or else when the collector
	// noted that it had ended, which is later.
	SubmittedAt time.Time `json:"submitted_at,omitzero"`
	StartedAt   time.Time `json:"started_at,omitzero"`
	EndedAt     time.Time `json:"ended_at,omitzero"`
	// Slow is by how much the time that its node takes is above the other nodes', where it is an outlier; Throttled what its GPUs
	// said under load that makes them slow, or wrong.
	Slow      float64  `json:"slow,omitempty"`
	Throttled []string `json:"throttled,omitempty"`
}

// CellState is a cell's standing.
type CellState struct {
	Cell
	WorkState
	Observations []Observation `json:"observations,omitempty"` // in the order they were made
	Accepted     *Observation  `json:"accepted,omitempty"`     // the observation that is the cell's answer

	// Of method vtune:
	Emulated    bool    `json:"emulated,omitempty"`               // all that is known was measured on another cell's server; never the winner
	Left        bool    `json:"left,omitempty"`                   // not measured to its end, because it cannot win; Message says by what
	Bound       float64 `json:"bound,omitempty"`                  // of a cell that was left: its request rate (or throughput) is below this
	Utilization float64 `json:"gpu_memory_utilization,omitempty"` // where an out-of-memory under load made it lower than the probe's
}

// Feasible is what one attempt tells the others: its cell holds Rate within the limits (or reaches it, without limits). Where it is
// not confirmed, exploring runs found it likely.
type Feasible struct {
	Schema    int     `json:"schema"`
	Cell      string  `json:"cell"`
	Rate      float64 `json:"request_rate"`
	Likely    float64 `json:"likely,omitempty"` // what it may hold, where that is more than could be confirmed
	Confirmed bool    `json:"confirmed"`
}

// Best is the run's answer.
type Best struct {
	Cell        Cell        `json:"cell"`
	Observation Observation `json:"observation"`
}
