package record

import (
	"fmt"
	"time"
)

// This file is the contract of runs whose directory is in a bucket: several machines (workers) take jobs from one queue, and a
// collector elsewhere keeps a mirror of the directory. Objects have the names that the files of a run have, below the run's prefix.
//
//	queue/pool/<n>-<job>.json    Job: somebody shall do it             collector, immutable
//	claims/<job>.json            Claim: who does it                    created if absent, by a worker or by a collector that gives it up
//	workers/<unit>.json          Worker: it lives                      its worker, again and again; a collector, when it takes it for dead
//	jobs/<unit>/done.json        Done: nothing is left for the machine its worker, or its startup script
//	events/<time>-<unit>-<n>.json  Manifest: what has been put in      created if absent; by time of the bucket, not of any machine

// Claim says who does a job. What is claimed is begun at most once.
type Claim struct {
	Schema int       `json:"schema"`
	Job    string    `json:"job"`
	Unit   string    `json:"unit"`           // whose machine does it; empty: nobody any more, the collector took it out of the queue
	Boot   int       `json:"boot,omitempty"` // which start of that machine
	At     time.Time `json:"at"`             // by the claimant's clock
}

// Worker is a sign of life. That it changes is what matters: ages are never compared between machines.
type Worker struct {
	Schema    int         `json:"schema"`
	Unit      string      `json:"unit"`
	Boot      int         `json:"boot"` // counts the starts of the machine, from 1
	Beat      int64       `json:"beat"`
	Phase     WorkerPhase `json:"phase"`
	Job       string      `json:"job,omitempty"` // under way
	Manifests int         `json:"manifests"`     // that it has published: a mirror that has fewer looks again
	Node      string      `json:"node,omitempty"`
	Reason    string      `json:"reason,omitempty"`
}

// WorkerPhase is how far a worker is.
type WorkerPhase string

const (
	WorkerOpen      WorkerPhase = "open"      // takes jobs
	WorkerClosed    WorkerPhase = "closed"    // takes none any more
	WorkerPreempted WorkerPhase = "preempted" // the machine is being taken away
	WorkerDead      WorkerPhase = "dead"      // a collector's word: it has not beaten for long. The worker, if it lives, stops
)

// Done says that a machine has nothing left to do and may be deleted.
type Done struct {
	Schema   int       `json:"schema"`
	Unit     string    `json:"unit"`
	ExitCode string    `json:"exit_code"` // "code:signal"
	Message  string    `json:"message,omitempty"`
	At       time.Time `json:"at"`
}

// Manifest is what one writer has put into the bucket since its last one.
type Manifest struct {
	Schema int       `json:"schema"`
	Writer string    `json:"writer"` // a unit, or "collector-<host>-<pid>"
	Seq    int       `json:"seq"`    // of the writer, from 1
	At     time.Time `json:"at"`
	Files  []Stored  `json:"files"`
}

// Stored is a file of the run in the bucket, or a piece of a log that still grows.
type Stored struct {
	Path   string `json:"path"` // relative to the run, with slashes
	Size   int64  `json:"size"`
	CRC32C uint32 `json:"crc32c"`
	// Part is the number, from 1, of a piece: its object is PartName(Path, Part), the file all of them in order. 0: the whole.
	Part int `json:"part,omitempty"`
	// Data is the content itself where it is small, so that whoever reads the manifest need not ask for the object.
	Data []byte `json:"data,omitempty"`
	// Only in the manifest: there is no object of that name (the agent's own events).
	Only bool `json:"only,omitempty"`
}

// PartName is the object of piece n of a log.
func PartName(path string, n int) string { return fmt.Sprintf("%s.part-%06d", path, n) }

// ManifestName is the object of a manifest. Names go up with the bucket's own time, whatever a machine's clock says.
func ManifestName(bucketTime time.Time, writer string, seq int) string {
	return fmt.Sprintf("events/%013d-%s-%06d.json", bucketTime.UnixMilli(), writer, seq)
}

// PoolOrder is what a machine of the pool is told beside its crew's order: where the run is, and what to check.
type PoolOrder struct {
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"` // of the run, without a slash at its end
	// Idle is how long a machine waits for further jobs, in s.
	Idle int `json:"idle_s"`
	// MaxRun bounds how long the machine may live, in s, whatever becomes of the collector.
	MaxRun  int  `json:"max_run_s"`
	Secrets bool `json:"secrets,omitempty"` // secrets.env is there
	// Hosts of the slice; the worker runs on the first, and the others join it.
	Hosts int `json:"hosts"`
}

// Pool is the name of the queue that all machines of a run take jobs from (see Dir.Queue).
const Pool = "pool"

func (d Dir) Claims() string               { return d.path("claims") }
func (d Dir) Claim(job string) string      { return d.path("claims", job+".json") }
func (d Dir) Workers() string              { return d.path("workers") }
func (d Dir) Worker(unit string) string    { return d.path("workers", unit+".json") }
func (d Dir) Done(unit string) string      { return d.path("jobs", unit, "done.json") }
func (d Dir) Request(unit string) string   { return d.path("jobs", unit, "request.json") } // what the scheduler is asked for
func (d Dir) RequestID(unit string) string { return d.path("jobs", unit, "request-id") }   // persisted before the first try
func (d Dir) ByHand(unit string) string    { return d.path("jobs", unit, "gcloud.sh") }    // the same for a person
func (d Dir) JobScript(unit string) string { return d.path("jobs", unit, "job") }          // with which a machine of the pool begins a job
func (d Dir) Mirror() string               { return d.path("mirror.json") }                // what of the bucket is here
