package tuning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"vtune/cmd/vtune/internal/depot"
	"vtune/cmd/vtune/internal/scripts"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/internal/spec/sites"
	"vtune/internal/spec/word"
	"vtune/jobs"
	"vtune/jobs/local"
	"vtune/templates"
)

// Prepare makes the run that path (a spec, or a run directory) asks for, or opens the one to go on with. Nothing is submitted.
func Prepare(ctx context.Context, w World, path string, r Request) (*Tuning, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() || word.InBucket(path) {
		return goOn(ctx, w, path, r)
	}
	r.SpecFile = path
	s, err := LoadSpec(w, path)
	if err != nil {
		return nil, err
	}
	if err := r.handsFreeOn(w, s.Scheduler); err != nil {
		return nil, err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	// The scheduler is asked before anything is made: without it there is nothing to begin.
	caps, err := capabilities(ctx, w, s, r)
	if err != nil {
		return nil, err
	}
	base, err := Base(w, path, s)
	if err != nil {
		return nil, err
	}
	const elsewhere = "results go below base in %s, relative to the spec's folder: name a folder of your own there, or copy the spec into one"
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, diag.Wrap(err, diag.Usage, fmt.Sprintf(elsewhere, path))
	}
	// Of two that submit the same spec at once, the second must find the first one's run.
	sum := sha256.Sum256(source)
	lease, err := w.Lease(ctx, filepath.Join(base, ".submit-"+hex.EncodeToString(sum[:4])), "submit")
	var held *fsx.HeldError
	if errors.As(err, &held) {
		return nil, diag.Wrap(fmt.Errorf("%s is being submitted: %w", path, err), diag.Busy, "submit again when that is done")
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, diag.Wrap(err, diag.Usage, fmt.Sprintf(elsewhere, path))
	}
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	if !r.Another {
		if dir, ok := unfinished(base, source); ok {
			fmt.Fprintf(w.Err, "going on with %s, which is not over (--new starts another)\n", dir)
			t, err := goOn(ctx, w, dir, r)
			if err == nil {
				t.written = path
			}
			return t, err
		}
	}
	if r.Slots <= 0 {
		r.Slots = localSlots(s)
	}
	return w.newRun(ctx, base, r, s, source, PlanFor(s, caps, 0))
}

// goOn opens a run to submit what is left of it. What was settled when it was made cannot be asked for again.
func goOn(ctx context.Context, w World, dir string, r Request) (*Tuning, error) {
	t, err := Open(ctx, w, dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(t.Dir.Cancelled()); err == nil {
		return nil, diag.Wrap(fmt.Errorf("run %s was cancelled", dir), diag.Usage,
			fmt.Sprintf("%s submit --new %s starts another", w.Program, t.Dir.Spec()))
	}
	if err := r.handsFreeOn(w, t.Run.Scheduler); err != nil {
		return nil, err
	}
	if r.TemplateDir != "" || r.Slots > 0 && r.Slots != t.Run.Slots {
		return nil, diag.Wrap(fmt.Errorf("run %s has its templates and slots already", dir), diag.Usage,
			"leave --template-dir and --slots out to go on with it, or start another with --new")
	}
	return t, nil
}

// handsFreeOn is an error where a scheduler cannot run a chain of links.
func (r Request) handsFreeOn(w World, scheduler string) error {
	if r.HandsFree == 0 || scheduler == "slurm" {
		return nil
	}
	if scheduler == "tpu" {
		return diag.Wrap(errors.New("--hands-free is for runs on a Slurm cluster; there is no job for a link of the chain to be"), diag.Usage,
			"leave --hands-free out and have `"+w.Program+" collect RUN` called every minute, by cron or a systemd timer, on a machine that stays up")
	}
	return diag.Wrap(errors.New("--hands-free is for runs on a cluster; the local scheduler lives on this machine, and so does what collects"),
		diag.Usage, "leave --hands-free out and keep `"+w.Program+" collect --watch RUN` going")
}

// LoadSpec is spec.LoadWith the site files of this user and machine, and with the hint that a file which is not there can be made.
func LoadSpec(w World, path string) (*spec.Spec, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage, "make one with: "+w.Program+" init -o "+path)
	}
	if info.IsDir() {
		return nil, diag.Errorf(diag.Usage, "%s is a directory, not a spec", path)
	}
	return spec.LoadWith(path, sites.FoldersOf(w.Env).Read)
}

// PlanFor is the plan of s for what its scheduler can take.
func PlanFor(s *spec.Spec, caps jobs.Capabilities, assumedThroughput float64) record.Plan {
	return jobs.Plan(s, jobs.Options{MaxArray: caps.MaxArray, AssumedThroughput: assumedThroughput})
}

// Offline is what plan and render assume of a scheduler that they do not ask: Slurm's own default of MaxArraySize, 1001.
func Offline(s *spec.Spec) jobs.Capabilities {
	if s.Scheduler == "slurm" {
		return jobs.Capabilities{Dependencies: true, MaxArray: 1001}
	}
	return jobs.Capabilities{Dependencies: s.Scheduler == "local"}
}

// localSlots are the GPUs of this machine, fewer if the spec wants fewer cells at once.
func localSlots(s *spec.Spec) int {
	n := local.DetectSlots()
	if s.Site.MaxParallel > 0 {
		n = min(n, s.Site.MaxParallel*jobs.Accelerators(s))
	}
	return max(n, jobs.Accelerators(s))
}

func capabilities(ctx context.Context, w World, s *spec.Spec, r Request) (jobs.Capabilities, error) {
	sched, err := w.Scheduler(ctx, "", s, r.Slots)
	if err != nil {
		return jobs.Capabilities{}, err
	}
	var caps jobs.Capabilities
	err = w.patiently(ctx, s.Scheduler, func() error {
		caps, err = sched.Capabilities(ctx)
		return err
	})
	if err != nil {
		err = diag.Wrap(err, diag.Scheduler, "nothing was submitted or written")
	}
	return caps, err
}

// unfinished finds the newest run of the same spec that is neither over nor cancelled: typing submit twice must not cost twice.
func unfinished(base string, source []byte) (found string, ok bool) {
	sum := sha256.Sum256(source)
	dirs, _ := fsx.Below(base, "*") // the pattern is sound
	newest := time.Time{}
	for _, d := range dirs {
		dir := record.Dir(d)
		var run record.Run
		if fsx.ReadJSON(dir.Run(), &run) != nil || run.SpecSHA256 != hex.EncodeToString(sum[:]) || run.Created.Before(newest) {
			continue
		}
		var st record.State
		_, cancelled := os.Stat(dir.Cancelled())
		if cancelled != nil && (fsx.ReadJSON(dir.State(), &st) != nil || !st.Phase.Over()) {
			found, newest = d, run.Created
		}
	}
	return found, found != ""
}

// Render writes every script and assignment of a run under dir and submits nothing.
func Render(w World, r Request, dir string) error {
	s, err := LoadSpec(w, r.SpecFile)
	if err != nil {
		return err
	}
	if err := r.handsFreeOn(w, s.Scheduler); err != nil {
		return err
	}
	set, err := templates.Load(r.TemplateDir)
	if err != nil {
		return err
	}
	t := &Tuning{
		world: w, Dir: record.Dir(dir), spec: s, Plan: PlanFor(s, Offline(s), 0), templates: set,
		Run: record.Run{ID: filepath.Base(dir), Scheduler: s.Scheduler, Program: w.Program, Bucket: depot.Place(s, filepath.Base(dir))},
	}
	if t.Run.AgentSHA256, err = scripts.AgentSum(); err != nil {
		return err
	}
	if err := os.MkdirAll(t.Dir.Jobs(), 0o755); err != nil {
		return err
	}
	if err := fsx.PublishJSON(t.Dir.Plan(), t.Plan); err != nil {
		return err
	}
	if err := fsx.Publish(t.Dir.Effective(), s.Effective(), 0o644); err != nil {
		return err
	}
	if err := t.scripts().Launch(); err != nil {
		return err
	}
	if err := t.scripts().Units(t.Plan.Units); err != nil {
		return err
	}
	if jobs.Pooled(s) {
		return t.renderRequests()
	}
	if r.HandsFree > 0 {
		return t.scripts().Link(scripts.LinkJob(1))
	}
	return nil
}
