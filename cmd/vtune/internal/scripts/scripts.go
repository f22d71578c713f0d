// Package scripts writes what a job begins with: its script, its assignment, and what those of a crew, an array, a chain or a server
// on several nodes need beside. It writes them before anything says that they may be read, and submits nothing.
package scripts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/spec"
	"vtune/internal/vllm"
	"vtune/jobs"
	"vtune/templates"
)

// Writer writes for one run.
type Writer struct {
	Dir       record.Dir
	Run       record.Run
	Plan      record.Plan
	Spec      *spec.Spec
	Templates *templates.Set
	Env       func(string) (string, bool) // says where Google is, if it is not where it usually is
	// Progress is told how many jobs are written, where it is not nil.
	Progress func(done, total int, what string)

	wrote func() // another job is written
}

// Units writes those of a whole plan.
func (w *Writer) Units(units []record.Unit) error {
	total := 0
	for _, u := range units {
		total += len(u.Jobs) + len(u.Riders)
	}
	if w.Progress != nil {
		var done atomic.Int64
		w.wrote = func() { w.Progress(int(done.Add(1)), total, "jobs written") }
	}
	for _, u := range units {
		if err := w.Unit(u, nil); err != nil {
			return err
		}
	}
	return nil
}

// Unit writes scripts and assignments of a unit. It comes before the unit's intent, so that nothing is ever submitted whose
// script is not whole; writing it again before the intent is there changes nothing that anybody has seen.
func (w *Writer) Unit(u record.Unit, known map[string]collect.FollowUp) error {
	var writers errgroup.Group
	writers.SetLimit(runtime.GOMAXPROCS(0))
	wrote := func(err error) error {
		if w.wrote != nil {
			w.wrote()
		}
		return err
	}
	for _, j := range u.Jobs {
		writers.Go(func() error { return wrote(w.writeJob(j, known)) })
	}
	for _, j := range u.Riders {
		writers.Go(func() error { return wrote(w.writeRider(j, u.Jobs[0])) })
	}
	if err := writers.Wait(); err != nil {
		return err
	}
	if u.Crew != nil && u.Crew.Pool {
		return w.writeMachine(u)
	}
	if u.Crew != nil {
		return w.writeCrew(u)
	}
	if !u.Array() {
		return fsx.Flush(w.Dir.Jobs())
	}
	if err := os.MkdirAll(w.Dir.Job(u.ID), 0o755); err != nil {
		return err
	}
	var tasks strings.Builder
	for _, j := range u.Jobs {
		fmt.Fprintln(&tasks, j.ID)
	}
	if err := fsx.Draft(w.Dir.Tasks(u.ID), []byte(tasks.String()), 0o644); err != nil {
		return err
	}
	v := w.view(u.ID, u.Jobs[0])
	v.Log += ".%a"
	v.Tasks, v.Throttle, v.TasksFile, v.JobsDir = len(u.Jobs), u.Throttle, w.Dir.Tasks(u.ID), w.Dir.Jobs()
	if err := w.writeScript(u.ID, templates.SlurmArray, v); err != nil {
		return err
	}
	return fsx.Flush(w.Dir.Jobs())
}

func (w *Writer) writeJob(j record.Job, known map[string]collect.FollowUp) error {
	if err := os.MkdirAll(w.Dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	a := w.assignment(j, known)
	if err := w.writeAssignment(j.ID, a); err != nil {
		return err
	}
	if jobs.Pooled(w.Spec) {
		return nil // its machine begins it with a script of its own
	}
	v := w.view(j.ID, j)
	v.Assignment = w.Dir.Assignment(j.ID)
	v.ServerCommand, v.BenchCommand = byHand(a)
	template := templates.Local
	if w.Run.Scheduler == "slurm" {
		template = templates.Slurm
	}
	return w.writeScript(j.ID, template, v)
}

// writeRider: a job whose work is done inside another one has an assignment and no script. Its log is its carrier's.
func (w *Writer) writeRider(j, carrier record.Job) error {
	if err := os.MkdirAll(w.Dir.Job(j.ID), 0o755); err != nil {
		return err
	}
	if err := w.writeAssignment(j.ID, w.assignment(j, nil)); err != nil {
		return err
	}
	log, err := filepath.Rel(w.Dir.Job(j.ID), w.Dir.JobLog(carrier.ID))
	if err != nil {
		return err
	}
	if err := os.Symlink(log, w.Dir.JobLog(j.ID)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func (w *Writer) writeAssignment(job string, a record.Assignment) error {
	data, err := fsx.JSON(a)
	if err != nil {
		return err
	}
	return fsx.Draft(w.Dir.Assignment(job), data, 0o644)
}

func (w *Writer) view(id string, j record.Job) templates.View {
	v := templates.View{
		Run: w.Run.ID, Name: record.JobName(w.Run.ID, id), RunDir: string(w.Dir), Agent: w.Dir.Agent(), Log: w.Dir.JobLog(id),
		Site: w.Spec.Site, Resources: j.Resources, SignalLead: signalLead(j.Resources.Seconds), System: w.Spec.System,
		SecretNames: w.Spec.Server.Secrets, Folders: folders(w.Spec),
	}
	if len(w.Spec.Server.Secrets) > 0 {
		v.Secrets = w.Dir.Secrets()
	}
	return v
}

// folders outside the run that a server writes to.
func folders(s *spec.Spec) []string {
	return slices.DeleteFunc([]string{s.DownloadDir, s.Server.CacheRoot}, func(d string) bool { return d == "" })
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

func (w *Writer) writeScript(id, template string, v templates.View) error {
	script, err := w.Templates.Render(template, v)
	if err != nil {
		return err
	}
	return fsx.Draft(w.Dir.Script(id), script, 0o755)
}

// assignment is what job j's agent is told, with what a follow-up knows on top.
func (w *Writer) assignment(j record.Job, known map[string]collect.FollowUp) record.Assignment {
	a := jobs.Assignment(w.Spec, w.Plan, w.Run.ID, j)
	if a.Server.Nodes > 1 {
		a.Server.Launch = w.Dir.Launch()
	} else if hosts, err := w.hosts(); err == nil && hosts > 1 {
		a.Server.Launch = w.Dir.Rel(w.Dir.Launch()) // the run's directory has another name on a machine
	}
	f, follows := known[j.ID]
	if !follows {
		return a
	}
	a.Known, a.Utilization, a.Hint = f.Known, f.Utilization, f.Hint
	// Those that rode on an attempt that ended without them are followed up by jobs of their own.
	a.Riders = nil
	a.StopAfterInf = a.StopAfterInf && len(f.Known) == 0 // a cell that has its inf run gets a job for the walk
	if f.Profile != nil {
		a.Cell, a.Profile = f.Profile.Cell, &f.Profile.Load
	}
	return a
}
