package scripts

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/templates"
)

// This file is what is not a job of the plan: crews, links of a chain, and how a server gets onto several nodes.

// writeCrew writes what a crew is to do, and the script that its allocation begins with.
func (w *Writer) writeCrew(u record.Unit) error {
	if err := os.MkdirAll(w.Dir.Job(u.ID), 0o755); err != nil {
		return err
	}
	order := jobs.CrewOrder(w.Spec, w.Run.ID, u)
	if err := fsx.PublishJSON(w.Dir.CrewOrder(u.ID), order); err != nil {
		return err
	}
	v := w.view(u.ID, u.Jobs[0])
	v.Site, v.Resources = jobs.CrewSite(w.Spec, u)
	v.Crew = templates.Crew{
		Order: w.Dir.CrewOrder(u.ID), Nodes: u.Crew.Nodes, Tasks: jobs.CrewTasks(w.Spec, u), Slots: u.Crew.Slots, Exclusive: jobs.Exclusive(w.Spec),
	}
	return w.writeScript(u.ID, templates.SlurmCrew, v)
}

// Launch writes the program that starts a server on all nodes of its job, where one node does not hold it. It is the run's and
// not a job's, since what differs from start to start comes from the agent: jobs whose work goes on on one server must agree on how
// it was started.
func (w *Writer) Launch() error {
	r := jobs.Job(w.Spec, record.KindProbe, "", 1).Resources
	hosts, err := w.hosts()
	if err != nil || r.Nodes <= 1 && hosts <= 1 {
		return err
	}
	template := templates.LaunchMP
	switch {
	case hosts > 1:
		template = templates.LaunchTPU
	case w.Spec.Server.MultiNode == "ray":
		template = templates.LaunchRay
	}
	v := templates.View{Run: w.Run.ID, RunDir: string(w.Dir), Site: w.Spec.Site, Resources: r, Machine: templates.Machine{Hosts: hosts}}
	script, err := w.Templates.Render(template, v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(w.Dir.Launch()), 0o755); err != nil {
		return err
	}
	return fsx.Publish(w.Dir.Launch(), script, 0o755)
}

// LinkJob is link n of the chain, as a job. Minutes are plenty for a pass, and memory is said because a job that does not is given a
// node's whole at some sites.
func LinkJob(n int) record.Job {
	return record.Job{
		ID: record.LinkID(n), Kind: record.KindCollect, Attempt: n,
		Resources: record.Resources{CPUs: 1, MemMB: 1024, Seconds: 15 * 60},
	}
}

// Link writes the script of a link of the chain.
func (w *Writer) Link(j record.Job) error {
	if err := os.MkdirAll(w.Dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	return w.writeScript(j.ID, templates.Collect, w.linkView(j))
}

// linkView is a job's view without what only measuring needs: GPUs, the nodes that have them, a container, secrets.
func (w *Writer) linkView(j record.Job) templates.View {
	v := w.view(j.ID, j)
	site, where := w.Spec.Site, w.Spec.Site.Collector
	v.Site = spec.Site{
		Partition: cmp.Or(where.Partition, site.Partition), Account: cmp.Or(where.Account, site.Account), QOS: cmp.Or(where.QOS, site.QOS),
		Time: fmt.Sprint(j.Resources.Seconds / 60), Memory: fmt.Sprintf("%dM", j.Resources.MemMB), CPUs: j.Resources.CPUs,
		GPUStyle: "none", Modules: site.Modules, Environment: site.Environment, Directives: maps.Clone(site.Directives),
	}
	if where.Partition == "" {
		v.Site.Reservation = site.Reservation // the partition may be closed without it
	}
	maps.DeleteFunc(v.Site.Directives, func(option, _ string) bool {
		return !slices.Contains([]string{"clusters", "exclude", "mcs-label", "wckey"}, option)
	})
	v.Link, v.Secrets, v.SignalLead = j.Attempt, "", 0
	return v
}
