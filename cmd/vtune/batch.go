package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/batch"
	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/record"
	"vtune/internal/spec"
)

func newBatch(a *app) *cobra.Command {
	var o batch.Options
	c := &cobra.Command{
		Use:   "batch RUNS.json",
		Short: "Tune each entry of a file for batch_auto_tune.sh, and write what came of it into the file",
		Long:  batch.Help,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.File = args[0]
			return batch.Command(c.Context(), a.Caller, o, batch.Hands{
				PutOut: func(ctx context.Context, me caller.Caller, t *tuning.Tuning) error {
					return (&app{Caller: me}).putOut(ctx, t, o.Request)
				},
				Collect: func(ctx context.Context, me caller.Caller, t *tuning.Tuning) (record.State, error) {
					return (&app{Caller: me}).collect(ctx, t, true, 0)
				},
				Show: func(s *spec.Spec) error { return a.showPlan(s, tuning.PlanFor(s, tuning.Offline(s), 0), 0) },
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.Spec, "spec", "", "a spec, or part of one, that holds where the entries say nothing (site, scheduler, server)")
	f.StringVar(&o.GCS, "gcs", "", "upload each run's folder below gs://BUCKET/PATH when it is over")
	f.BoolVar(&o.Retry, "retry-failed", false, "tune entries again whose status is no SUCCESS")
	f.BoolVar(&o.DryRun, "dry-run", false, "print what would be done with each entry, and its plan; nothing is written or submitted")
	f.BoolVar(&o.JSON, "json", false, "print how each entry came out as JSON")
	f.BoolVarP(&o.Request.Yes, "yes", "y", false, "agree to what machines that cost may spend at the worst, for each entry")
	f.Float64Var(&o.Request.ChipHours, "max-chip-hours", 0, "let TPU machines spend so many chip-hours at the worst, for each entry")
	patienceFlag(c, a, 5*time.Minute)
	return c
}
