// Package survey writes what a cluster says of itself as a site file for its users: what can be known is written down, what must
// be chosen stands in comments. Pure.
package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vtune/internal/doctor"
	"vtune/internal/spec/tree"
	"vtune/jobs/slurm"
)

// usualTime is what a job is given where the cluster allows more: most cells are done in a fraction, and the backfill of a
// scheduler places a short job sooner than a long one.
const usualTime = 4 * time.Hour

// Page is a site file for a cluster, in YAML.
func Page(c slurm.Cluster) []byte {
	var p page
	p.say("What vtune tells cluster %s (Slurm %s). A spec names this file as site.use, and", c.Name, c.Version)
	p.say("what it says itself goes before what stands here. Keys that are commented out are suggestions.")
	p.blank()
	chosen, there := choose(c)
	if there {
		p.key("partition", chosen.Name, "%s, %s", doctor.Inventory(c, chosen), limit(chosen.MaxTime))
	} else {
		p.off("partition", "gpu", "the cluster names none that is UP")
	}
	for _, o := range c.Partitions {
		if o.Name != chosen.Name {
			p.off("partition", o.Name, "%s, %s%s", doctor.Inventory(c, o), limit(o.MaxTime), state(o))
		}
	}
	a := p.account(c, chosen)
	p.qos(c, a)
	p.key("time", doctor.Clock(jobTime(c, chosen, a)), "of one job; a short one is started sooner")
	p.gpus(c, chosen)
	p.parallel(c, chosen, a)
	p.collector(c, chosen)
	p.rest()
	return []byte(p.String())
}

type page struct{ strings.Builder }

func (p *page) say(format string, args ...any) {
	fmt.Fprintf(p, "# %s\n", printable(fmt.Sprintf(format, args...)))
}

func (p *page) blank() { p.WriteByte('\n') }

// key writes a line that counts, off one that is commented out.
func (p *page) key(key, value, comment string, args ...any) {
	p.line(key+": "+tree.Word(value), comment, args...)
}

func (p *page) off(key, value, comment string, args ...any) {
	p.line("# "+key+": "+tree.Word(value), comment, args...)
}

func (p *page) line(text, comment string, args ...any) {
	if comment != "" {
		text = fmt.Sprintf("%-34s # %s", text, printable(fmt.Sprintf(comment, args...)))
	}
	fmt.Fprintln(p, text)
}

// printable keeps what a cluster says of itself on one line of a comment.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func state(p slurm.Partition) string {
	if p.State == "UP" {
		return ""
	}
	return ", is " + p.State
}

func limit(t time.Duration) string {
	if t == 0 {
		return "no time limit"
	}
	return "at most " + doctor.Clock(t) + " a job"
}

// choose is the partition that jobs go to: the default one if it has GPUs, else the one with the most; without any GPUs the
// default one, or the first.
func choose(c slurm.Cluster) (slurm.Partition, bool) {
	up := slices.DeleteFunc(slices.Clone(c.Partitions), func(p slurm.Partition) bool { return p.State != "UP" || !open(c, p) })
	slices.SortStableFunc(up, func(a, b slurm.Partition) int {
		x, y := total(c, a), total(c, b)
		return cmp.Or(truth(y > 0)-truth(x > 0), truth(b.Default)-truth(a.Default), y-x)
	})
	if len(up) == 0 {
		return slurm.Partition{}, false
	}
	return up[0], true
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// open reports whether one of the user's accounts may use a partition.
func open(c slurm.Cluster, p slurm.Partition) bool {
	return len(p.AllowAccounts) == 0 || len(c.Associations) == 0 ||
		slices.ContainsFunc(c.Associations, func(a slurm.Association) bool { return slices.Contains(p.AllowAccounts, a.Account) })
}

func nodes(c slurm.Cluster, p slurm.Partition) (of []slurm.Node) {
	for _, n := range c.Nodes {
		if slices.Contains(p.Nodes, n.Name) {
			of = append(of, n)
		}
	}
	return of
}

func gpusOf(n slurm.Node) (sum int) {
	for _, g := range n.GPUs {
		sum += g.Count
	}
	return sum
}

func total(c slurm.Cluster, p slurm.Partition) (sum int) {
	for _, n := range nodes(c, p) {
		sum += gpusOf(n)
	}
	return sum
}

// account writes whom the jobs are charged to: the user's default if the partition takes it, else one that it takes.
func (p *page) account(c slurm.Cluster, in slurm.Partition) slurm.Association {
	var mine []slurm.Association
	for _, a := range c.Associations {
		takes := (len(in.AllowAccounts) == 0 || slices.Contains(in.AllowAccounts, a.Account)) && (a.Partition == "" || a.Partition == in.Name)
		if takes && !slices.ContainsFunc(mine, func(b slurm.Association) bool { return b.Account == a.Account }) {
			mine = append(mine, a)
		}
	}
	slices.SortStableFunc(mine, func(a, b slurm.Association) int { return truth(b.Default) - truth(a.Default) })
	if len(mine) == 0 {
		p.off("account", "proj-1", "the cluster knows of none of yours, and may need none")
		return slurm.Association{}
	}
	says := "yours"
	if mine[0].Default {
		says = "your default"
	}
	p.key("account", mine[0].Account, "%s", says)
	for _, a := range mine[1:] {
		p.off("account", a.Account, "")
	}
	return mine[0]
}

func (p *page) qos(c slurm.Cluster, a slurm.Association) {
	if a.DefaultQOS != "" {
		p.key("qos", a.DefaultQOS, "the account's default%s", qosLimits(c, a.DefaultQOS))
	}
	for _, q := range a.QOS {
		if q != a.DefaultQOS {
			p.off("qos", q, "the account may use it%s", qosLimits(c, q))
		}
	}
	if a.DefaultQOS == "" && len(a.QOS) == 0 {
		p.off("qos", "normal", "")
	}
}

func qosLimits(c slurm.Cluster, name string) string {
	q, _ := qos(c, name)
	var says string
	if q.MaxWall > 0 {
		says += ", at most " + doctor.Clock(q.MaxWall) + " a job"
	}
	if q.MaxJobsPerUser > 0 {
		says += fmt.Sprintf(", %d jobs at once", q.MaxJobsPerUser)
	}
	if q.MaxTRESPerUser != "" {
		says += ", at once " + q.MaxTRESPerUser
	}
	return says
}

func qos(c slurm.Cluster, name string) (slurm.QOS, bool) {
	i := slices.IndexFunc(c.QOS, func(q slurm.QOS) bool { return q.Name == name })
	if i < 0 {
		return slurm.QOS{}, false
	}
	return c.QOS[i], true
}

// jobTime is the usual one, or less where a job may not have it.
func jobTime(c slurm.Cluster, in slurm.Partition, a slurm.Association) time.Duration {
	t := usualTime
	q, _ := qos(c, a.DefaultQOS)
	for _, most := range []time.Duration{in.MaxTime, a.MaxWall, q.MaxWall} {
		if most > 0 {
			t = min(t, most)
		}
	}
	return t
}

// gpus writes how they are asked for, and what of a node's CPUs and memory belongs to one.
func (p *page) gpus(c slurm.Cluster, in slurm.Partition) {
	p.blank()
	var types []string
	least, most := slurm.Node{}, 0
	for _, n := range nodes(c, in) {
		g := gpusOf(n)
		if g == 0 {
			continue
		}
		if most == 0 || g < gpusOf(least) {
			least = n
		}
		most = max(most, g)
		for _, g := range n.GPUs {
			if g.Type != "" && !slices.Contains(types, g.Type) {
				types = append(types, g.Type)
			}
		}
	}
	if most == 0 {
		p.key("gpu_style", "none", "there are no GPUs in the partition")
		return
	}
	p.key("gpu_style", "gres", "or gpus-per-node, or gpus, where the cluster wants that")
	switch len(types) {
	case 0:
		p.off("gpu_type", "h100", "the cluster's GPUs have no types")
	case 1:
		p.key("gpu_type", types[0], "")
	default:
		for _, t := range types {
			p.off("gpu_type", t, "cells on GPUs of several types cannot be compared: choose one")
		}
	}
	n := gpusOf(least)
	says := "of a node"
	if n < most {
		says = fmt.Sprintf("of the smallest node; others have up to %d", most)
	}
	p.line(fmt.Sprintf("gpus_per_node: %d", n), "%s", says)
	p.say("One GPU's share of such a node, %d CPUs and %.0f GiB in all; times tensor_parallel, if jobs share nodes:", least.CPUs, float64(least.MemoryMB)/1024)
	p.line(fmt.Sprintf("# cpus: %d", max(least.CPUs/n, 1)), "")
	p.off("memory", fmt.Sprintf("%dM", max(least.MemoryMB/n, 1)), "")
}

// parallel suggests how many cells at once leave something to others.
func (p *page) parallel(c slurm.Cluster, in slurm.Partition, a slurm.Association) {
	p.blank()
	n := max(total(c, in)/2, 1)
	says := "half of the partition's GPUs, for servers of one"
	if total(c, in) == 0 {
		n, says = max(len(in.Nodes)/2, 1), "half of the partition's nodes"
	}
	q, _ := qos(c, a.DefaultQOS)
	for _, most := range []int{cmp.Or(q.MaxJobsPerUser, a.MaxJobs), a.GrpJobs, q.GrpJobs} {
		if most > 0 && most < n {
			n, says = most, "so many of your jobs may run at once"
		}
	}
	p.line(fmt.Sprintf("# max_parallel: %d", n), "cells at once: %s", says)
}

// collector is where the small jobs of a hands-free run go: they need no GPU, and shall not wait for one.
func (p *page) collector(c slurm.Cluster, in slurm.Partition) {
	p.blank()
	i := slices.IndexFunc(c.Partitions, func(q slurm.Partition) bool {
		return q.State == "UP" && q.Name != in.Name && len(q.Nodes) > 0 && total(c, q) == 0 && open(c, q)
	})
	if i < 0 {
		p.say("collector: # where the small jobs of submit --hands-free run; there is no partition without GPUs")
		p.say("  partition: cpu")
		return
	}
	p.line("collector:", "where the small jobs of submit --hands-free run: without GPUs, %s", limit(c.Partitions[i].MaxTime))
	p.key("  partition", c.Partitions[i].Name, "")
}

// rest is what no cluster says of itself.
func (p *page) rest() {
	p.WriteString(`
# What the cluster does not say of itself:
# modules: [cuda/12.8]             # loaded before the agent
# environment: [source /opt/vllm/bin/activate]
# scratch: /local/scratch          # absolute path on a node, for caches
# proxy: "http://proxy:3128"       # the way out of a node
# container:
#   runtime: apptainer             # or pyxis
#   image: /images/vllm.sif
#   mounts: [/scratch, /models:/models:ro]
#   options: [--no-home]
`)
}
