package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/notice"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/record"
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
			t, st, err := a.carryOut(c.Context(), args[0], r, wish, grace)
			if err != nil {
				return err
			}
			return errors.Join(a.printEnd(t, st, asJSON), outcome(t, st))
		},
	}
	submitFlags(c, &r)
	graceFlag(c, &grace)
	plainFlag(c, a)
	patienceFlag(c, a, 5*time.Minute)
	notifyFlags(c, &wish)
	c.Flags().BoolVar(&asJSON, "json", false, "print the state at the end as JSON")
	return c
}

// carryOut submits what path asks for and watches it until it is over.
func (a *app) carryOut(ctx context.Context, path string, r tuning.Request, wish notice.Wish, grace time.Duration) (*tuning.Tuning, record.State, error) {
	t, err := tuning.Prepare(ctx, a.World(), path, r)
	if err != nil {
		return nil, record.State{}, err
	}
	lease, err := t.Lease(ctx, "run")
	if err != nil {
		return nil, record.State{}, err
	}
	defer lease.Release()
	fmt.Fprintln(a.Err, "run:", t.Place())
	if err := wish.Keep(t.Dir, a.Now()); err != nil {
		return nil, record.State{}, err
	}
	if err := a.putOut(ctx, t, r); err != nil {
		return nil, record.State{}, err
	}
	st, err := a.collect(ctx, t, true, grace)
	return t, st, err
}
