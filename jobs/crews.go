package jobs

import (
	"fmt"
	"slices"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// This file is the plan of runs whose jobs share allocations (see record.Crew).

const (
	packOff       = "off"
	packExclusive = "exclusive"
	oneJob        = "one-job"
)

// Packs reports whether cells run side by side on a node.
func Packs(s *spec.Spec) bool { return s.Site.Pack != packOff && s.Site.Pack != "" }

// Exclusive reports whether a crew takes whole nodes, whatever of them it uses.
func Exclusive(s *spec.Spec) bool { return s.Site.Pack == packExclusive }

// OneJob reports whether the whole run is worked off by one allocation.
func OneJob(s *spec.Spec) bool { return s.Site.Shape == oneJob }

// perNode is how many jobs a node takes at once: by its GPUs, if it may take several at all.
func perNode(s *spec.Spec) int {
	gpus := resources(s).GPUs
	if !Packs(s) || gpus == 0 {
		return 1
	}
	return max(s.Site.GPUsPerNode/gpus, 1)
}

// Crews puts jobs, which all have one resource shape, into crews of a node each, named from the nth on. Without a limit on what may
// run at once there are as many as every job's running at once takes; with one, as many as it allows, which share the jobs evenly.
func Crews(s *spec.Spec, n int, js []record.Job) []record.Unit {
	slots := perNode(s)
	count := (len(js) + slots - 1) / slots
	if most := s.Site.MaxParallel; most > 0 {
		slots = min(slots, most)
		count = min(max(most/slots, 1), (len(js)+slots-1)/slots)
	}
	var units []record.Unit
	for chunk := range slices.Chunk(js, max((len(js)+max(count, 1)-1)/max(count, 1), 1)) {
		c := record.Crew{Slots: slots, Nodes: 1}
		if !Exclusive(s) { // what it does not ask for, others may have
			c.Slots = min(slots, len(chunk))
		}
		units = append(units, record.Unit{ID: fmt.Sprintf("pack-%d", n+len(units)), Jobs: chunk, Crew: &c})
	}
	return units
}

// WholeCrew is the nth allocation of a run of shape one-job: all of the site's nodes, for these jobs and those that come later.
func WholeCrew(s *spec.Spec, n int, js, riders []record.Job) record.Unit {
	nodes := max(s.Site.Nodes, 1)
	slots := nodes * perNode(s)
	if most := s.Site.MaxParallel; most > 0 {
		slots = min(slots, most)
	}
	return record.Unit{
		ID: fmt.Sprintf("crew-%d", n), Jobs: js, Riders: riders, Crew: &record.Crew{Slots: slots, Nodes: nodes, Feed: true},
	}
}

// crewStyle is how a crew asks for GPUs. With gpus, Slurm would deal those of the whole allocation out to its nodes as it likes, such
// as seven and one.
func crewStyle(s *spec.Spec) string {
	if s.Site.GPUStyle == "gpus" {
		return "gpus-per-node"
	}
	return s.Site.GPUStyle
}

// CrewOrder is what a crew is told: its jobs, and what the share of each is.
func CrewOrder(s *spec.Spec, run string, u record.Unit) record.CrewOrder {
	share := u.Jobs[0].Resources
	o := record.CrewOrder{Schema: record.Schema, Run: run, Unit: u, CPUs: share.CPUs, MemMB: share.MemMB}
	if style := crewStyle(s); share.GPUs > 0 && style != "none" {
		o.GPUs = fmt.Sprint(share.GPUs)
		if s.Site.GPUType != "" {
			o.GPUs = s.Site.GPUType + ":" + o.GPUs
		}
		if style == "gres" {
			o.GPUs = "gpu:" + o.GPUs
		}
		o.GPUs = "--" + style + "=" + o.GPUs
	}
	return o
}

// CrewSite is what the allocation of a crew asks the site for, on each node.
func CrewSite(s *spec.Spec, u record.Unit) (spec.Site, record.Resources) {
	site, r := s.Site, u.Jobs[0].Resources
	n := u.Crew.PerNode()
	site.GPUStyle = crewStyle(s)
	r.GPUs *= n
	switch {
	case Exclusive(s):
		site.Memory = "0" // all that the node has
		if r.GPUs > 0 {
			r.GPUs = max(r.GPUs, site.GPUsPerNode)
		}
	case r.MemMB > 0:
		site.Memory = fmt.Sprintf("%dM", n*r.MemMB)
	}
	return site, r
}

// CrewTasks is how many tasks the allocation of a crew has on a node: one for each job. A task without a number of CPUs has one, or
// what the site gives for each GPU. As a CPU may be half a core, and steps are given whole ones, every second step would wait then; so
// there are two tasks for each.
func CrewTasks(s *spec.Spec, u record.Unit) int {
	if s.Site.CPUs == 0 && !Exclusive(s) {
		return 2 * u.Crew.PerNode()
	}
	return u.Crew.PerNode()
}
