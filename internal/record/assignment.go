package record

import "time"

// Assignment tells one attempt what to do. It carries argv lists, so that no vLLM flag passes through bash.
type Assignment struct {
	Schema   int      `json:"schema"`
	Run      string   `json:"run"` // run id
	Job      string   `json:"job"`
	Kind     Kind     `json:"kind"`
	Cell     Cell     `json:"cell"`    // for the probe: the largest values of each axis
	Attempt  int      `json:"attempt"` // counts from 1 within a cell (or the probe, or the profile)
	Server   Server   `json:"server"`
	Workload Workload `json:"workload"`
	Policy   Policy   `json:"policy"`
	Client   string   `json:"client"` // "vllm" or "vtune"
	Seed     int64    `json:"seed"`

	// GPUs are what the scheduler gives the job on each node; 0: none, or it does not deal them out. An attempt that finds none given to
	// it would take another's.
	GPUs int `json:"gpus,omitempty"`
	// Secrets are names of variables whose values must stand in no record and no log that others can read.
	Secrets []string `json:"secrets,omitempty"`
	// Utilization is the gpu-memory-utilization to start with; 0 means: read the probe's result when the job starts.
	Utilization float64 `json:"gpu_memory_utilization,omitempty"`
	// StopAfterInf ends the attempt after the inf run (rate_search: follow-up).
	StopAfterInf bool `json:"stop_after_inf,omitempty"`
	// Known are the observations of earlier attempts; the search goes on from there.
	Known []Observation `json:"known,omitempty"`
	// Emulates are further cells that this job's server answers for, behind a client-side queue: same max-num-batched-tokens,
	// fewer max-num-seqs. Cell itself comes first.
	Emulates []Cell `json:"emulates,omitempty"`
	// Riders are jobs whose work goes on on the server that this one started (the probe's: the first cell).
	Riders []string `json:"riders,omitempty"`
	// TraceWinner lets a cell that confirmed the best rate so far trace a load before its server ends.
	TraceWinner bool `json:"trace_winner,omitempty"`
	// Hint is a request rate around which to look first, from what is known of other cells or of an emulation; 0: none.
	Hint float64 `json:"hint,omitempty"`
	// Check is the self-check before the first load; nil: none is made.
	Check *CheckLoad `json:"check,omitempty"`

	// Profile is the load to profile (Kind profile).
	Profile *Load `json:"profile,omitempty"`
	// ProfileIterations bounds the trace; 0 means unbounded. Set by default on CPU, where a trace takes minutes to write.
	ProfileIterations int `json:"profile_iterations,omitempty"`
}

// ProfileTarget is the winner: which cell to profile, at which load.
type ProfileTarget struct {
	Cell Cell `json:"cell"`
	Load Load `json:"load"`
}

// Server is how vLLM is started; the flags that vtune sets itself are not in Flags.
type Server struct {
	Command             []string          `json:"command"`          // executable or prefix, e.g. ["vllm"]
	Launch              string            `json:"launch,omitempty"` // program that starts the command on every node, absolute or relative to the run; empty: one node
	Environment         map[string]string `json:"environment,omitempty"`
	Flags               []string          `json:"flags,omitempty"`
	Model               string            `json:"model"`
	System              string            `json:"system"` // GPU, TPU or CPU
	TensorParallel      int               `json:"tensor_parallel"`
	PipelineParallel    int               `json:"pipeline_parallel,omitempty"` // stages; 0: one
	Nodes               int               `json:"nodes,omitempty"`             // that one server spans; 0: one
	DownloadDir         string            `json:"download_dir,omitempty"`
	MaxModelLen         int               `json:"max_model_len"`
	StartTimeoutSeconds float64           `json:"start_timeout_s"`
}

// Resources that a job asks its scheduler for.
type Resources struct {
	GPUs    int `json:"gpus"`            // on each node
	Nodes   int `json:"nodes,omitempty"` // 0: one
	CPUs    int `json:"cpus,omitempty"`
	MemMB   int `json:"memory_mb,omitempty"`
	Seconds int `json:"time_s,omitempty"` // time limit; 0: the scheduler's default
}

// When is the semantics of an edge: what must have happened to the job it points at.
type When string

const (
	AfterOK  When = "after-ok"
	AfterAny When = "after-any"
)

// Edge is a dependency on another job, or on all jobs of an array (then Job is the unit's ID).
type Edge struct {
	Job  string `json:"job"`
	When When   `json:"when"`
}

// Job is what a scheduler runs: one attempt of one unit of work. Its ID is unique in the run and deterministic.
type Job struct {
	ID        string    `json:"id"`
	Kind      Kind      `json:"kind"`
	Cell      string    `json:"cell,omitempty"`
	Attempt   int       `json:"attempt"`
	Emulates  []string  `json:"emulates,omitempty"` // further cells that its server answers for
	Needs     []Edge    `json:"needs,omitempty"`
	Resources Resources `json:"resources"`
	Avoid     []string  `json:"avoid,omitempty"` // nodes that an earlier attempt had bad luck with
}

// Unit is what is submitted in one go: a single job (ID is the job's), or an array of jobs of one shape.
type Unit struct {
	ID       string `json:"id"`
	Jobs     []Job  `json:"jobs"`
	Throttle int    `json:"throttle,omitempty"` // at most so many of the array at once; 0: no limit
	// Riders are jobs that are not submitted: their work is done inside the unit's first job, on the server that it has up.
	Riders []Job `json:"riders,omitempty"`
	// Delay is how long after its submission the unit starts at the earliest, in s.
	Delay int `json:"delay_s,omitempty"`
	// Crew makes the unit one allocation in which its jobs run side by side, as steps.
	Crew *Crew `json:"crew,omitempty"`
}

// Crew is how an allocation works off the jobs that are put into it.
type Crew struct {
	Slots int `json:"slots"` // jobs at once
	Nodes int `json:"nodes"` // of the allocation
	// Pool makes the allocation one of several that take their jobs from one queue; its unit's jobs are what it was put out for.
	Pool bool `json:"pool,omitempty"`
	Feed bool `json:"feed"` // it goes on taking jobs from the run's queue when its own are done (site.shape: one-job)
}

// Array reports whether the unit goes out as an array.
func (u Unit) Array() bool {
	return u.Crew == nil && (len(u.Jobs) > 1 || len(u.Jobs) == 1 && u.ID != u.Jobs[0].ID)
}

// Plan is what a run intends, fixed at submit.
type Plan struct {
	Schema     int    `json:"schema"`
	Policy     Policy `json:"policy"`
	RateSearch string `json:"rate_search"`     // in-job or follow-up
	Shape      Shape  `json:"shape,omitempty"` // of method vtune
	// Profile says where the winner's trace is from; empty, as auto_tune has it unless none is wanted: from a job of its own.
	Profile Profiling `json:"profile,omitempty"`
	// RepeatOutliers has cells that were measured on a node which the run found to be slow measured again elsewhere, once.
	RepeatOutliers bool `json:"repeat_outliers,omitempty"`
	// MaxParallel cells may run at once, over all units of the run; 0: no limit, or one that the scheduler keeps by itself.
	MaxParallel int    `json:"max_parallel,omitempty"`
	Cells       []Cell `json:"cells"` // grid order: the order of result.txt
	Units       []Unit `json:"units"`
	Counts      Counts `json:"counts"`
	// Warnings are what a reader of an imported run's numbers must know.
	Warnings []string `json:"warnings,omitempty"`
}

// Shape of a run: what a job is.
type Shape string

const (
	ShapeCells   Shape = "cells"   // a job, a server, a log for each cell: the shortest wall clock
	ShapeColumns Shape = "columns" // a job for each max-num-batched-tokens: the least accelerator time
)

// Profiling says which server the winner's trace comes from.
type Profiling string

const (
	ProfileConfirm  Profiling = "confirm"   // the one that confirmed the winner, as its last act
	ProfileOwnStart Profiling = "own-start" // one that is started for it
	ProfileNone     Profiling = "none"      // there is no trace
)

// Counts are what a run may cost. Nothing is measured yet, so they rest on an assumed throughput at an infinite rate (req/s).
type Counts struct {
	ServerStarts      Range   `json:"server_starts"`
	BenchmarkRuns     Range   `json:"benchmark_runs"`
	AssumedThroughput float64 `json:"assumed_inf_throughput"`
	// Shapes are what a run of method vtune may cost in either shape; the fields above are those of the plan's own.
	Shapes []ShapeCounts `json:"shapes,omitempty"`
}

// ShapeCounts are what a run of one shape may cost. Times are expected ones, in s: of an accelerator each for the whole run, and
// of a job for the first, which probes, and for one of the others, which wait for it.
type ShapeCounts struct {
	Shape         Shape   `json:"shape"`
	Jobs          int     `json:"jobs"` // that are planned; follow-ups are not among them
	ServerStarts  Range   `json:"server_starts"`
	BenchmarkRuns Range   `json:"benchmark_runs"`
	Accelerator   float64 `json:"accelerator_s"`
	FirstJob      float64 `json:"first_job_s"`
	OtherJob      float64 `json:"other_job_s"`
	FollowUp      float64 `json:"follow_up_s"` // at the end, on one server
}

// Range of a count: Expected when things go as assumed, Worst with everything going wrong that can, restarts by failures aside.
type Range struct {
	Expected int `json:"expected"`
	Worst    int `json:"worst"`
}

// Run identifies one tuning; run.json is written when the run directory is whole.
type Run struct {
	Schema      int       `json:"schema"`
	ID          string    `json:"id"`
	Created     time.Time `json:"created"`
	Program     string    `json:"program"` // the name vtune was called by, for printed next commands
	Version     string    `json:"version"`
	AgentSHA256 string    `json:"agent_sha256"`
	SpecSHA256  string    `json:"spec_sha256"`
	User        string    `json:"user"`
	Host        string    `json:"host"`
	Scheduler   string    `json:"scheduler"`
	Slots       int       `json:"slots,omitempty"`  // GPU slots of the local scheduler
	Bucket      string    `json:"bucket,omitempty"` // gs://bucket/path of the run; empty: its directory is all there is
}

// Intent is written before a unit is submitted: from here on the unit may exist at the scheduler.
type Intent struct {
	Schema int       `json:"schema"`
	Name   string    `json:"name"` // the scheduler-visible, deterministic name
	Unit   Unit      `json:"unit"`
	At     time.Time `json:"at"`
}

// Submitted is written when the scheduler has acknowledged a unit.
type Submitted struct {
	Schema  int       `json:"schema"`
	Name    string    `json:"name"`
	ID      string    `json:"id"` // the scheduler's id; task i of an array is ID_i
	Cluster string    `json:"cluster,omitempty"`
	Crew    string    `json:"crew,omitempty"`    // the unit in whose allocation, of that id, a crew does the work
	Adopted bool      `json:"adopted,omitempty"` // found by name after an ambiguous answer or a crash
	At      time.Time `json:"at"`
}

// Ended is the collector's note that a job is over for its scheduler and left no result.
type Ended struct {
	Schema   int       `json:"schema"`
	Job      string    `json:"job"`
	Cause    Cause     `json:"cause"`
	State    string    `json:"state"` // the scheduler's word
	Reason   string    `json:"reason,omitempty"`
	ExitCode string    `json:"exit_code,omitempty"`
	Node     string    `json:"node,omitempty"`
	At       time.Time `json:"at"`
}

// Cancelled marks a run that a person ended; the collector submits nothing more.
type Cancelled struct {
	Schema int       `json:"schema"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}
