package afterwards

import (
	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/reading"
	"vtune/internal/compare"
	"vtune/internal/diag"
)

func newCompare(a *caller.Caller) *cobra.Command {
	o := compare.Options{Tolerance: 0.02}
	c := &cobra.Command{
		Use:   "compare RUN_A RUN_B",
		Short: "Say what changed from one run to another, and whether it is more than noise; exit code 11 if B is worse",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			var sides [2]compare.Side
			for i, path := range args {
				r, err := reading.Open(c.Context(), a.World(), path)
				if err != nil {
					return err
				}
				sides[i] = compare.Side{Run: r.Run, Spec: r.Spec, State: r.State}
			}
			found, err := compare.Compare(sides[0], sides[1], o)
			if err != nil {
				return err
			}
			if err := found.Print(a.Out, o.Format); err != nil || found.Outcome != compare.Worse {
				return err
			}
			return caller.Exit(diag.Worse)
		},
	}
	c.Flags().StringVar(&o.Format, "format", "text", "text, markdown or json")
	c.Flags().StringVar((*string)(&o.Metric), "metric", "", "compare this only: throughput, rate or latency")
	c.Flags().Float64Var(&o.Alpha, "alpha", 0.05, "probability of calling equal runs different")
	c.Flags().Var(&o.Tolerance, "tolerance", "a smaller change is never a failure")
	c.Flags().BoolVar(&o.Force, "force", false, "compare runs that do not answer the same question")
	return c
}
