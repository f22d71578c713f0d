package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newRun(a *app) *cobra.Command {
	var r request
	var grace time.Duration
	c := &cobra.Command{
		Use:   "run SPEC|RUN",
		Short: "submit + collect --watch + summary, for people at a terminal",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.prepare(c.Context(), args[0], r)
			if err != nil {
				return err
			}
			lease, err := t.lease(c.Context(), "run")
			if err != nil {
				return err
			}
			defer lease.Release()
			fmt.Fprintln(a.err, "run:", t.dir)
			if err := t.putOut(c.Context()); err != nil {
				return err
			}
			st, err := t.collect(c.Context(), true, grace)
			if err != nil {
				return err
			}
			return errors.Join(t.printSummary(st), exitWith(exitCode(st)))
		},
	}
	submitFlags(c, &r)
	graceFlag(c, &grace)
	return c
}
