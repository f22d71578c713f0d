package doctor

import (
	"time"

	"vtune/internal/record"
)

// KindExam is the kind of an assignment that is no work of a run: to look around on a node. Scripts end in the agent all the
// same, so that a site's own templates are looked at with everything that they put before it.
const KindExam record.Kind = "exam"

// Order is the assignment of such a job.
type Order struct {
	Schema  int           `json:"schema"`
	Kind    record.Kind   `json:"kind"`
	Server  record.Server `json:"server"`
	GPUs    int           `json:"gpus"`      // that the job asked for on its node
	Runtime string        `json:"container"` // site.container.runtime
	// Patience is how long the node waits for files of the other side, in s.
	Patience float64 `json:"patience_s"`
}

// Findings are what the job found out on its node; it publishes them last.
type Findings struct {
	Host string `json:"host"`
	CPUs int    `json:"cpus"` // that the job may use
	// Dir is the exchange's file system as the node sees it.
	Dir    Disk    `json:"dir"`
	Fsync  float64 `json:"fsync_s"`
	Rename float64 `json:"rename_s"`
	// Claims are what went wrong with claims by mkdir, empty: nothing.
	Claims   string `json:"claims,omitempty"`
	Answered int    `json:"answered"` // files of the other side that were seen here and answered

	Temp        Disk   `json:"temp"`
	TempProblem string `json:"temp_problem,omitempty"`
	Socket      string `json:"socket_problem,omitempty"` // of making a Unix socket in TMPDIR

	Devices string  `json:"visible_devices,omitempty"` // CUDA_VISIBLE_DEVICES
	SMI     *Output `json:"nvidia_smi,omitempty"`      // nil: there is none
	GPUs    []GPU   `json:"gpus,omitempty"`
	Version Output  `json:"version"` // of server.command --version
	Model   Model   `json:"model"`
	Inside  string  `json:"inside,omitempty"` // the container that the job runs in, as that says itself
}

// GPU that nvidia-smi sees.
type GPU struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	Memory string `json:"memory"`
}

// Output of a command that was run to see what it says.
type Output struct {
	Missing  bool    `json:"missing,omitempty"` // it could not be started
	TimedOut bool    `json:"timed_out,omitempty"`
	Exit     string  `json:"exit,omitempty"` // code:signal; empty: it ended well
	Line     string  `json:"line,omitempty"` // the line of its output that says most
	Seconds  float64 `json:"seconds"`
}

// Model as it is seen where a server would look for it.
type Model struct {
	Local  bool   `json:"local"`  // the spec names a folder
	Folder string `json:"folder"` // that has its config.json; empty: none was found
	Asked  bool   `json:"asked"`  // the hub was
	Status int    `json:"status"` // of the hub's answer
	Token  bool   `json:"token"`  // one was sent along
	Error  string `json:"error"`  // why there is no answer
}

// Job is what became of the check-up's job.
type Job struct {
	ID string `json:"id,omitempty"`
	// Skipped: it was not submitted, since what failed before would have failed it.
	Skipped bool   `json:"skipped,omitempty"`
	Folder  string `json:"folder,omitempty"` // that was left; empty: none was
	// Refused says why it could not be submitted; Later: it was not refused for good; Unsure: it may have been accepted.
	Refused string  `json:"refused,omitempty"`
	Later   bool    `json:"later,omitempty"`
	Unsure  bool    `json:"unsure,omitempty"`
	Waited  float64 `json:"waited_s"` // until it was seen to run, or until now
	Started bool    `json:"started"`
	Over    bool    `json:"over"`
	State   string  `json:"state,omitempty"` // the scheduler's word
	Reason  string  `json:"reason,omitempty"`
	Exit    string  `json:"exit,omitempty"`
	Node    string  `json:"node,omitempty"`
	Log     string  `json:"log,omitempty"` // its last line
	// Findings are nil where none were seen.
	Findings *Findings `json:"findings,omitempty"`
	Greeting *Greeting `json:"greeting,omitempty"` // nil: no file of the node was seen
	Rounds   []Round   `json:"rounds,omitempty"`
}

// Greeting is the node's first file: when it was made by the node's clock, and when it was seen by ours.
type Greeting struct {
	Made time.Time `json:"made"`
	Seen time.Time `json:"seen"`
}

// Round is one file of ours and the node's answer to it: sent and back by our clock, seen and answered by the node's.
type Round struct {
	Sent     time.Time `json:"sent"`
	Seen     time.Time `json:"seen"`
	Answered time.Time `json:"answered"`
	Back     time.Time `json:"back"`
}

// Clocks bounds by how much the node's clock is ahead of ours. A file is never seen before it is made; so what a round shows of
// both ways cannot be told apart, but it holds the difference between two bounds. ok is false without rounds.
func Clocks(rounds []Round) (low, high time.Duration, ok bool) {
	for i, r := range rounds {
		l, h := r.Answered.Sub(r.Back), r.Seen.Sub(r.Sent)
		if i == 0 || l > low {
			low = l
		}
		if i == 0 || h < high {
			high = h
		}
	}
	return low, high, len(rounds) > 0
}

// Delays bounds how long files took to be seen on the other side, at most: the node's here, the slowest, and ours there.
func Delays(g Greeting, rounds []Round) (here, there time.Duration) {
	low, high, ok := Clocks(rounds)
	if !ok {
		return max(g.Seen.Sub(g.Made), 0), 0
	}
	here = max(g.Seen.Sub(g.Made)+high, 0)
	for _, r := range rounds {
		here = max(here, r.Back.Sub(r.Answered)+high)
		there = max(there, r.Seen.Sub(r.Sent)-low)
	}
	return here, there
}
