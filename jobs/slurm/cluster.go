package slurm

import "time"

// Cluster is what a Slurm says of itself and of what the calling user may have there. Zero values are "not said" or "no limit".
type Cluster struct {
	Name         string
	Version      string
	MaxArraySize int // the greatest index is one less
	MinJobAge    time.Duration
	JobRequeue   bool
	Accounting   bool     // sacct and sacctmgr answer
	Enforce      []string // AccountingStorageEnforce: without "limits" the limits below are not kept
	Partitions   []Partition
	Nodes        []Node
	Associations []Association // of the calling user
	QOS          []QOS
}

// Partition of a cluster.
type Partition struct {
	Name          string
	Default       bool
	State         string // UP, DOWN, DRAIN, INACTIVE
	MaxTime       time.Duration
	DefaultTime   time.Duration
	Nodes         []string
	QOS           string // whose limits hold for every job of the partition
	AllowAccounts []string
	AllowQOS      []string
}

// Node of a cluster.
type Node struct {
	Name     string
	State    string // the first word, without its flags: idle, mixed, allocated, down, drained, ...
	Reason   string
	CPUs     int
	MemoryMB int
	GPUs     []GPUs
	Features []string
}

// GPUs of one type.
type GPUs struct {
	Type  string // empty: without a type
	Count int
}

// Association is a user's right to an account, with its limits.
type Association struct {
	Account    string
	Partition  string // empty: every one
	Default    bool
	QOS        []string
	MaxJobs    int // running at once
	MaxSubmit  int // in the queue at once
	GrpJobs    int
	GrpSubmit  int
	MaxWall    time.Duration
	DefaultQOS string
}

// QOS with the limits that hold for a user.
type QOS struct {
	Name             string
	MaxJobsPerUser   int
	MaxSubmitPerUser int
	GrpJobs          int
	GrpSubmit        int
	MaxWall          time.Duration
	MaxTRESPerUser   string
}
