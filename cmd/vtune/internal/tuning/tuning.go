// Package tuning is an open run in the hands of a command: its records together with the parts that act on it. It puts the
// rooms of the house together (plan, templates, schedulers, collector) and decides nothing that they could decide.
package tuning

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"strings"
	"syscall"
	"time"

	"vtune/cmd/vtune/internal/depot"
	"vtune/cmd/vtune/internal/patience"
	"vtune/cmd/vtune/internal/refusal"
	"vtune/cmd/vtune/internal/scripts"
	"vtune/cmd/vtune/internal/secrets"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/local"
	"vtune/jobs/slurm"
	"vtune/templates"
)

// World is what of the world around it a run may use.
type World struct {
	Env     []string
	Now     func() time.Time
	Program string    // the name vtune was called by, for printed next commands
	Version string    // of this build
	Err     io.Writer // the conversation
	// Patience is how long a scheduler is waited for that cannot be reached; 0: not at all.
	Patience time.Duration
	// Progress is told how far long work has come (see screen.Counter); nil: nobody is.
	Progress func(done, total int, what string)
}

// Getenv looks a variable up.
func (w World) Getenv(name string) (string, bool) {
	for _, e := range w.Env {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// patiently does what a scheduler is needed for.
func (w World) patiently(ctx context.Context, scheduler string, act func() error) error {
	return patience.Patience{For: w.Patience, Now: w.Now, Say: w.Err}.Wait(ctx, scheduler, act)
}

// Tuning is an open run.
type Tuning struct {
	Dir  record.Dir
	Run  record.Run
	Plan record.Plan

	world     World
	spec      *spec.Spec
	scheduler jobs.Scheduler
	templates *templates.Set
	written   string          // the spec's file as the user named it; empty where a run was opened by its folder
	depot     *depot.Depot    // of a run in a bucket; nil: its directory is all there is
	lost      <-chan struct{} // closed when the lease is another's
	foreign   error           // why nobody here can act on the run: it is another user's, or was imported
}

// Open reads a run back, by its directory or by its place in a bucket. The effective spec is read, not the user's file: what a run
// means is fixed at submit.
func Open(ctx context.Context, w World, path string) (*Tuning, error) {
	dir, err := depot.Find(ctx, w.Getenv, w.Program, path, w.Err, w.Now, w.Progress)
	if err != nil {
		return nil, err
	}
	t := &Tuning{world: w, Dir: dir}
	if t.Run, err = depot.RunAt(dir, w.Program, path); err != nil {
		return nil, err
	}
	if err := fsx.ReadJSON(t.Dir.Plan(), &t.Plan); err != nil {
		return nil, err
	}
	if t.spec, err = spec.Load(t.Dir.Effective()); err != nil {
		return nil, err
	}
	return t, t.equip(ctx)
}

// equip makes the parts that depend on the scheduler's kind.
func (t *Tuning) equip(ctx context.Context) (err error) {
	if t.templates, err = scripts.OwnTemplates(t.Dir.Templates()); err != nil {
		return err
	}
	env, err := t.environment()
	if err != nil {
		return err
	}
	if t.Run.Bucket != "" {
		return t.equipDepot(ctx)
	}
	t.foreign = cmp.Or(t.foreign, refusal.Imported(t.Run, t.Dir, t.world.Program))
	t.scheduler, err = newScheduler(secrets.Without(env, t.spec), t.Dir, t.Run, t.spec.Site)
	return err
}

// environment is the submitter's, with the caller's way to the scheduler: a follow-up that somebody else's shell, or cron,
// brings about must find what the run's first jobs found.
func (t *Tuning) environment() ([]string, error) {
	var env []string
	switch err := fsx.ReadJSON(t.Dir.Environment(), &env); {
	case errors.Is(err, fs.ErrNotExist): // not published yet, or a run that only renders
		return t.world.Env, nil
	case errors.Is(err, fs.ErrPermission), err == nil && t.anothers():
		t.foreign = diag.Wrap(fmt.Errorf("run %s belongs to %s, who alone can submit, collect or cancel it", t.Dir, t.Run.User), diag.Usage,
			fmt.Sprintf("%s status %s shows how it goes; %[1]s submit --new starts a run of your own", t.world.Program, t.Dir))
		return t.world.Env, nil
	case err != nil:
		return nil, err
	}
	if conf, ok := t.world.Getenv("SLURM_CONF"); ok {
		env = append(env, "SLURM_CONF="+conf)
	}
	return env, nil
}

// anothers reports whether a run that this process could write to is another user's all the same, as it is for root. A scheduler
// shows a user only the user's own jobs: to anybody else, all of the run's would be lost. Names and owners must both say so, since a
// node may know no names, and a file system may show one owner for all.
func (t *Tuning) anothers() bool {
	info, err := os.Stat(t.Dir.Run())
	if err != nil || t.Run.User == UserName() {
		return false
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	return known && int(owner.Uid) != os.Getuid()
}

func newScheduler(env []string, dir record.Dir, run record.Run, site spec.Site) (jobs.Scheduler, error) {
	switch run.Scheduler {
	case "slurm":
		return slurm.New(slurm.Config{Env: env, Account: site.Account, Partition: site.Partition, QOS: site.QOS}), nil
	case "local":
		return local.New(local.Config{Dir: dir.Scheduler(), Program: []string{dir.Agent()}, Env: env, Slots: run.Slots}), nil
	}
	return refusal.Scheduler(run)
}

// submitter asks the scheduler what it can do and returns the protocol's executor for this run.
func (t *Tuning) submitter(ctx context.Context) (*jobs.Submitter, error) {
	if t.foreign != nil {
		return nil, t.foreign
	}
	caps, err := t.scheduler.Capabilities(ctx)
	if err != nil {
		return nil, err
	}
	return &jobs.Submitter{
		Dir: t.Dir, Run: t.Run, Scheduler: t.scheduler, Caps: caps, Now: t.world.Now, Settle: 2 * time.Minute,
	}, nil
}

// schedulerError gives an adapter's error the exit code and the hint that its kind deserves.
func (t *Tuning) schedulerError(err error) error {
	return refusal.Text{Dir: t.Dir, Place: t.Place(), Program: t.world.Program, Env: t.world.Env, Written: t.written}.Explain(err)
}

// Lease is what is held while a run is in one's hands.
type Lease interface{ Release() error }

// Lease makes this process the only one that submits and collects for the run.
func (t *Tuning) Lease(ctx context.Context, doing string) (Lease, error) {
	if t.foreign != nil {
		return nil, t.foreign
	}
	l, err := t.lease(ctx, doing)
	var held *fsx.HeldError
	if errors.As(err, &held) {
		return nil, diag.Wrap(fmt.Errorf("run %s is in other hands: %w", t.Dir, err), diag.Busy,
			fmt.Sprintf("%s status %s shows how it goes; one process at a time decides on a run", t.world.Program, t.Dir))
	}
	return l, err
}

// Lease makes this process the only one that holds dir.
func (w World) Lease(ctx context.Context, dir, doing string) (*fsx.Lease, error) {
	cfg, err := leaseFor(doing)
	if err != nil {
		return nil, err
	}
	return fsx.Acquire(ctx, dir, cfg)
}

// leaseFor is how this process holds something.
func leaseFor(doing string) (fsx.LeaseConfig, error) {
	self, err := proc.Self()
	if err != nil {
		return fsx.LeaseConfig{}, err
	}
	start, err := json.Marshal(self)
	if err != nil {
		return fsx.LeaseConfig{}, err
	}
	return fsx.LeaseConfig{
		Me:   fsx.Owner{Host: self.Host, User: UserName(), PID: self.PID, Start: string(start), Doing: doing},
		Beat: 10 * time.Second, Stale: time.Minute, Alive: alive,
	}, nil
}

// Holder is the process that has the run in its hands, as far as can be seen from here; nil: none.
func (t *Tuning) Holder(ctx context.Context) *fsx.Owner {
	o, held := fsx.Holder(t.Dir.Collector())
	if t.depot != nil {
		o, held = t.depot.Holder(ctx)
	}
	if host, _ := os.Hostname(); !held || o.Host == host && !alive(o) {
		return nil
	}
	return &o
}

// alive judges an owner on this host.
func alive(o fsx.Owner) bool {
	var who proc.Identity
	return json.Unmarshal([]byte(o.Start), &who) == nil && who.Alive()
}

// UserName is who runs this process.
func UserName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint(os.Getuid())
}
