package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/tuning"
)

func newCancel(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run: its recorded jobs are cancelled, and nothing else",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := tuning.Open(c.Context(), a.world(), args[0])
			if err != nil {
				return err
			}
			if err := t.Pull(c.Context()); err != nil {
				fmt.Fprintln(a.err, "warning: what others did meanwhile is not known:", oneLine(err))
			}
			n, err := t.Cancel(c.Context())
			if err != nil {
				return err
			}
			if _, err := os.Stat(t.Dir.Cancelled()); err != nil {
				fmt.Fprintf(a.out, "%s is over already: nothing to cancel\n", t.Place())
				return nil
			}
			fmt.Fprintf(a.out, "cancelled %s: %d jobs\n", t.Place(), n)
			fmt.Fprintf(a.err, "what was measured stays; %s collect %s writes it to result.txt\n", a.program, t.Place())
			return nil
		},
	}
	patienceFlag(c, a, time.Minute)
	return c
}
