package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/checkup"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/doctor"
	"vtune/jobs"
)

func newDoctor(a *app) *cobra.Command {
	var r checkup.Request
	var noJob, asJSON bool
	var assumed float64
	c := &cobra.Command{
		Use:   "doctor [SPEC]",
		Short: "Say what a run of a spec would stumble over, before it does; without a spec, what the cluster is like",
		Long: `doctor looks at the cluster, the spec and this machine, and lets a small job look around on a node: with the spec's own site,
environment and GPUs, 1 CPU and 10 minutes at most. The job is cancelled if it does not start in time, and it and its folder
(<base>/auto-benchmark/.doctor-...) are gone afterwards; the folder stays if the job failed. For TPUs, which cost, none is sent.

Each line is ok, warn or fail, with a remedy below it. The exit code is 10 if a line is fail.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if assumed <= 0 {
				return diag.Errorf(diag.Usage, "--assume-throughput must be positive")
			}
			f := doctor.Facts{Scheduler: "slurm"}
			if len(args) > 0 {
				r.SpecFile = args[0]
				s, err := tuning.LoadSpec(a.World(), r.SpecFile)
				if err != nil {
					return err
				}
				f.Spec, f.Scheduler, r.Spec = s, s.Scheduler, s
			}
			if err := checkup.Look(c.Context(), a.World(), &f, r, assumed); err != nil {
				return err
			}
			if f.Spec != nil && !noJob && !jobs.Pooled(f.Spec) {
				r.Plan = f.Plan
				if err := a.sendJob(c.Context(), &f, r); err != nil {
					return err
				}
			}
			return a.printDiagnosis(f, asJSON)
		},
	}
	c.Flags().BoolVar(&noJob, "no-job", false, "submit nothing: leave out what only a node can tell")
	c.Flags().DurationVar(&r.Wait, "wait", 5*time.Minute, "how long the job may wait to be started; then it is cancelled")
	c.Flags().DurationVar(&r.Grace, "grace", 0, "how long files of the node may take to be seen (default: 2s local, 60s Slurm)")
	c.Flags().StringVar(&r.TemplateDir, "template-dir", "", "directory whose templates replace the built-in ones of the same name")
	c.Flags().IntVar(&r.Slots, "slots", 0, "GPU slots of the local scheduler (default: the GPUs of this machine, at least 1)")
	c.Flags().Float64Var(&assumed, "assume-throughput", jobs.DefaultThroughput, "throughput of a cell at an infinite rate, in requests/s, to reckon the longest job with")
	c.Flags().BoolVar(&asJSON, "json", false, "print the lines and what was measured as JSON")
	return c
}

// sendJob lets a job look around, unless it is known already that none can run.
func (a *app) sendJob(ctx context.Context, f *doctor.Facts, r checkup.Request) error {
	if doctor.Blocked(doctor.Diagnose(*f)) {
		f.Job = &doctor.Job{Skipped: true}
		return nil
	}
	job, err := checkup.Run(ctx, a.World(), r)
	switch {
	case ctx.Err() != nil:
		return diag.Wrap(errInterrupted, diag.Interrupted, "nothing is left in the queue")
	case errors.Is(err, os.ErrPermission):
		f.Base, f.BaseProblem = nil, err.Error()
		return nil
	case err != nil:
		return err
	}
	f.Job = &job
	return nil
}

// diagnosis is the answer of doctor --json.
type diagnosis struct {
	Lines []doctor.Line `json:"lines"`
	Facts doctor.Facts  `json:"facts"`
}

func (a *app) printDiagnosis(f doctor.Facts, asJSON bool) error {
	lines := doctor.Diagnose(f)
	if asJSON {
		if err := a.PrintJSON(diagnosis{lines, f}); err != nil {
			return err
		}
	} else if _, err := io.WriteString(a.Out, doctor.Text(lines)); err != nil {
		return err
	}
	if doctor.Failed(lines) {
		return caller.Exit(diag.Unwell)
	}
	return nil
}
