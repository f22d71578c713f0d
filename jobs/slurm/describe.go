package slurm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Describe asks a cluster what it is. It changes nothing. The error is that of the controller, without which nothing can be
// said; any other part that does not answer stays empty, and is told in Cluster.Problems.
func (s *Scheduler) Describe(ctx context.Context) (Cluster, error) {
	values, c, err := s.config(ctx)
	if err != nil {
		return Cluster{}, fmt.Errorf("describe the cluster: %w", err)
	}
	var cluster Cluster
	cluster.configured(values)
	if text, ok := s.ask(ctx, &cluster, "sinfo", "--version"); ok {
		cluster.Version = text[strings.LastIndexByte(text, ' ')+1:] // "slurm-wlm 22.05.8"
	}
	s.partitions(ctx, &cluster)
	s.nodes(ctx, &cluster)
	if c.accounting {
		s.accounts(ctx, &cluster)
	}
	return cluster, nil
}

// ask runs a command for its text. Its failure is one of the cluster's problems.
func (s *Scheduler) ask(ctx context.Context, c *Cluster, name string, args ...string) (string, bool) {
	r := s.run(ctx, name, args...)
	if r.failed() {
		c.Problems = append(c.Problems, fmt.Errorf("%s: %w", strings.Join(append([]string{name}, args...), " "), r.unavailable()))
	}
	return strings.TrimSpace(r.stdout), !r.failed()
}

// configured takes over what scontrol show config says.
func (c *Cluster) configured(values map[string]string) {
	cfg, err := parseConfig(values)
	if err != nil {
		c.Problems = append(c.Problems, fmt.Errorf("scontrol show config: %w", err))
	}
	c.Name, c.MinJobAge, c.JobRequeue = values["ClusterName"], cfg.minJobAge, values["JobRequeue"] == "1"
	c.MaxArraySize, _ = number(values["MaxArraySize"])
	c.Enforce = list(values["AccountingStorageEnforce"])
}

// limited reports whether the limits of associations and QOS are kept.
func (c *Cluster) limited() bool { return slices.Contains(c.Enforce, "limits") }

func (s *Scheduler) partitions(ctx context.Context, c *Cluster) {
	text, _ := s.ask(ctx, c, "scontrol", "show", "partition", "-o")
	for line := range strings.Lines(text) {
		f := fields(line)
		if f["PartitionName"] == "" {
			continue
		}
		c.Partitions = append(c.Partitions, Partition{
			Name: f["PartitionName"], Default: f["Default"] == "YES", State: f["State"], MaxTime: span(f["MaxTime"]), DefaultTime: span(f["DefaultTime"]),
			QOS: said(f["QoS"]), AllowAccounts: list(f["AllowAccounts"]), AllowQOS: list(f["AllowQos"]),
		})
	}
}

// nodes adds the nodes, and to the partitions which nodes are theirs.
func (s *Scheduler) nodes(ctx context.Context, c *Cluster) {
	text, _ := s.ask(ctx, c, "scontrol", "show", "node", "-o")
	for line := range strings.Lines(text) {
		// The reason is the last field but for other free text, and an administrator's words.
		line, reason, _ := strings.Cut(line, " Reason=")
		f := fields(line)
		n := Node{
			Name: f["NodeName"], State: nodeState(f["State"]), GPUs: gpus(f["Gres"]), Features: list(f["AvailableFeatures"]),
			Reason: strings.TrimSpace(reason),
		}
		if n.Name == "" {
			continue
		}
		n.CPUs, _ = number(f["CPUTot"])
		n.MemoryMB, _ = number(f["RealMemory"])
		c.Nodes = append(c.Nodes, n)
		for _, name := range list(f["Partitions"]) {
			if i := slices.IndexFunc(c.Partitions, func(p Partition) bool { return p.Name == name }); i >= 0 {
				c.Partitions[i].Nodes = append(c.Partitions[i].Nodes, n.Name)
			}
		}
	}
}

// accounts adds the caller's associations and every QOS. The caller's name is asked of id: sacctmgr takes no uid here, and a
// static binary knows no users beyond /etc/passwd.
func (s *Scheduler) accounts(ctx context.Context, c *Cluster) {
	user, ok := s.ask(ctx, c, "id", "-un")
	if !ok {
		return
	}
	const columns = "format=account,parentname,partition,qos,defaultqos,maxjobs,maxsubmit,grpjobs,grpsubmit,maxwall"
	at := "cluster=" + c.Name
	own, ok1 := s.ask(ctx, c, "sacctmgr", "-n", "-P", "show", "assoc", "user="+user, at, columns)
	above, ok2 := s.ask(ctx, c, "sacctmgr", "-n", "-P", "show", "assoc", "user=", at, columns)
	chosen, ok3 := s.ask(ctx, c, "sacctmgr", "-n", "-P", "show", "user", user, "format=defaultaccount")
	qos, ok4 := s.ask(ctx, c, "sacctmgr", "-n", "-P", "show", "qos",
		"format=name,flags,maxjobsperuser,maxsubmitjobsperuser,maxsubmitjobsperaccount,grpjobs,grpsubmit,maxwall,maxtresperuser")
	c.Accounting = ok1 && ok2 && ok3 && ok4
	c.Associations = associations(own, above, chosen)
	for _, f := range rows(qos, 9) {
		c.QOS = append(c.QOS, QOS{
			Name: f[0], Flags: list(f[1]), MaxJobsPerUser: count(f[2]), MaxSubmitPerUser: count(f[3]), MaxSubmitPerAccount: count(f[4]),
			GrpJobs: count(f[5]), GrpSubmit: count(f[6]), MaxWall: span(f[7]), MaxTRESPerUser: f[8],
		})
	}
}

// associations reads a user's own, and puts into them the group limits of the accounts above, which sacctmgr shows for the
// accounts alone: of a limit on running or queued jobs, the least on the way up is the first to be felt.
func associations(own, above, chosen string) []Association {
	type account struct {
		parent             string
		grpJobs, grpSubmit int
	}
	accounts := map[string]account{}
	for _, f := range rows(above, 10) {
		accounts[f[0]] = account{f[1], count(f[7]), count(f[8])}
	}
	var all []Association
	for _, f := range rows(own, 10) {
		a := Association{
			Account: f[0], Partition: f[2], Default: f[0] == chosen, QOS: list(f[3]), DefaultQOS: f[4],
			MaxJobs: count(f[5]), MaxSubmit: count(f[6]), GrpJobs: count(f[7]), GrpSubmit: count(f[8]), MaxWall: span(f[9]),
		}
		for name, steps := a.Account, 0; name != "" && steps <= len(accounts); steps++ { // a circle would have no end
			up := accounts[name]
			a.GrpJobs, a.GrpSubmit, name = least(a.GrpJobs, up.grpJobs), least(a.GrpSubmit, up.grpSubmit), up.parent
		}
		all = append(all, a)
	}
	return all
}

// rows are the lines of sacctmgr -P that have n columns.
func rows(text string, n int) (all [][]string) {
	for line := range strings.Lines(text) {
		if f := strings.Split(strings.TrimSuffix(line, "\n"), "|"); len(f) == n {
			all = append(all, f)
		}
	}
	return all
}

// fields are the KEY=VALUE words of a line of scontrol -o. Of a key that comes twice the first counts: free text comes last.
func fields(line string) map[string]string {
	f := map[string]string{}
	for _, word := range strings.Fields(line) {
		if key, value, ok := strings.Cut(word, "="); ok && f[key] == "" {
			f[key] = value
		}
	}
	return f
}

// said drops the words with which Slurm says nothing.
func said(s string) string {
	if slices.Contains([]string{"(null)", "N/A", "none", "ALL"}, s) {
		return ""
	}
	return s
}

func list(s string) []string {
	if s = said(s); s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func count(s string) int {
	n, _ := number(s)
	return n
}

// nodeState is a node's state in one word, as sinfo would say it: a flag that keeps jobs away goes before what runs there.
func nodeState(s string) string {
	base, rest, _ := strings.Cut(strings.ToLower(s), "+")
	flags := strings.Split(rest, "+")
	has := func(flag string) bool { return slices.Contains(flags, flag) }
	switch {
	case base == "down":
		return base
	case has("not_responding"):
		return "not responding"
	case has("drain") && slices.Contains([]string{"allocated", "mixed"}, base) || has("completing") && has("drain"):
		return "draining"
	case has("drain"):
		return "drained"
	}
	for _, flag := range []string{"fail", "maintenance", "reserved", "powered_down", "powering_down", "powering_up", "reboot_issued", "planned"} {
		if has(flag) {
			return strings.ReplaceAll(flag, "_", " ")
		}
	}
	return base
}

// gpus reads a node's generic resources: "gpu:h200:8(S:0-1),gpu:2,shard:16".
func gpus(gres string) (all []GPUs) {
	for _, item := range list(withoutSockets(gres)) {
		part := strings.Split(item, ":")
		if part[0] != "gpu" {
			continue
		}
		g := GPUs{Count: 1}
		rest := part[1:]
		if n, ok := number(part[len(part)-1]); ok {
			g.Count, rest = n, part[1:len(part)-1]
		}
		g.Type = strings.Join(rest, ":")
		all = append(all, g)
	}
	return all
}

// withoutSockets drops what is in parentheses, which has commas of its own.
func withoutSockets(s string) string {
	if said(s) == "" {
		return ""
	}
	var b strings.Builder
	depth := 0
	for _, r := range s {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// span reads a time as [D-]HH:MM:SS; what is none (UNLIMITED, NONE, nothing) is no limit.
func span(s string) time.Duration {
	days, clock, ok := strings.Cut(s, "-")
	if !ok {
		days, clock = "0", s
	}
	part := append([]string{days}, strings.Split(clock, ":")...)
	if len(part) != 4 {
		return 0
	}
	var sum int
	for i, per := range []int{86400, 3600, 60, 1} {
		n, ok := number(part[i])
		if !ok || n > 100_000 {
			return 0
		}
		sum += n * per
	}
	return time.Duration(sum) * time.Second
}
