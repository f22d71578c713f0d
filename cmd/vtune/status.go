package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/handsfree"
	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/record"
)

func newStatus(a *app) *cobra.Command {
	var watch, asJSON bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "status RUN",
		Short: "Show where a run stands: a row a cell, and when it may be over",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := tuning.Open(c.Context(), a.World(), args[0])
			if err != nil {
				return err
			}
			for {
				st, out, who, err := a.status(c.Context(), t)
				if err != nil {
					return err
				}
				if asJSON {
					err = a.PrintJSON(st)
				} else {
					err = screen.Status(a.Out, t.Place(), st, out, watch && screen.IsTerminal(a.Out))
				}
				a.printCollecting(t, st, who, asJSON)
				if err != nil || !watch || st.Phase.Over() {
					return err
				}
				select {
				case <-c.Context().Done():
					return caller.Exit(diag.Interrupted)
				case <-time.After(every): // the pace of a display, not a wait for a condition
				}
			}
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "redraw until the run is over")
	c.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON")
	c.Flags().DurationVar(&every, "interval", 5*time.Second, "pause between two looks with --watch")
	return c
}

// status reads the directory afresh and asks the scheduler once; it writes nothing and needs no lease. A scheduler that does
// not answer costs its columns only.
func (a *app) status(ctx context.Context, t *tuning.Tuning) (record.State, map[string]collect.Seen, *handsfree.Collecting, error) {
	if err := t.Pull(ctx); err != nil {
		fmt.Fprintln(a.Err, "warning: what is shown is what was here before:", caller.OneLine(err))
	}
	scan := collect.Scanner{Dir: t.Dir}
	snap, err := scan.Scan()
	if err != nil {
		return record.State{}, nil, nil, err
	}
	byJob := map[string]collect.Seen{}
	seen, err := t.Seen(ctx)
	if err != nil {
		fmt.Fprintln(a.Err, "warning: the scheduler does not answer:", err)
	}
	var who *handsfree.Collecting
	if err == nil && !t.Foreign() { // whose jobs are shown to nobody else
		c := handsfree.Who(ctx, t, snap.Links, seen)
		who = &c
	}
	for _, s := range seen {
		byJob[s.Job] = s
	}
	return collect.Derive(snap), byJob, who, nil
}
