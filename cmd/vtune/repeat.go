package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect/fleet"
	"vtune/internal/diag"
)

func newRepeat(a *app) *cobra.Command {
	var w fleet.Wish
	c := &cobra.Command{
		Use:   "repeat RUN [CELL...]",
		Short: "Have cells measured again: by name, or --outliers for all that a slow or hot node measured",
		Long: `repeat asks for cells to be measured again, each from its beginning, on other nodes than those that the run found to be slow or
throttled. It asks only: the next collect of the run submits the jobs, also of a run that is over. What was measured before stands
until the repetition has something to show.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if w.Cells = args[1:]; len(w.Cells) == 0 && !w.Outliers {
				return diag.Wrap(fmt.Errorf("nothing to repeat was named"), diag.Usage, "name cells as status shows them, or use --outliers")
			}
			t, err := tuning.Open(c.Context(), a.World(), args[0])
			if err != nil {
				return err
			}
			asked, err := t.Repeat(c.Context(), w)
			if err != nil {
				return err
			}
			for _, r := range asked {
				elsewhere := ""
				if len(r.Avoid) > 0 {
					elsewhere = ", not on " + strings.Join(r.Avoid, ", ")
				}
				fmt.Fprintf(a.Out, "%s again%s: %s\n", r.Cell, elsewhere, r.Reason)
			}
			if len(asked) == 0 {
				fmt.Fprintln(a.Out, "nothing: no cell rests on what a marked node measured")
				return nil
			}
			fmt.Fprintf(a.Err, "next: %s collect --watch %s\n", a.Program, t.Place())
			return nil
		},
	}
	c.Flags().BoolVar(&w.Outliers, "outliers", false, "all cells that rest on what was measured on an outlier")
	c.Flags().StringSliceVar(&w.Avoid, "avoid", nil, "further nodes to stay away from")
	return c
}
