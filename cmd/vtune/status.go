package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/handsfree"
	"vtune/cmd/vtune/internal/live"
	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
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
			look := func(ctx context.Context) (live.Look, error) { return a.look(ctx, t, asJSON) }
			view := a.view(t, a.Out)
			if asJSON {
				view.Out = nil
			}
			if watch {
				return live.Onlook(c.Context(), view, every, a.Out, look)
			}
			l, err := look(c.Context())
			return errors.Join(err, l.Print(a.Out, a.Err, live.Look{}))
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on until the run is over")
	c.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON")
	c.Flags().DurationVar(&every, "interval", 5*time.Second, "pause between two looks with --watch")
	plainFlag(c, a)
	return c
}

// look is what status says, by one look.
func (a *app) look(ctx context.Context, t *tuning.Tuning, asJSON bool) (live.Look, error) {
	st, seen, who, err := a.status(ctx, t)
	if err != nil {
		return live.Look{}, err
	}
	line, remark := a.collecting(t, st, who)
	l := live.Look{State: st, Seen: seen, Remark: remark}
	var text strings.Builder
	if asJSON {
		err = caller.WriteJSON(&text, st)
	} else {
		err = screen.Status(&text, t.Place(), st, seen)
		text.WriteString(line)
	}
	l.Text = text.String()
	return l, err
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
