package scripts

import (
	"os"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec/slice"
	"vtune/jobs"
	"vtune/templates"
)

// idle is how long a machine of a pool waits for further jobs. What follows from a result is decided within a collector's pace of
// seconds, and a machine that was given up too early is bought by another wait of minutes or hours.
const idle = 10 * 60

// writeMachine writes what a machine of the pool is told, the script that it starts with, and the one with which it begins each job.
func (w *Writer) writeMachine(u record.Unit) error {
	if err := os.MkdirAll(w.Dir.Job(u.ID), 0o755); err != nil {
		return err
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(w.Run.Bucket, "gs://"), "/")
	site := w.Spec.Site.TPU
	shape, err := slice.Of(site.AcceleratorType, site.Accelerator, site.Topology)
	if err != nil {
		return err
	}
	maxRun := u.Jobs[0].Resources.Seconds
	order := jobs.CrewOrder(w.Spec, w.Run.ID, u)
	order.Pool = &record.PoolOrder{
		Bucket: bucket, Prefix: prefix, Idle: idle, MaxRun: maxRun, Secrets: len(w.Spec.Server.Secrets) > 0, Hosts: shape.Hosts,
	}
	if err := fsx.PublishJSON(w.Dir.CrewOrder(u.ID), order); err != nil {
		return err
	}
	v := w.view(u.ID, u.Jobs[0])
	v.Machine = templates.Machine{Bucket: bucket, Prefix: prefix, Unit: u.ID, AgentSHA256: w.Run.AgentSHA256, MaxRun: maxRun, Hosts: order.Pool.Hosts}
	job, err := w.Templates.Render(templates.TPUJob, v)
	if err != nil {
		return err
	}
	if err := fsx.Draft(w.Dir.JobScript(u.ID), job, 0o755); err != nil {
		return err
	}
	return w.writeScript(u.ID, templates.TPUStartup, v)
}
