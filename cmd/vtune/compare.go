package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/reading"
	"vtune/internal/compare"
	"vtune/internal/diag"
)

func newCompare(a *app) *cobra.Command {
	var format, metric, tolerance string
	o := compare.Options{}
	c := &cobra.Command{
		Use:   "compare RUN_A RUN_B",
		Short: "Say what changed from one run to another, and whether it is more than noise; exit code 11 if B is worse",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Metric = compare.Metric(metric)
			if o.Tolerance, err = compare.Share(tolerance); err != nil || !(o.Alpha > 0 && o.Alpha < 1) || o.Metric != "" && !slices.Contains(compare.Metrics, o.Metric) || !slices.Contains(compare.Formats, format) {
				return diag.Wrap(fmt.Errorf("an option has no value that it can have"), diag.Usage, "see: "+c.CommandPath()+" --help")
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
				return incomparable(err)
			}
			text, err := found.Print(format)
			if err != nil {
				return err
			}
			fmt.Fprint(a.Out, text)
			if found.Outcome == compare.Worse {
				return caller.Exit(diag.Worse)
			}
			return nil
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, markdown or json")
	c.Flags().StringVar(&metric, "metric", "", "compare this only: throughput, rate or latency")
	c.Flags().Float64Var(&o.Alpha, "alpha", 0.05, "probability of calling equal runs different")
	c.Flags().StringVar(&tolerance, "tolerance", "2%", "a smaller change is never a failure")
	c.Flags().BoolVar(&o.Force, "force", false, "compare runs that do not answer the same question")
	return c
}

func incomparable(err error) error {
	var e compare.Incomparable
	hints := []string{}
	if errors.As(err, &e) {
		hints = e.Hints()
	}
	return diag.Wrap(err, diag.Usage, hints...)
}
