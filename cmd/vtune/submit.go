package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/local"
	"vtune/templates"
)

func newSubmit(a *app) *cobra.Command {
	var r request
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "submit SPEC|RUN",
		Short: "Make the run directory and submit its jobs; run again, it repairs and submits nothing twice",
		Long: `submit makes <base>/auto-benchmark/<time>, writes every script into it, and submits the probe and the cells with their
dependencies. Given a run directory, or a spec whose last run is not over, it goes on with that run: what is not at the
scheduler yet is submitted, what is there stays as it is.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dryRun {
				dir, err := os.MkdirTemp("", "vtune-render-")
				if err != nil {
					return err
				}
				r.specFile = args[0]
				return a.render(r, dir)
			}
			t, err := a.submit(c.Context(), args[0], r)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.out, submission{Run: string(t.dir), ID: t.run.ID})
			}
			fmt.Fprintln(a.out, t.dir)
			fmt.Fprintf(a.err, "next: %s collect --watch %s\n", a.program, t.dir)
			return nil
		},
	}
	submitFlags(c, &r)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "render every script into a temporary directory and submit nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print run directory and id as JSON")
	return c
}

// submission is the answer of submit --json.
type submission struct {
	Run string `json:"run"`
	ID  string `json:"id"`
}

func submitFlags(c *cobra.Command, r *request) {
	c.Flags().StringVar(&r.templateDir, "template-dir", "", "directory whose templates replace the built-in ones of the same name")
	c.Flags().IntVar(&r.slots, "slots", 0, "GPU slots of the local scheduler (default: the GPUs of this machine, at least 1)")
	c.Flags().BoolVar(&r.another, "new", false, "start a new run although one of the same spec is not over")
}

// submit makes the run that path asks for, or finds the one to go on with, and puts its planned units out.
func (a *app) submit(ctx context.Context, path string, r request) (*tuning, error) {
	t, err := a.prepare(ctx, path, r)
	if err != nil {
		return nil, err
	}
	lease, err := t.lease(ctx, "submit")
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	return t, t.putOut(ctx)
}

func (t *tuning) putOut(ctx context.Context) error {
	s, err := t.submitter(ctx)
	if err != nil {
		return t.schedulerError(err)
	}
	rep, err := s.Units(ctx, t.plan.Units)
	if err != nil {
		return t.schedulerError(err)
	}
	fmt.Fprintf(t.app.err, "%s: %d submitted, %d found, %d already there", t.run.Scheduler, rep.Submitted, rep.Adopted, rep.Already)
	if rep.Held > 0 {
		fmt.Fprintf(t.app.err, ", %d later", rep.Held)
	}
	fmt.Fprintln(t.app.err)
	if rep.Why != nil {
		fmt.Fprintf(t.app.err, "the scheduler takes no more now (%v); collect submits the rest\n", rep.Why)
	}
	return nil
}

func (a *app) prepare(ctx context.Context, path string, r request) (*tuning, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return a.open(path)
	}
	r.specFile = path
	s, err := a.loadSpec(path)
	if err != nil {
		return nil, err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !r.another {
		if dir, ok := unfinished(baseDir(path, s), source); ok {
			fmt.Fprintf(a.err, "going on with %s, which is not over (--new starts another)\n", dir)
			return a.open(dir)
		}
	}
	if r.slots <= 0 {
		r.slots = localSlots(s)
	}
	caps, err := a.capabilities(ctx, s, r)
	if err != nil {
		return nil, err
	}
	return a.newRun(r, s, source, planOf(s, caps, 0))
}

// localSlots are the GPUs of this machine, fewer if the spec wants fewer cells at once.
func localSlots(s *spec.Spec) int {
	n := local.DetectSlots()
	if s.Site.MaxParallel > 0 {
		n = min(n, s.Site.MaxParallel*s.TensorParallel)
	}
	return max(n, s.TensorParallel)
}

func (a *app) capabilities(ctx context.Context, s *spec.Spec, r request) (jobs.Capabilities, error) {
	sched, err := newScheduler(a, "", record.Run{Scheduler: s.Scheduler, Slots: r.slots})
	if err != nil {
		return jobs.Capabilities{}, err
	}
	caps, err := sched.Capabilities(ctx)
	if err != nil {
		err = diag.Wrap(err, diag.Scheduler, "nothing was submitted or written")
	}
	return caps, err
}

// unfinished finds the newest run of the same spec that is neither over nor cancelled: typing submit twice must not cost twice.
func unfinished(base string, source []byte) (string, bool) {
	sum := sha256.Sum256(source)
	dirs, _ := filepath.Glob(filepath.Join(base, "auto-benchmark", "*"))
	for i := len(dirs) - 1; i >= 0; i-- {
		dir := record.Dir(dirs[i])
		var run record.Run
		if fsx.ReadJSON(dir.Run(), &run) != nil || run.SpecSHA256 != hex.EncodeToString(sum[:]) {
			continue
		}
		var st record.State
		_, cancelled := os.Stat(dir.Cancelled())
		if cancelled != nil && (fsx.ReadJSON(dir.State(), &st) != nil || !st.Phase.Over()) {
			return dirs[i], true
		}
	}
	return "", false
}

// render writes every script of a run under dir and submits nothing.
func (a *app) render(r request, dir string) error {
	s, err := a.loadSpec(r.specFile)
	if err != nil {
		return err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	set, err := templates.Load(r.templateDir)
	if err != nil {
		return err
	}
	t := &tuning{
		app: a, dir: record.Dir(abs), spec: s, plan: planOf(s, offline(s), 0), templates: set,
		run: record.Run{ID: filepath.Base(abs), Scheduler: s.Scheduler, Program: a.program},
	}
	if err := os.MkdirAll(t.dir.Jobs(), 0o755); err != nil {
		return err
	}
	if err := fsx.PublishJSON(t.dir.Plan(), t.plan); err != nil {
		return err
	}
	if err := fsx.Publish(t.dir.Effective(), s.Effective(), 0o644); err != nil {
		return err
	}
	for _, u := range t.plan.Units {
		if err := t.writeUnit(u, nil); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.out, abs)
	return nil
}
