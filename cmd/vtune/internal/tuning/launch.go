package tuning

import (
	"os"
	"path/filepath"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
	"vtune/templates"
)

// writeLaunch writes the program that starts a server on all nodes of its job, where one node does not hold it. It is the run's and
// not a job's, since what differs from start to start comes from the agent: jobs whose work goes on on one server must agree on how
// it was started.
func (t *Tuning) writeLaunch() error {
	r := jobs.Job(t.spec, record.KindProbe, "", 1).Resources
	if r.Nodes <= 1 {
		return nil
	}
	template := templates.LaunchMP
	if t.spec.Server.MultiNode == "ray" {
		template = templates.LaunchRay
	}
	script, err := t.templates.Render(template, templates.View{Run: t.Run.ID, RunDir: string(t.Dir), Site: t.spec.Site, Resources: r})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(t.Dir.Launch()), 0o755); err != nil {
		return err
	}
	return fsx.Publish(t.Dir.Launch(), script, 0o755)
}
