package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/notice"
	"vtune/cmd/vtune/internal/tuning"
)

func newRun(a *app) *cobra.Command {
	var r tuning.Request
	var grace time.Duration
	var asJSON bool
	var wish notice.Wish
	c := &cobra.Command{
		Use:   "run SPEC|RUN",
		Short: "submit + collect --watch + summary, for people at a terminal",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := tuning.Prepare(c.Context(), a.World(), args[0], r)
			if err != nil {
				return err
			}
			lease, err := t.Lease(c.Context(), "run")
			if err != nil {
				return err
			}
			defer lease.Release()
			fmt.Fprintln(a.Err, "run:", t.Place())
			if err := wish.Keep(t.Dir, a.Now()); err != nil {
				return err
			}
			if err := a.putOut(c.Context(), t, r); err != nil {
				return err
			}
			st, err := a.collect(c.Context(), t, true, grace)
			if err != nil {
				return err
			}
			return errors.Join(a.printEnd(t, st, asJSON), outcome(t, st))
		},
	}
	submitFlags(c, &r)
	graceFlag(c, &grace)
	patienceFlag(c, a, 5*time.Minute)
	notifyFlags(c, &wish)
	c.Flags().BoolVar(&asJSON, "json", false, "print the state at the end as JSON")
	return c
}
