package backstage

import (
	"context"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/internal/crew"
	"vtune/internal/diag"
	"vtune/internal/worker"
)

// newWorker is what a machine of Cloud TPU runs: its startup script ends in it. Hidden, because people never type it.
func newWorker(a *caller.Caller) *cobra.Command {
	var url string
	w := worker.Config{Env: a.Env, Log: a.Err, Now: a.Now, Metadata: worker.Metadata}
	c := &cobra.Command{
		Use: "worker", Short: "Work off a run's queue in a bucket (called by startup scripts)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			stop, done := crew.Causes()
			defer done()
			ctx := context.WithoutCancel(c.Context())
			w, err := w.At(ctx, url)
			if err != nil {
				return err
			}
			w.Stop = stop
			code, err := worker.Run(ctx, w)
			if err != nil {
				return diag.Wrap(err, code)
			}
			return caller.Exit(code)
		},
	}
	c.Flags().StringVar(&url, "bucket", "", "the run, as gs://BUCKET/PATH")
	c.Flags().StringVar(&w.Unit, "unit", "", "the machine's unit")
	c.Flags().StringVar((*string)(&w.Dir), "dir", "", "the machine's own run directory, with bin/vtune in it")
	return c
}
