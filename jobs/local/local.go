// Package local is the embedded scheduler: a process pool for one run that honours dependencies, GPU slots, time limits and
// cancellation, and that survives the terminal and kill -9 of any of its processes.
//
// Its folder is its memory, and a fact is an entry in a directory: requests/7.json says that job 7 was submitted, cancels/7
// that it shall end, starts/7.json on which slots it was told to start, runners/7.json which process runs it, exits/7.json how
// it ended. Facts appear whole, appear once, and are never taken back, so any process may die between any two of them. Two
// kinds of processes act on the folder:
//
//	Daemon   one at a time, started by Submit, List and Cancel when there is something to do: decides what starts next
//	RunJob   one for each job, independent of the daemon: runs the script, and answers for everything that descends from it
//
// The package must not know what a job is for, and never looks into a run beyond its own folder.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// The hidden commands with which Config.Program runs the two kinds of processes.
const (
	DaemonCommand = "local-scheduler" // followed by the folder: calls Daemon
	RunnerCommand = "local-job"       // followed by the folder and the job's id: calls RunJob
)

// Config of a Scheduler. Slots and Grace are settled by the first Submit into a folder; later ones find them there.
type Config struct {
	Dir     string        // absolute; record.Dir.Scheduler
	Program []string      // absolute argv prefix of a program with the two hidden commands
	Env     []string      // of the jobs; nil: the caller's
	Slots   int           // GPU slots; less than 1: DetectSlots
	Grace   time.Duration // between SIGTERM and SIGKILL; 0: 30 s, Slurm's KillWait
}

const defaultGrace = 30 * time.Second

// Scheduler is the port to the folder; it holds no state that is not there.
type Scheduler struct {
	config Config
	queue  *queue
}

var _ jobs.Scheduler = (*Scheduler)(nil)

// New touches nothing.
func New(cfg Config) *Scheduler {
	return &Scheduler{config: cfg, queue: newQueue(folder(cfg.Dir))}
}

// Capabilities: dependencies, no arrays (every job is its own unit), and an unlimited memory.
func (s *Scheduler) Capabilities(context.Context) (jobs.Capabilities, error) {
	return jobs.Capabilities{Dependencies: true}, nil
}

// Submit publishes the request and sees to it that a daemon lives. An array, a later beginning, a script without interpreter
// line, more GPUs than slots and a dependency on a job that was never submitted are refused. Nodes to exclude are of no account:
// there is one, and without it there would be none.
func (s *Scheduler) Submit(ctx context.Context, r jobs.Request) (jobs.Handle, error) {
	settled, err := s.settle()
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	if err := s.queue.refresh(); err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	req, err := s.accept(r, settled.Slots)
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrRefused, err)
	}
	if err := s.runnable(); err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	id, err := s.queue.add(req)
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrAmbiguous, err)
	}
	h := jobs.Handle{ID: strconv.Itoa(id)}
	if err := s.ensure(ctx); err != nil {
		return h, fmt.Errorf("%w: job %s is queued, but: %w", jobs.ErrAmbiguous, h.ID, err)
	}
	return h, nil
}

// runnable finds out before anything is queued that nothing could ever run it.
func (s *Scheduler) runnable() error {
	if len(s.config.Program) == 0 {
		return errors.New("the local scheduler has no program to run")
	}
	_, err := exec.LookPath(s.config.Program[0])
	return err
}

// settle makes the folder and publishes its settings, unless an earlier Submit has.
func (s *Scheduler) settle() (settings, error) {
	f := folder(s.config.Dir)
	var settled settings
	if err := fsx.ReadJSON(f.settings(), &settled); !errors.Is(err, fs.ErrNotExist) {
		return settled, err
	}
	if err := f.make(); err != nil {
		return settings{}, err
	}
	slots := s.config.Slots
	if slots < 1 {
		slots = DetectSlots()
	}
	grace := s.config.Grace
	if grace <= 0 {
		grace = defaultGrace
	}
	mine := settings{Schema: schema, Slots: slots, Devices: devices(slots, os.Getenv), GraceSeconds: grace.Seconds()}
	if err := publishOnce(f.settings(), mine); err != nil && !errors.Is(err, fs.ErrExist) {
		return settings{}, err
	}
	err := fsx.ReadJSON(f.settings(), &settled)
	return settled, err
}

func (s *Scheduler) accept(r jobs.Request, slots int) (request, error) {
	switch {
	case r.Tasks > 0:
		return request{}, errors.New("the local scheduler has no arrays")
	case r.Begin != 0:
		return request{}, errors.New("the local scheduler cannot begin a job later")
	case r.Resources.GPUs < 0 || r.Resources.GPUs > slots:
		return request{}, fmt.Errorf("%d GPUs are more than the %d slots of the local scheduler", r.Resources.GPUs, slots)
	}
	if _, err := interpreter(r.Script); err != nil {
		return request{}, err
	}
	req := request{
		Schema: schema, Run: r.Run, Name: r.Name, Script: r.Script, Log: r.Log, WorkDir: r.WorkDir,
		Resources: r.Resources, At: time.Now().UTC(),
	}
	for _, d := range r.After {
		// Task is of no account: without arrays, a dependency is always on the whole of a single job.
		on, err := strconv.Atoi(d.On.ID)
		if err != nil || s.queue.jobs[on] == nil {
			return request{}, fmt.Errorf("job %q, on which %s depends, was never submitted", d.On.ID, r.Name)
		}
		if d.When != record.AfterOK && d.When != record.AfterAny {
			return request{}, fmt.Errorf("%q is no kind of dependency", d.When)
		}
		req.After = append(req.After, edge{On: on, When: d.When})
	}
	return req, nil
}

// List tells every job of a run from the folder alone. When something is left to do and nobody to do it, it starts a daemon.
func (s *Scheduler) List(ctx context.Context, run string) ([]jobs.Status, error) {
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	var all []jobs.Status
	for _, j := range s.queue.order {
		if j.request.Run == run {
			all = append(all, j.status(s.queue.jobs))
		}
	}
	return all, nil
}

// Cancel leaves a mark for each job: the job's runner sees it within a fraction of a second, with a daemon or without; a job
// without a runner is the daemon's to end.
func (s *Scheduler) Cancel(ctx context.Context, ids []jobs.Handle) error {
	if err := s.queue.refresh(); err != nil {
		return fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	for _, h := range ids {
		id, err := strconv.Atoi(h.ID)
		if err != nil {
			continue
		}
		if j := s.queue.jobs[id]; j == nil || j.exit != nil {
			continue
		}
		if err := publishOnce(folder(s.config.Dir).cancel(id), cancel{Schema: schema, At: time.Now().UTC()}); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: cancel job %d: %w", jobs.ErrUnavailable, id, err)
		}
	}
	return s.refresh(ctx)
}

func (s *Scheduler) refresh(ctx context.Context) error {
	if err := s.queue.refresh(); err != nil {
		return fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	if s.queue.unfinished() {
		if err := s.ensure(ctx); err != nil {
			return fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
		}
	}
	return nil
}
