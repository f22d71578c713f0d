package slurm

import (
	"slices"
	"time"
)

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
	Problems     []error // of the parts that could not be read, in the order in which they were asked for
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
	State    string // in one word: idle, mixed, allocated, draining, drained, down, not responding, ...
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
	GrpJobs    int // of all who share the account, or one above it
	GrpSubmit  int
	MaxWall    time.Duration
	DefaultQOS string
}

// QOS with the limits that hold for a user.
type QOS struct {
	Name                string
	Flags               []string
	MaxJobsPerUser      int
	MaxSubmitPerUser    int
	MaxSubmitPerAccount int
	GrpJobs             int
	GrpSubmit           int
	MaxWall             time.Duration
	MaxTRESPerUser      string
}

// Partition is the one with the given name, or the default one if the name is empty.
func (c Cluster) Partition(name string) (Partition, bool) {
	i := slices.IndexFunc(c.Partitions, func(p Partition) bool { return p.Name == name || name == "" && p.Default })
	if i < 0 {
		return Partition{}, false
	}
	return c.Partitions[i], true
}

// MaxSubmit is how many jobs the caller may have in the queue at once with an account, in a partition, with a QOS; empty ones are
// those that Slurm takes where a job names none. 0: no limit is known, or limits are not kept.
//
// Limits do not add up: the partition's QOS goes before the job's (unless that has the flag OverPartQOS), and a limit of a QOS
// takes the place of the association's limit of the same kind, be it smaller or greater.
func (c Cluster) MaxSubmit(account, partition, qos string) int {
	if !c.limited() {
		return 0
	}
	p, _ := c.Partition(partition)
	a := c.association(account, p.Name)
	if qos == "" {
		qos = a.usualQOS()
	}
	first, second := c.qos(p.QOS), c.qos(qos)
	if slices.Contains(second.Flags, "OverPartQOS") {
		first, second = second, first
	}
	user, perAccount := either(first.MaxSubmitPerUser, second.MaxSubmitPerUser), either(first.MaxSubmitPerAccount, second.MaxSubmitPerAccount)
	if user == 0 && perAccount == 0 {
		user = a.MaxSubmit
	}
	group := either(either(first.GrpSubmit, second.GrpSubmit), a.GrpSubmit)
	return least(least(user, perAccount), group)
}

// association is the caller's to an account; one for the partition goes before one for all.
func (c Cluster) association(account, partition string) Association {
	var found Association
	for _, a := range c.Associations {
		if a.Account == account || account == "" && a.Default {
			if a.Partition == partition && partition != "" {
				return a
			}
			if a.Partition == "" {
				found = a
			}
		}
	}
	return found
}

// usualQOS is what Slurm takes for a job that names none.
func (a Association) usualQOS() string {
	switch {
	case a.DefaultQOS != "":
		return a.DefaultQOS
	case len(a.QOS) == 0 || slices.Contains(a.QOS, "normal") && len(a.QOS) > 1:
		return "normal"
	}
	return a.QOS[0]
}

func (c Cluster) qos(name string) QOS {
	i := slices.IndexFunc(c.QOS, func(q QOS) bool { return q.Name == name })
	if i < 0 {
		return QOS{}
	}
	return c.QOS[i]
}

// either is the first of two limits that is set.
func either(a, b int) int {
	if a > 0 {
		return a
	}
	return b
}

// least is the smaller of two limits, of which 0 is none.
func least(a, b int) int {
	if a > 0 && b > 0 {
		return min(a, b)
	}
	return either(a, b)
}
