package record

import (
	"fmt"
	"time"
)

// This file is the contract between a crew (one allocation that works off several jobs, see Crew), the jobs that it runs as steps,
// and whoever collects.

// CrewOrder tells a crew what to do: crew.json, written before the crew is submitted.
type CrewOrder struct {
	Schema int    `json:"schema"`
	Run    string `json:"run"`
	Unit   Unit   `json:"unit"`
	// GPUs is srun's option for the share of one job; empty: none are asked for.
	GPUs string `json:"gpus_option,omitempty"`
	// CPUs and MemMB of one job; 0: an equal share of what the allocation has.
	CPUs  int `json:"cpus,omitempty"`
	MemMB int `json:"memory_mb,omitempty"`
	// Pool is where the machine finds run and queue; nil: the allocation has the run directory at hand.
	Pool *PoolOrder `json:"pool,omitempty"`
}

// PerNode is how many jobs a node of the crew runs at once, at most.
func (c Crew) PerNode() int {
	nodes := max(c.Nodes, 1)
	return max((c.Slots+nodes-1)/nodes, 1)
}

// Step is how a job fares in its crew: published by the crew when it has begun the job, and again when it is over.
type Step struct {
	Schema    int       `json:"schema"`
	Job       string    `json:"job"`
	Crew      string    `json:"crew"`
	Begun     time.Time `json:"begun,omitzero"` // zero: taken out before its turn
	Ended     time.Time `json:"ended,omitzero"`
	ExitCode  string    `json:"exit_code,omitempty"` // "code:signal", once it is over
	Cancelled bool      `json:"cancelled,omitempty"` // over because a collector wants nothing of it any more
	Cause     Cause     `json:"cause,omitempty"`     // why it is over, where its machine knows better than an exit code
}

// Over reports whether the crew is through with the job.
func (s Step) Over() bool { return !s.Ended.IsZero() }

// Aboard is which jobs a crew runs at the moment.
type Aboard struct {
	Schema  int   `json:"schema"`
	Jobs    []Job `json:"jobs"`
	Waiting int   `json:"waiting"` // that it has not begun yet
	Closed  bool  `json:"closed"`  // it begins nothing more
}

// Beside compares a run at an infinite rate that a cell made beside others on its node with the same run when it was alone there.
type Beside struct {
	Cell   string  `json:"cell"`
	Others int     `json:"others"`     // jobs on the node when the first run began
	Packed float64 `json:"packed_rps"` // requests completed per second beside them
	Alone  float64 `json:"alone_rps"`
	Within float64 `json:"within"` // of the two, the less certain is known to so much, relative; 0: not known
}

// Less is the share of its throughput that the cell lost beside others; below 0: it had more.
func (b Beside) Less() float64 { return 1 - b.Packed/b.Alone }

func (b Beside) String() string {
	others, change := fmt.Sprintf("%d others", b.Others), fmt.Sprintf("%.1f %% less", 100*b.Less())
	if b.Others == 1 {
		others = "1 other"
	}
	if b.Less() < 0 {
		change = fmt.Sprintf("%.1f %% more", -100*b.Less())
	}
	if b.Within > 0 {
		change += fmt.Sprintf(" (each known to %.1f %%)", 100*b.Within)
	}
	return fmt.Sprintf("%s completed %.2f req/s beside %s and %.2f alone: %s", b.Cell, b.Packed, others, b.Alone, change)
}

func (d Dir) CrewOrder(unit string) string { return d.path("jobs", unit, "crew.json") }
func (d Dir) CrewBegun(unit string) string { return d.path("jobs", unit, "begun") } // made by mkdir: the crew's claim to run once
func (d Dir) Aboard(unit string) string    { return d.path("jobs", unit, "aboard.json") }
func (d Dir) Step(job string) string       { return d.path("jobs", job, "step.json") }
func (d Dir) Unwanted(job string) string   { return d.path("jobs", job, "unwanted.json") } // a collector's wish that the job not be done

// Through is the folder in which the jobs of a crew say that their searches are over; QuietNode is the claim to measure alone on a node.
func (d Dir) Through(unit string) string         { return d.path("jobs", unit, "through") }
func (d Dir) QuietNode(unit, node string) string { return d.path("jobs", unit, "alone-"+node) }

// Queue is the folder of jobs that a crew shall work off after its own; they are taken in the order of their names.
func (d Dir) Queue(unit string) string { return d.path("queue", unit) }

func (d Dir) Queued(unit string, n int, job string) string {
	return d.path("queue", unit, fmt.Sprintf("%06d-%s.json", n, job))
}
