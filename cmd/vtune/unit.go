package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/vllm"
	"vtune/templates"
)

// writeUnit writes scripts and assignments of a unit. It comes before the unit's intent, so that nothing is ever submitted whose
// script is not whole; writing it again before the intent is there changes nothing that anybody has seen.
func (t *tuning) writeUnit(u record.Unit, f *collect.FollowUp) error {
	for _, j := range u.Jobs {
		if err := t.writeJob(j, f); err != nil {
			return err
		}
	}
	if !u.Array() {
		return nil
	}
	if err := os.MkdirAll(t.dir.Job(u.ID), 0o755); err != nil {
		return err
	}
	var tasks strings.Builder
	for _, j := range u.Jobs {
		fmt.Fprintln(&tasks, j.ID)
	}
	if err := fsx.Publish(t.dir.Tasks(u.ID), []byte(tasks.String()), 0o644); err != nil {
		return err
	}
	v := t.view(u.Jobs[0])
	v.Name, v.Log = record.JobName(t.run.ID, u.ID), t.dir.JobLog(u.ID)+".%a"
	v.Tasks, v.Throttle, v.TasksFile, v.JobsDir = len(u.Jobs), u.Throttle, t.dir.Tasks(u.ID), t.dir.Jobs()
	return t.writeScript(u.ID, t.run.Scheduler+"-array", v)
}

func (t *tuning) writeJob(j record.Job, f *collect.FollowUp) error {
	if err := os.MkdirAll(t.dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	a := t.assignment(j, f)
	if err := fsx.PublishJSON(t.dir.Assignment(j.ID), a); err != nil {
		return err
	}
	v := t.view(j)
	v.Assignment = t.dir.Assignment(j.ID)
	v.ServerCommand, v.BenchCommand = vllm.Example(a)
	return t.writeScript(j.ID, t.run.Scheduler, v)
}

func (t *tuning) view(j record.Job) templates.View {
	v := templates.View{
		Run: t.run.ID, Name: record.JobName(t.run.ID, j.ID), RunDir: string(t.dir), Agent: t.dir.Agent(), Log: t.dir.JobLog(j.ID),
		Site: t.spec.Site, Resources: j.Resources,
	}
	if len(t.spec.Server.Secrets) > 0 {
		v.Secrets = t.dir.Secrets()
	}
	return v
}

func (t *tuning) writeScript(id, template string, v templates.View) error {
	script, err := t.templates.Render(template, v)
	if err != nil {
		return err
	}
	return fsx.Publish(t.dir.Script(id), script, 0o755)
}

// outUnit is a unit that the scheduler has acknowledged.
type outUnit struct {
	record.Unit
	cluster string
}

// recorded are the units that were acknowledged, by the scheduler's id.
func (t *tuning) recorded() (map[string]outUnit, error) {
	intents, err := filepath.Glob(filepath.Join(t.dir.Jobs(), "*", "intent.json"))
	if err != nil {
		return nil, err
	}
	units := make(map[string]outUnit, len(intents))
	for _, path := range intents {
		var in record.Intent
		var out record.Submitted
		id := filepath.Base(filepath.Dir(path))
		if fsx.ReadJSON(path, &in) == nil && fsx.ReadJSON(t.dir.Submitted(id), &out) == nil {
			units[out.ID] = outUnit{in.Unit, out.Cluster}
		}
	}
	return units, nil
}
