// Package jobs turns a spec into a plan (pure), and a plan into jobs at a scheduler through the port that it declares here.
// It renders nothing and measures nothing. Adapters: jobs/slurm, jobs/local, jobs/tpu; their conformance suite: jobs/jobstest.
package jobs

import (
	"context"
	"errors"
	"time"

	"vtune/internal/record"
)

// Scheduler runs scripts. Implementations are safe for use by one goroutine at a time.
//
// Errors of every method wrap one of the kinds below where they apply; an error without a kind is the caller's to report.
type Scheduler interface {
	// Capabilities asks the scheduler what it can do. It may look at the cluster; it changes nothing.
	Capabilities(ctx context.Context) (Capabilities, error)
	// Submit hands over one unit. It is NOT idempotent: after ErrAmbiguous the caller must look the name up with List before it
	// submits again. An unmet After never makes it fail, but where Capabilities say that there are no Dependencies any After is refused.
	Submit(ctx context.Context, r Request) (Handle, error)
	// List reports every job of a run that the scheduler still knows, finished ones included as long as it remembers them: one
	// Status for a single job, one for each task of an array. One query, whatever the number of jobs. A job that is not listed
	// is unknown, which is neither success nor failure. An error says nothing about any job.
	List(ctx context.Context, run string) ([]Status, error)
	// Cancel ends the given jobs and nothing else. Idempotent: an unknown or finished job is no error. It returns when the
	// scheduler has accepted the request, not when the jobs have ended.
	Cancel(ctx context.Context, ids []Handle) error
}

var (
	// ErrRefused: the scheduler will never take this request; nothing was submitted.
	ErrRefused = errors.New("the scheduler refused")
	// ErrBackpressure: not now (submit limits); nothing was submitted.
	ErrBackpressure = errors.New("the scheduler takes no more jobs now")
	// ErrUnavailable: the scheduler could not be reached; nothing was submitted.
	ErrUnavailable = errors.New("the scheduler cannot be reached")
	// ErrAbsent comes with ErrUnavailable where waiting does not help: the scheduler's commands are not installed here.
	ErrAbsent = errors.New("it is not installed here")
	// ErrAmbiguous: the request may or may not have been accepted.
	ErrAmbiguous = errors.New("the scheduler may have accepted the job")
)

// Capabilities of a scheduler.
type Capabilities struct {
	Dependencies bool // honours Request.After by itself
	MaxArray     int  // greatest number of tasks in an array; 0: no arrays
	// MaxSubmit is how many jobs (each task of an array counts) may be in the queue at once; 0: no limit is known.
	MaxSubmit int
	// Remembers is how long a finished job stays in List; 0: for as long as the run exists.
	Remembers time.Duration
}

// Request is one unit to submit. The script carries the site's directives; what stands here is what the protocol needs.
type Request struct {
	Run      string // run id
	Name     string // deterministic, unique: record.JobName
	Script   string // absolute path
	Log      string // absolute path for the script's stdout and stderr; an array replaces %a by the task number
	WorkDir  string // absolute
	Tasks    int    // 0: a single job; n: an array with tasks 0..n-1
	Throttle int    // array: at most so many at once; 0: no limit
	After    []Dependency
	// Exclude are nodes that the job must not run on, beside those that the script excludes by itself.
	Exclude []string
	// Begin is how long from now the job starts at the earliest.
	Begin     time.Duration
	Resources record.Resources // the local scheduler's slots and time limit; on Slurm the directives say it
}

// Dependency on something already submitted. Task < 0 means the whole unit.
type Dependency struct {
	On   Handle
	Task int
	When record.When
}

// Handle is a scheduler's own id of what was submitted.
type Handle struct {
	ID      string
	Cluster string
}

// JobState is the scheduler's view of a job, reduced to what a decision needs.
type JobState string

const (
	Pending   JobState = "pending"
	Running   JobState = "running"
	Completed JobState = "completed" // exit code 0; says nothing about a result
	Failed    JobState = "failed"    // exit code not 0
	Cancelled JobState = "cancelled"
	Orphaned  JobState = "orphaned" // never ran: a dependency of it could not be satisfied any more
	TimedOut  JobState = "timed-out"
	NodeFail  JobState = "node-fail" // node failed
	NoLaunch  JobState = "no-launch" // launch failed, boot failed: nothing of the script ran
	Preempted JobState = "preempted"
	HostOOM   JobState = "host-oom" // killed for host memory by the scheduler
	Stuck     JobState = "stuck"    // pending and can never start (a dependency that cannot be satisfied)
	Held      JobState = "held"     // pending and never starts by itself: held by the scheduler, which could not launch it
	Unknown   JobState = "unknown"  // a word this build does not know: treated as still alive
)

// Ended reports whether the job is over for its scheduler.
func (s JobState) Ended() bool {
	switch s {
	case Pending, Running, Stuck, Held, Unknown:
		return false
	}
	return true
}

// Status of one job (or one task of an array) as the scheduler tells it.
type Status struct {
	Handle
	Name     string
	Task     int // -1: not an array
	State    JobState
	Word     string    // the scheduler's own word for State
	Reason   string    // why it waits, or why it ended
	ExitCode string    // "code:signal" where known
	Node     string    // where it runs or ran; several as the scheduler writes them
	Restarts int       // how often the scheduler put it back into the queue by itself
	Started  time.Time // zero where unknown
}

// Cause is why a job that is over in state s left no result, as far as the scheduler knows. Completed and Failed are the
// script's own doing; that the agent published nothing is then all there is to say.
func (s JobState) Cause() record.Cause {
	switch s {
	case Failed:
		return record.CauseAgent
	case Cancelled:
		return record.CauseStopped
	case TimedOut:
		return record.CauseTimeLimit
	case NodeFail:
		return record.CauseNode
	case NoLaunch, Held:
		return record.CauseLaunch
	case HostOOM:
		return record.CauseHostOOM
	case Preempted:
		return record.CausePreempted
	case Stuck, Orphaned:
		return record.CauseProbe
	}
	return record.CauseNone
}
