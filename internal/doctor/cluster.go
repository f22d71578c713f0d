package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vtune/jobs/slurm"
)

// askedEvery is the longest pause between two of vtune's questions for a run's jobs.
const askedEvery = 3 * time.Minute

// cluster is what can be said of a Slurm before anybody wants anything from it.
func (d *diagnosis) cluster(f Facts) {
	c := f.Cluster
	switch {
	case c == nil && f.Spec == nil && len(f.Missing) > 0:
		d.warn("slurm", "run this on a login node; without Slurm a spec has scheduler: local", "not here: there is no %s", these(f.Missing))
		return
	case len(f.Missing) > 0:
		d.fail("slurm", "run this on a login node, or put Slurm's commands on the PATH", "there is no %s", these(f.Missing))
	case c == nil:
		d.fail("slurm", "run this on a login node, with SLURM_CONF set if the site wants that, or ask again later; scontrol ping says whether the controller is up", "the controller does not answer: %s", f.Unreachable)
	default:
		d.ok("slurm", "%s, cluster %s, controller answers in %.0f ms", c.Version, c.Name, 1000*f.AnswerSeconds)
	}
	if c == nil {
		return
	}
	for _, p := range c.Problems {
		d.warn("slurm", "what rests on it below is not known", "%v", p)
	}
	if f.Spec == nil {
		d.partitions(*c)
	}
	d.records(*c)
	if c.MaxArraySize < 2 {
		d.warn("arrays", "nothing to do here: each cell is submitted by a call of its own", "MaxArraySize is %d: there are no arrays", c.MaxArraySize)
	} else if f.Spec == nil {
		d.ok("arrays", "up to %d jobs in one call", c.MaxArraySize)
	}
	requeue := "JobRequeue=0"
	if c.JobRequeue {
		requeue = "JobRequeue=1; vtune's jobs ask not to be, and are repeated as fresh attempts"
	}
	d.ok("requeue", "%s", requeue)
}

// partitions is a line for each, with its GPUs.
func (d *diagnosis) partitions(c slurm.Cluster) {
	for _, p := range c.Partitions {
		says := fmt.Sprintf("%s: %s, %s, %s", p.Name, count(len(p.Nodes), "node"), Inventory(c, p), limit(p.MaxTime))
		if p.Default {
			says += " (the default)"
		}
		if p.State != "UP" {
			d.warn("partition", "use another one until it is UP again", "%s; it is %s", says, p.State)
			continue
		}
		d.ok("partition", "%s", says)
	}
}

// records is how long it is known what became of a job.
func (d *diagnosis) records(c slurm.Cluster) {
	switch {
	case c.Accounting:
		d.ok("accounting", "sacct knows what became of every job")
	case c.MinJobAge > 0 && c.MinJobAge < askedEvery:
		d.warn("accounting", "nothing is lost, what a job left in the run directory counts; with MinJobAge=300 the cause is known too",
			"none, and jobs that ended are forgotten after %s: of one that left no result it may not be known why", short(c.MinJobAge))
	case c.MinJobAge == 0:
		d.ok("accounting", "none; the controller remembers every job that ended")
	default:
		d.ok("accounting", "none; jobs that ended are known for %s, vtune asks every 15 s to %s", short(c.MinJobAge), short(askedEvery))
	}
}

// Inventory is the GPUs of a partition in words: "2 x 8 h200, 1 x 4 a100".
func Inventory(c slurm.Cluster, p slurm.Partition) string {
	type kind struct {
		n    int
		name string
	}
	nodes := map[kind]int{}
	var order []kind
	for _, n := range c.Nodes {
		if !slices.Contains(p.Nodes, n.Name) {
			continue
		}
		for _, g := range n.GPUs {
			k := kind{g.Count, g.Type}
			if k.name == "" {
				k.name = "GPUs"
			}
			if nodes[k] == 0 {
				order = append(order, k)
			}
			nodes[k]++
		}
	}
	if len(order) == 0 {
		return "no GPUs"
	}
	var parts []string
	for _, k := range order {
		parts = append(parts, fmt.Sprintf("%d x %d %s", nodes[k], k.n, k.name))
	}
	return strings.Join(parts, ", ")
}

func limit(t time.Duration) string {
	if t == 0 {
		return "no time limit"
	}
	return "at most " + Clock(t) + " a job"
}

// Clock writes a duration as Slurm does: [D-]HH:MM:SS.
func Clock(t time.Duration) string {
	s := int(t.Seconds())
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		text = fmt.Sprintf("%d-%s", days, text)
	}
	return text
}

// short is a duration without units of zero.
func short(t time.Duration) string {
	s := t.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
