package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/consent"
	"vtune/cmd/vtune/internal/notice"
	"vtune/cmd/vtune/internal/tuning"
)

func newSubmit(a *app) *cobra.Command {
	var r tuning.Request
	var dryRun, asJSON bool
	var wish notice.Wish
	c := &cobra.Command{
		Use:   "submit SPEC|RUN",
		Short: "Make the run directory and submit its jobs; run again, it repairs and submits nothing twice",
		Long: `submit makes <base>/auto-benchmark/<time>, writes every script into it, and submits the probe and the cells with their
dependencies. Given a RUN, or a spec whose last run is not over, it goes on with that run: what is not at the
scheduler yet is submitted, what is there stays as it is.

With --hands-free nobody need collect: a chain of tiny jobs does, until the run is over. Given a run whose chain is broken, it
is put together again.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dryRun {
				dir, err := os.MkdirTemp("", "vtune-render-")
				if err != nil {
					return err
				}
				r.SpecFile = args[0]
				return a.render(r, dir, asJSON)
			}
			return a.detach(c.Context(), args[0], r, wish, asJSON)
		},
	}
	submitFlags(c, &r)
	handsFreeFlag(c, &r)
	patienceFlag(c, a, 5*time.Minute)
	notifyFlags(c, &wish)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "render every script into a temporary directory and submit nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print run directory and id as JSON")
	return c
}

// detach submits, and leaves what follows to others.
func (a *app) detach(ctx context.Context, path string, r tuning.Request, wish notice.Wish, asJSON bool) error {
	t, err := a.submit(ctx, path, r, wish)
	if err != nil {
		return err
	}
	if asJSON {
		return a.PrintJSON(submission{Run: t.Place(), ID: t.Run.ID})
	}
	fmt.Fprintln(a.Out, t.Place())
	next := "collect --watch"
	if r.HandsFree > 0 {
		next = "status"
	}
	fmt.Fprintf(a.Err, "next: %s %s %s\n", a.Program, next, t.Place())
	return nil
}

// submission is the answer of submit --json.
type submission struct {
	Run string `json:"run"`
	ID  string `json:"id"`
}

func submitFlags(c *cobra.Command, r *tuning.Request) {
	c.Flags().StringVar(&r.TemplateDir, "template-dir", "", "directory whose templates replace the built-in ones of the same name")
	c.Flags().IntVar(&r.Slots, "slots", 0, "GPU slots of the local scheduler (default: the GPUs of this machine, at least 1)")
	c.Flags().BoolVar(&r.Another, "new", false, "start a new run although one of the same spec is not over")
	c.Flags().BoolVarP(&r.Yes, "yes", "y", false, "agree to what machines that cost may spend at the worst")
	c.Flags().Float64Var(&r.ChipHours, "max-chip-hours", 0, "let TPU machines spend so many chip-hours at the worst (default: max_chip_hours of the spec)")
}

func patienceFlag(c *cobra.Command, a *app, usual time.Duration) {
	patience := c.Flags().Duration("patience", usual, "how long to wait for a scheduler that cannot be reached; 0: not at all")
	c.PreRun = func(*cobra.Command, []string) { a.Patience = *patience }
}

// submit makes or finds the run that path asks for and puts its planned units out.
func (a *app) submit(ctx context.Context, path string, r tuning.Request, wish notice.Wish) (*tuning.Tuning, error) {
	t, err := tuning.Prepare(ctx, a.World(), path, r)
	if err != nil {
		return nil, err
	}
	lease, err := t.Lease(ctx, "submit")
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	if err := wish.Keep(t.Dir, a.Now()); err != nil {
		return nil, err
	}
	if r.HandsFree > 0 {
		return t, a.handsFree(ctx, t, r)
	}
	return t, a.putOut(ctx, t, r)
}

func (a *app) putOut(ctx context.Context, t *tuning.Tuning, r tuning.Request) error {
	if err := consent.Agree(t, r, a.In, a.Err); err != nil {
		return err
	}
	rep, err := t.Submit(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Err, "%s: %d submitted, %d found, %d already there", t.Run.Scheduler, rep.Submitted, rep.Adopted, rep.Already)
	if rep.Held > 0 {
		fmt.Fprintf(a.Err, ", %d later", rep.Held)
	}
	fmt.Fprintln(a.Err)
	if rep.Why != nil {
		fmt.Fprintf(a.Err, "the scheduler takes no more now (%v); collect submits the rest\n", rep.Why)
	}
	return nil
}

func (a *app) render(r tuning.Request, dir string, asJSON bool) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := tuning.Render(a.World(), r, abs); err != nil {
		return err
	}
	if asJSON {
		return a.PrintJSON(submission{Run: abs, ID: filepath.Base(abs)})
	}
	fmt.Fprintln(a.Out, abs)
	return nil
}
