// Package checkup runs the doctor's job: one that is made, rendered and submitted as a run's jobs are, in a folder of its own,
// and that is over and gone when Run returns, whatever way that ends.
package checkup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/doctor"
	"vtune/internal/exam"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/templates"
)

// Request is what Run was asked for.
type Request struct {
	SpecFile    string
	Spec        *spec.Spec
	Plan        record.Plan
	TemplateDir string
	Slots       int
	Wait        time.Duration // for the job to start
	Grace       time.Duration // for its files to be seen; 0: as collect waits
}

const (
	// limitMinutes of the job: what it does is bounded well below that.
	limitMinutes = 10
	// memoryMB is more than what asks vLLM for its version needs, and little enough to be given soon.
	memoryMB = 8 << 10
	// endPatience bounds how long the end of a job is awaited that has nothing left to do, or was cancelled.
	endPatience = 40 * time.Second
	// settle bounds how long a job is looked for that may have been accepted.
	settle = time.Minute
)

// pace of the questions: a query of Slurm is a call to a daemon that a whole site shares.
func pace(scheduler string) (ask, grace time.Duration) {
	if scheduler == "local" {
		return 300 * time.Millisecond, 2 * time.Second
	}
	return 3 * time.Second, time.Minute
}

// errand is the job on its way.
type errand struct {
	Request
	world     tuning.World
	dir       record.Dir
	run       string // the id under which the scheduler knows it
	name      string
	scheduler jobs.Scheduler
	handle    jobs.Handle
}

// Run submits the job, awaits what it finds and cleans up. What is wrong with the job is in the answer; an error is that of ctx,
// or of files here.
func Run(ctx context.Context, w tuning.World, r Request) (doctor.Job, error) {
	ask, grace := pace(r.Spec.Scheduler)
	if r.Grace <= 0 {
		r.Grace = grace
	}
	e, err := prepare(ctx, w, r)
	if err != nil {
		return doctor.Job{}, err
	}
	job, err := e.do(ctx, ask)
	job.ID = e.handle.ID
	job.Log = exam.LastLine(e.dir.JobLog(exam.Job))
	keep := err == nil && job.Refused == "" && job.Findings == nil && (job.Started || job.Over)
	if job.Folder, err = e.clean(keep, err); err != nil {
		return job, err
	}
	return job, nil
}

// prepare makes the folder with all that the job needs.
func prepare(ctx context.Context, w tuning.World, r Request) (e *errand, err error) {
	salt := make([]byte, 3)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	base, err := tuning.Base(w, r.SpecFile, r.Spec)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	run := "doctor-" + w.Now().Format("2006_01_02_15_04_05") + "-" + hex.EncodeToString(salt)
	e = &errand{Request: r, world: w, run: run, name: record.JobName(run, exam.Job), dir: record.Dir(filepath.Join(base, "."+run))}
	if err := fsx.Claim(string(e.dir)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(string(e.dir))
		}
	}()
	if e.scheduler, err = w.Scheduler(ctx, e.dir, r.Spec, tuning.Slots(r.Spec, r.Slots)); err != nil {
		return nil, err
	}
	if err := exam.Prepare(e.dir); err != nil {
		return nil, err
	}
	return e, e.write()
}

// write is the job's order and its script.
func (e *errand) write() error {
	secrets, err := e.world.Outfit(e.dir, e.SpecFile, e.Spec)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(e.dir.Job(exam.Job), 0o755); err != nil {
		return err
	}
	resources := e.resources()
	order := doctor.Order{
		Schema: record.Schema, Kind: doctor.KindExam, GPUs: resources.GPUs, Runtime: e.Spec.Site.Container.Runtime,
		Server:   jobs.Assignment(e.Spec, e.Plan, e.run, record.Job{Kind: record.KindProbe}).Server,
		Patience: e.Grace.Seconds(),
	}
	if err := fsx.PublishJSON(e.dir.Assignment(exam.Job), order); err != nil {
		return err
	}
	set, err := templates.Load(e.TemplateDir)
	if err != nil {
		return err
	}
	v := templates.View{
		Run: e.run, Name: e.name, RunDir: string(e.dir), Agent: e.dir.Agent(), Log: e.dir.JobLog(exam.Job),
		Site: e.site(resources), Resources: resources, Assignment: e.dir.Assignment(exam.Job), System: e.Spec.System,
		SecretNames: e.Spec.Server.Secrets, Folders: slices.DeleteFunc([]string{e.Spec.DownloadDir, e.Spec.Server.CacheRoot}, func(d string) bool { return d == "" }),
	}
	if secrets {
		v.Secrets = e.dir.Secrets()
	}
	template := templates.Local
	if e.Spec.Scheduler == "slurm" {
		template = templates.Slurm
	}
	script, err := set.Render(template, v)
	if err != nil {
		return err
	}
	return fsx.Publish(e.dir.Script(exam.Job), script, 0o755)
}

// resources are those of a cell on its node, as far as they decide what a cell would see there, and little of all else.
func (e *errand) resources() record.Resources {
	r := record.Resources{CPUs: 1, Seconds: limitMinutes * 60}
	for _, u := range e.Plan.Units {
		for _, j := range u.Jobs {
			r.GPUs = max(r.GPUs, j.Resources.GPUs)
		}
	}
	if m := e.Spec.Site.MemoryMB(); m > 0 {
		r.MemMB = min(m, memoryMB)
	}
	return r
}

func (e *errand) site(r record.Resources) spec.Site {
	site := e.Spec.Site
	site.CPUs = r.CPUs
	if t := site.TimeSeconds(); t == 0 || t > limitMinutes*60 {
		site.Time = fmt.Sprint(limitMinutes)
	}
	if site.Memory != "" {
		site.Memory = fmt.Sprintf("%dM", max(r.MemMB, 1))
		if r.MemMB == 0 { // the whole node's
			site.Memory = fmt.Sprintf("%dM", memoryMB)
		}
	}
	return site
}

// do submits the job and awaits what it finds.
func (e *errand) do(ctx context.Context, ask time.Duration) (doctor.Job, error) {
	if err := e.submit(ctx); err != nil {
		return doctor.Job{Refused: oneLine(err), Later: errors.Is(err, jobs.ErrBackpressure), Unsure: errors.Is(err, jobs.ErrAmbiguous)}, ctx.Err()
	}
	fmt.Fprintf(e.world.Err, "%s: job %s looks around; waiting for it (at most %s until it starts, --no-job leaves it out)\n",
		e.Spec.Scheduler, e.handle.ID, e.Wait)
	job, err := exam.Watch{
		Dir: e.dir, Look: e.look, Wait: e.Wait, Run: limitMinutes*time.Minute + e.Grace, Grace: e.Grace, Poll: 200 * time.Millisecond, Ask: ask,
	}.Await(ctx)
	e.end(ctx, job, min(ask, time.Second))
	return job, err
}

// submit hands the job over. It is not cut short by an interruption, after which nobody would know whether there is a job.
func (e *errand) submit(ctx context.Context) (err error) {
	ctx = context.WithoutCancel(ctx)
	e.handle, err = e.scheduler.Submit(ctx, jobs.Request{
		Run: e.run, Name: e.name, Script: e.dir.Script(exam.Job), Log: e.dir.JobLog(exam.Job), WorkDir: string(e.dir), Resources: e.resources(),
	})
	if !errors.Is(err, jobs.ErrAmbiguous) {
		return err
	}
	for end := e.world.Now().Add(settle); e.world.Now().Before(end); time.Sleep(time.Second) { // the pause between two looks
		if listed, lerr := e.scheduler.List(ctx, e.run); lerr == nil && len(listed) > 0 {
			e.handle = listed[0].Handle
			return nil
		}
	}
	return err
}

// look finds the job in the scheduler's list by its id.
func (e *errand) look(ctx context.Context) (exam.Standing, error) {
	listed, err := e.scheduler.List(ctx, e.run)
	if err != nil {
		return exam.Standing{}, err
	}
	i := slices.IndexFunc(listed, func(s jobs.Status) bool { return s.ID == e.handle.ID })
	if i < 0 {
		return exam.Standing{}, nil
	}
	s := listed[i]
	return exam.Standing{
		Known: true, Pending: s.State == jobs.Pending || s.State == jobs.Stuck || s.State == jobs.Held, Over: s.State.Ended(),
		State: s.Word, Reason: s.Reason, Exit: s.ExitCode, Node: s.Node,
	}, nil
}

// end sees to it that the job is over: one that has said all ends by itself, any other is cancelled, by its id.
func (e *errand) end(ctx context.Context, job doctor.Job, ask time.Duration) {
	if job.Over {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer stop()
	cancelled := false
	for began := e.world.Now(); ctx.Err() == nil; {
		if !cancelled && (job.Findings == nil || time.Since(began) > endPatience/2) {
			if err := e.scheduler.Cancel(ctx, []jobs.Handle{e.handle}); err != nil {
				fmt.Fprintf(e.world.Err, "job %s could not be cancelled: %s\n", e.handle.ID, oneLine(err))
			}
			cancelled = true
		}
		if s, err := e.look(ctx); err == nil && (s.Over || !s.Known) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(ask): // the pause between two looks
		}
	}
	fmt.Fprintf(e.world.Err, "job %s (%s) is not over yet; it ends by itself\n", e.handle.ID, e.name)
}

// clean removes the folder, or of one that is kept the secrets; it returns the folder if it is still there.
func (e *errand) clean(keep bool, err error) (left string, _ error) {
	if keep {
		return string(e.dir), errors.Join(err, os.RemoveAll(e.dir.Secrets()))
	}
	var rerr error
	// The local scheduler, or a node that has the log open, may put a file into the folder while it goes.
	for range 20 {
		if rerr = os.RemoveAll(string(e.dir)); rerr == nil {
			return "", err
		}
		time.Sleep(100 * time.Millisecond) // the pause between two attempts
	}
	fmt.Fprintf(e.world.Err, "%s could not be removed: %v\n", e.dir, rerr)
	return string(e.dir), err
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
