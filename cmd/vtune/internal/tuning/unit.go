package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/vllm"
	"vtune/templates"
)

// writeUnit writes scripts and assignments of a unit. It comes before the unit's intent, so that nothing is ever submitted whose
// script is not whole; writing it again before the intent is there changes nothing that anybody has seen.
func (t *Tuning) writeUnit(u record.Unit, f *collect.FollowUp) error {
	// Thousands of small files wait for the disk one by one; side by side they share its flushes.
	var writers errgroup.Group
	writers.SetLimit(16)
	for _, j := range u.Jobs {
		writers.Go(func() error { return t.writeJob(j, f) })
	}
	for _, j := range u.Riders {
		writers.Go(func() error { return t.writeRider(j, u.Jobs[0]) })
	}
	if err := writers.Wait(); err != nil {
		return err
	}
	if !u.Array() {
		return nil
	}
	if err := os.MkdirAll(t.Dir.Job(u.ID), 0o755); err != nil {
		return err
	}
	var tasks strings.Builder
	for _, j := range u.Jobs {
		fmt.Fprintln(&tasks, j.ID)
	}
	if err := fsx.Publish(t.Dir.Tasks(u.ID), []byte(tasks.String()), 0o644); err != nil {
		return err
	}
	v := t.view(u.ID, u.Jobs[0])
	v.Log += ".%a"
	v.Tasks, v.Throttle, v.TasksFile, v.JobsDir = len(u.Jobs), u.Throttle, t.Dir.Tasks(u.ID), t.Dir.Jobs()
	return t.writeScript(u.ID, templates.SlurmArray, v)
}

func (t *Tuning) writeJob(j record.Job, f *collect.FollowUp) error {
	if err := os.MkdirAll(t.Dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	a := t.assignment(j, f)
	if err := fsx.PublishJSON(t.Dir.Assignment(j.ID), a); err != nil {
		return err
	}
	v := t.view(j.ID, j)
	v.Assignment = t.Dir.Assignment(j.ID)
	v.ServerCommand, v.BenchCommand = byHand(a)
	template := templates.Local
	if t.Run.Scheduler == "slurm" {
		template = templates.Slurm
	}
	return t.writeScript(j.ID, template, v)
}

// writeRider: a job whose work is done inside another one has an assignment and no script. Its log is its carrier's.
func (t *Tuning) writeRider(j, carrier record.Job) error {
	if err := os.MkdirAll(t.Dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	if err := fsx.PublishJSON(t.Dir.Assignment(j.ID), t.assignment(j, nil)); err != nil {
		return err
	}
	log, err := filepath.Rel(t.Dir.Job(j.ID), t.Dir.JobLog(carrier.ID))
	if err != nil {
		return err
	}
	if err := os.Symlink(log, t.Dir.JobLog(j.ID)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (t *Tuning) view(id string, j record.Job) templates.View {
	v := templates.View{
		Run: t.Run.ID, Name: record.JobName(t.Run.ID, id), RunDir: string(t.Dir), Agent: t.Dir.Agent(), Log: t.Dir.JobLog(id),
		Site: t.spec.Site, Resources: j.Resources, SignalLead: signalLead(j.Resources.Seconds), System: t.spec.System,
		SecretNames: t.spec.Server.Secrets, Folders: slices.DeleteFunc([]string{t.spec.DownloadDir, t.spec.Server.CacheRoot}, func(d string) bool { return d == "" }),
	}
	if len(t.spec.Server.Secrets) > 0 {
		v.Secrets = t.Dir.Secrets()
	}
	return v
}

// signalLead is how long before its time limit a job is told: long enough to stop a server and publish, short enough to leave
// a short job most of its time.
func signalLead(limit int) int { return min(120, limit/4) }

// examplePort stands in the commands that scripts show; the agent takes a free port.
const examplePort = 8000

// byHand are the commands with which a person repeats what a job does, as far as they are known before the job runs.
func byHand(a record.Assignment) (server, bench []string) {
	utilization := a.Utilization
	if utilization == 0 {
		utilization = search.NextProbe(a.Policy, nil).Utilization
	}
	load := record.Load{Rate: record.Inf, Requests: a.Policy.InfRequests}
	if a.Profile != nil {
		load = *a.Profile
	}
	serve := vllm.Serve{Server: a.Server, Cell: a.Cell, Utilization: utilization, Port: examplePort}
	if a.Kind == record.KindProfile {
		serve.Profiler = &vllm.Profiler{Dir: "/tmp/profile", Iterations: a.ProfileIterations}
	}
	// Without VLLM_SERVER_DEV_MODE a server has no route to reset its prefix cache.
	server = append(settings(a.Server.Environment), "VLLM_SERVER_DEV_MODE=1")
	server = append(server, serve.Argv()...)
	if a.Kind == record.KindProbe {
		return server, nil
	}
	return server, vllm.Bench{
		Server: a.Server, Workload: a.Workload, Load: load, LimitMS: a.Policy.LimitMS, Seed: a.Seed, Port: examplePort,
		Profile: a.Kind == record.KindProfile, ResultDir: ".", ResultFile: "bench.json",
	}.Argv()
}

func (t *Tuning) writeScript(id, template string, v templates.View) error {
	script, err := t.templates.Render(template, v)
	if err != nil {
		return err
	}
	return fsx.Publish(t.Dir.Script(id), script, 0o755)
}

// settings is the start of a command line that sets variables for one command.
func settings(environment map[string]string) []string {
	argv := []string{"env"}
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		argv = append(argv, name+"="+environment[name])
	}
	return argv
}

// outUnit is a unit that the scheduler has acknowledged.
type outUnit struct {
	record.Unit
	cluster string
}

// recorded are the units that were acknowledged, by the scheduler's id.
func (t *Tuning) recorded() (map[string]outUnit, error) {
	intents, err := filepath.Glob(filepath.Join(t.Dir.Jobs(), "*", "intent.json"))
	if err != nil {
		return nil, err
	}
	units := make(map[string]outUnit, len(intents))
	for _, path := range intents {
		var in record.Intent
		var out record.Submitted
		id := filepath.Base(filepath.Dir(path))
		if fsx.ReadJSON(path, &in) == nil && fsx.ReadJSON(t.Dir.Submitted(id), &out) == nil {
			units[out.ID] = outUnit{in.Unit, out.Cluster}
		}
	}
	return units, nil
}
