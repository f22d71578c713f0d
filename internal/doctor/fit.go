package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs/slurm"
)

// fit is whether a cluster can give the spec's jobs what they ask for, and whether the user may have it.
func (d *diagnosis) fit(c slurm.Cluster, s *spec.Spec, p record.Plan) {
	account := d.account(c, s.Site)
	parts := d.partition(c, s.Site, account)
	d.qos(c, s.Site, account)
	if len(parts) > 0 {
		d.nodes(c, s.Site, parts, p)
	}
	d.submitting(c, s.Site, p)
	if name := s.Site.Collector.Partition; name != "" && len(c.Partitions) > 0 {
		if q, there := c.Partition(name); !there {
			d.fail("collector", "write one of "+names(c)+" as site.collector.partition", "there is no partition %s", name)
		} else if q.State != "UP" {
			d.warn("collector", "use another one until it is UP again", "partition %s is %s", name, q.State)
		} else {
			d.ok("collector", "partition %s", name)
		}
	}
}

// account is whom the jobs are charged to, where that is known.
func (d *diagnosis) account(c slurm.Cluster, site spec.Site) string {
	if !c.Accounting {
		if site.Account != "" {
			d.warn("account", "leave site.account out", "%s is not looked at: there is no accounting", site.Account)
		}
		return site.Account
	}
	var mine []string
	usual := ""
	for _, a := range c.Associations {
		if !slices.Contains(mine, a.Account) {
			mine = append(mine, a.Account)
		}
		if a.Default {
			usual = a.Account
		}
	}
	strict := slices.Contains(c.Enforce, "associations") || slices.Contains(c.Enforce, "limits")
	switch {
	case site.Account == "" && usual == "" && strict:
		d.fail("account", oneOf("site.account", mine), "none is named, and you have no default one")
	case site.Account == "" && usual == "":
		d.ok("account", "none is named and none is needed")
	case site.Account == "":
		d.ok("account", "%s, your default", usual)
		return usual
	case slices.Contains(mine, site.Account):
		d.ok("account", "%s", site.Account)
	case strict:
		d.fail("account", oneOf("site.account", mine), "%s is none of yours", site.Account)
	default:
		d.warn("account", oneOf("site.account", mine), "%s is none of yours, which is not enforced here", site.Account)
	}
	return site.Account
}

func oneOf(key string, names []string) string {
	if len(names) == 0 {
		return "ask the cluster's administrators"
	}
	return "write one of " + these(names) + " as " + key
}

func names(c slurm.Cluster) string {
	var all []string
	for _, p := range c.Partitions {
		all = append(all, p.Name)
	}
	return these(all)
}

// partition is those of the spec that exist; nil if one does not.
func (d *diagnosis) partition(c slurm.Cluster, site spec.Site, account string) (found []slurm.Partition) {
	if len(c.Partitions) == 0 {
		return nil // it could not be read, which has a line of its own
	}
	for name := range strings.SplitSeq(site.Partition, ",") { // the default one has no name
		p, there := c.Partition(name)
		switch {
		case !there && name == "":
			d.fail("partition", "write one of "+names(c)+" as site.partition", "none is named, and the cluster has no default one")
			return nil
		case !there:
			d.fail("partition", "write one of "+names(c)+" as site.partition", "there is no %s", name)
			return nil
		case p.State != "UP":
			d.fail("partition", "use another one, or wait until it is UP", "%s is %s", p.Name, p.State)
		case len(p.AllowAccounts) > 0 && account != "" && !slices.Contains(p.AllowAccounts, account):
			d.fail("partition", oneOf("site.account", p.AllowAccounts), "%s does not take jobs of account %s", p.Name, account)
		case len(p.AllowQOS) > 0 && site.QOS != "" && !slices.Contains(p.AllowQOS, site.QOS):
			d.fail("partition", oneOf("site.qos", p.AllowQOS), "%s does not take jobs of QOS %s", p.Name, site.QOS)
		default:
			d.ok("partition", "%s is UP: %s, %s", p.Name, Inventory(c, p), limit(p.MaxTime))
		}
		found = append(found, p)
	}
	return found
}

func (d *diagnosis) qos(c slurm.Cluster, site spec.Site, account string) {
	if site.QOS == "" || !c.Accounting {
		return
	}
	var mine, anywhere []string
	for _, a := range c.Associations {
		if a.Account == account {
			mine = append(mine, a.QOS...)
		}
		anywhere = append(anywhere, a.QOS...)
	}
	if len(mine) == 0 {
		mine = slices.Compact(slices.Sorted(slices.Values(anywhere)))
	}
	switch {
	case !slices.ContainsFunc(c.QOS, func(q slurm.QOS) bool { return q.Name == site.QOS }):
		d.fail("qos", oneOf("site.qos", mine), "there is no %s", site.QOS)
	case len(mine) > 0 && !slices.Contains(mine, site.QOS):
		d.fail("qos", oneOf("site.qos", mine), "account %s may not use %s", account, site.QOS)
	default:
		d.ok("qos", "%s", site.QOS)
	}
}

// away are the states in which a node takes no jobs.
func away(state string) bool {
	return slices.Contains([]string{"down", "drained", "draining", "not responding", "fail", "maintenance", "error", "powered down"}, state)
}

// nodes is whether enough of them have what a job asks of each.
func (d *diagnosis) nodes(c slurm.Cluster, site spec.Site, parts []slurm.Partition, p record.Plan) {
	r := biggest(p)
	want := max(r.Nodes, 1)
	fit, up := 0, 0
	var most string
	best := -1
	for _, n := range c.Nodes {
		if !slices.ContainsFunc(parts, func(q slurm.Partition) bool { return slices.Contains(q.Nodes, n.Name) }) {
			continue
		}
		gpus := gpusOf(n, site)
		if gpus > best {
			best, most = gpus, fmt.Sprintf("%s, %d CPUs, %s", gpuCount(gpus, site), n.CPUs, gib(n.MemoryMB))
		}
		if gpus < r.GPUs || n.CPUs < r.CPUs || n.MemoryMB < r.MemMB || !has(n, site.Constraint) {
			continue
		}
		fit++
		if !away(n.State) {
			up++
		}
	}
	asks := ask(r, site)
	switch {
	case fit < want && most == "":
		d.fail("nodes", "see sinfo", "the partition has no nodes")
	case fit < want:
		d.fail("nodes", "ask for less (tensor_parallel, site.cpus, site.memory, site.constraint), or another partition",
			"a job asks for %s; %d of the nodes have that, and the largest has %s", asks, fit, most)
	case up < want:
		d.warn("nodes", "jobs will wait until nodes come back; see sinfo -R", "a job asks for %s; %s that, of which %d can be used now", asks, have(fit), up)
	default:
		d.ok("nodes", "a job asks for %s; %s that, of which %d can be used now", asks, have(fit), up)
	}
}

func have(nodes int) string {
	if nodes == 1 {
		return "1 node has"
	}
	return fmt.Sprintf("%d nodes have", nodes)
}

// biggest is the greatest share of a node that a job of the plan asks for.
func biggest(p record.Plan) record.Resources {
	var r record.Resources
	for _, u := range p.Units {
		for _, j := range u.Jobs {
			r.GPUs, r.Nodes = max(r.GPUs, j.Resources.GPUs), max(r.Nodes, j.Resources.Nodes)
			r.CPUs, r.MemMB = max(r.CPUs, j.Resources.CPUs), max(r.MemMB, j.Resources.MemMB)
			r.Seconds = max(r.Seconds, j.Resources.Seconds)
		}
	}
	return r
}

func ask(r record.Resources, site spec.Site) string {
	parts := []string{gpuCount(r.GPUs, site)}
	if r.CPUs > 0 {
		parts = append(parts, count(r.CPUs, "CPU"))
	}
	if r.MemMB > 0 {
		parts = append(parts, gib(r.MemMB))
	}
	text := strings.Join(parts, ", ")
	if r.Nodes > 1 {
		text += fmt.Sprintf(" on each of %d nodes", r.Nodes)
	}
	return text
}

func gpuCount(n int, site spec.Site) string {
	if n == 0 {
		return "no GPU"
	}
	if site.GPUType != "" {
		return fmt.Sprintf("%d %s", n, site.GPUType)
	}
	return count(n, "GPU")
}

func gib(mb int) string { return fmt.Sprintf("%.0f GiB", float64(mb)/1024) }

// gpusOf a node that a job of the site could be given: of one type, since a job cannot mix them.
func gpusOf(n slurm.Node, site spec.Site) int {
	most := 0
	for _, g := range n.GPUs {
		if site.GPUType == "" || strings.EqualFold(g.Type, site.GPUType) {
			most = max(most, g.Count)
		}
	}
	return most
}

// has evaluates a constraint that is one feature or several that must all be there; of other expressions it believes the best.
func has(n slurm.Node, constraint string) bool {
	if constraint == "" || strings.ContainsAny(constraint, "|!()[]*") {
		return true
	}
	for feature := range strings.FieldsFuncSeq(constraint, func(r rune) bool { return r == '&' || r == ',' }) {
		if !slices.Contains(n.Features, feature) {
			return false
		}
	}
	return true
}

// submitting is how the plan's jobs get into the queue.
func (d *diagnosis) submitting(c slurm.Cluster, site spec.Site, p record.Plan) {
	n := 0
	for _, u := range p.Units {
		n += len(u.Jobs)
	}
	if most, whose := gpusAtOnce(c, site); most > 0 && biggest(p).GPUs > most {
		d.fail("limits", "ask for fewer with tensor_parallel, or write another QOS as site.qos",
			"QOS %s allows you %s at once, and a job asks for %d: it would wait for ever", whose, count(most, "GPU"), biggest(p).GPUs)
		return
	}
	says := fmt.Sprintf("%s in %s of sbatch", count(n, "job"), count(len(p.Units), "call"))
	most := c.MaxSubmit(site.Account, strings.Split(site.Partition, ",")[0], site.QOS)
	switch {
	case most > 0 && n > most:
		d.ok("limits", "%s; the queue takes %d of yours at once, so they go out in %d portions", says, most, (n+most-1)/most)
	case most > 0:
		d.ok("limits", "%s; the queue takes %d of yours at once", says, most)
	case slices.Contains(c.Enforce, "limits"):
		d.ok("limits", "%s; none on yours is known", says)
	default:
		d.ok("limits", "%s; none are kept here", says)
	}
}

// gpusAtOnce is how many GPUs a user's jobs may have together, by the QOS that hold for them; 0: no limit is known.
func gpusAtOnce(c slurm.Cluster, site spec.Site) (least int, whose string) {
	if !slices.Contains(c.Enforce, "limits") {
		return 0, ""
	}
	p, _ := c.Partition(strings.Split(site.Partition, ",")[0])
	of := []string{site.QOS, p.QOS}
	for _, a := range c.Associations {
		if site.QOS == "" && (a.Account == site.Account || site.Account == "" && a.Default) {
			of = append(of, a.DefaultQOS)
		}
	}
	for _, q := range c.QOS {
		if !slices.Contains(of, q.Name) {
			continue
		}
		for limit := range strings.SplitSeq(q.MaxTRESPerUser, ",") {
			name, value, _ := strings.Cut(limit, "=")
			n, err := strconv.Atoi(value)
			mine := name == "gres/gpu" || site.GPUType != "" && name == "gres/gpu:"+site.GPUType
			if err == nil && mine && (whose == "" || n < least) {
				least, whose = n, q.Name
			}
		}
	}
	return least, whose
}

// limits on the time of one job that hold beside the partition's.
func wall(c slurm.Cluster, site spec.Site, account string) (least time.Duration, whose string) {
	if !slices.Contains(c.Enforce, "limits") {
		return 0, ""
	}
	take := func(t time.Duration, of string) {
		if t > 0 && (least == 0 || t < least) {
			least, whose = t, of
		}
	}
	for _, a := range c.Associations {
		if a.Account == account || account == "" && a.Default {
			take(a.MaxWall, "account "+a.Account)
		}
	}
	for _, q := range c.QOS {
		if q.Name == site.QOS {
			take(q.MaxWall, "QOS "+q.Name)
		}
	}
	return least, whose
}
