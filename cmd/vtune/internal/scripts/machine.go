package scripts

import (
	"cmp"
	"os"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
	"vtune/jobs/tpu"
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
	hosts, err := w.hosts()
	if err != nil {
		return err
	}
	maxRun := u.Jobs[0].Resources.Seconds
	order := jobs.CrewOrder(w.Spec, w.Run.ID, u)
	order.Pool = &record.PoolOrder{
		Bucket: bucket, Prefix: prefix, Idle: idle, MaxRun: maxRun, Secrets: len(w.Spec.Server.Secrets) > 0, Hosts: hosts,
	}
	if err := fsx.PublishJSON(w.Dir.CrewOrder(u.ID), order); err != nil {
		return err
	}
	v := w.view(u.ID, u.Jobs[0])
	v.Machine = templates.Machine{
		Bucket: bucket, Prefix: prefix, Unit: u.ID, AgentSHA256: w.Run.AgentSHA256, Endpoint: w.storage(), MaxRun: maxRun, Hosts: order.Pool.Hosts,
		SelfDelete: templates.SelfDelete{
			Project: site.Project, Zone: site.Zone, Resource: tpu.ResourceID(v.Name), API: site.API, Endpoint: w.endpoint("VTUNE_TPU_ENDPOINT"),
		},
	}
	job, err := w.Templates.Render(templates.TPUJob, v)
	if err != nil {
		return err
	}
	if err := fsx.Draft(w.Dir.JobScript(u.ID), job, 0o755); err != nil {
		return err
	}
	return w.writeScript(u.ID, templates.TPUStartup, v)
}

// endpoint that the environment names, without a slash at its end; empty: Google's.
func (w *Writer) endpoint(name string) string {
	value, _ := w.Env(name)
	return strings.TrimRight(value, "/")
}

// storage is where a machine finds the bucket: as this side does, if it is not Google's.
func (w *Writer) storage() string {
	emulator := w.endpoint("STORAGE_EMULATOR_HOST")
	if emulator != "" && !strings.Contains(emulator, "://") {
		emulator = "http://" + emulator
	}
	return cmp.Or(w.endpoint("VTUNE_STORAGE_ENDPOINT"), emulator)
}

// hosts that make up a machine of the pool; 0: there is none.
func (w *Writer) hosts() (int, error) {
	if !jobs.Pooled(w.Spec) {
		return 0, nil
	}
	shape, err := w.Spec.Site.TPU.Slice()
	return shape.Hosts, err
}
