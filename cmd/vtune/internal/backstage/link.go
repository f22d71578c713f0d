package backstage

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/handsfree"
	"vtune/cmd/vtune/internal/patience"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
)

// newLink is a job of the chain by which a run collects itself. Hidden, because scripts call it.
func newLink(a *caller.Caller) *cobra.Command {
	var grace time.Duration
	c := &cobra.Command{
		Use:    "link RUN N",
		Short:  "Collect once, as link N of a run's chain (called by job scripts)",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 {
				return diag.Errorf(diag.Usage, "%q is no link's number", args[1])
			}
			t, err := tuning.Open(c.Context(), a.World(), args[0])
			if err != nil {
				return err
			}
			if _, usual := patience.Of(t.Run.Scheduler); grace <= 0 {
				grace = usual
			}
			w := a.World()
			w.Program = t.Run.Program // as people call it, and not as the agent in the run is called
			return handsfree.Link(c.Context(), t, w, n, grace)
		},
	}
	c.Flags().DurationVar(&grace, "grace", 0, "as of collect")
	return c
}
