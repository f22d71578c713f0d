package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

func newCancel(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run: its recorded jobs are cancelled, and nothing else",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.open(args[0])
			if err != nil {
				return err
			}
			// The mark comes first: from here on no collector submits a follow-up, and an agent that starts all the same
			// skips its work. So the jobs recorded now are all there will be.
			mark := record.Cancelled{Schema: record.Schema, By: userName(), At: a.now().UTC()}
			data, err := fsx.JSON(mark)
			if err != nil {
				return err
			}
			if err := fsx.PublishNew(t.dir.Cancelled(), data, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			units, err := t.recorded()
			if err != nil {
				return err
			}
			var ids []string
			for _, u := range units {
				for _, j := range u.Jobs {
					ids = append(ids, j.ID)
				}
			}
			if err := t.cancelJobs(c.Context(), ids); err != nil {
				return err
			}
			fmt.Fprintf(a.out, "cancelled %s: %d jobs\n", t.dir, len(ids))
			fmt.Fprintf(a.err, "what was measured stays; %s collect %s writes it to result.txt\n", a.program, t.dir)
			return nil
		},
	}
}
