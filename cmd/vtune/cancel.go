package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/internal/diag"
	"vtune/jobs/tpu"
)

func newCancel(a *app) *cobra.Command {
	var orphans, yes bool
	c := &cobra.Command{
		Use:   "cancel RUN",
		Short: "End a run: its recorded jobs are cancelled, and nothing else",
		Long: `cancel ends the jobs that the run's records name, and nothing else. With --all-orphans it lists the Cloud TPU resources that bear
the run's label and that no record of it knows (all of them, if the run is over), and with --yes deletes those.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := tuning.Open(c.Context(), a.World(), args[0])
			if err != nil {
				return err
			}
			if err := t.Pull(c.Context()); err != nil {
				if orphans { // what others asked for meanwhile would be taken for nobody's
					return err
				}
				fmt.Fprintln(a.Err, "warning: what others did meanwhile is not known:", caller.OneLine(err))
			}
			if orphans {
				return a.orphans(c.Context(), t, yes)
			}
			n, err := t.Cancel(c.Context())
			if err != nil {
				return err
			}
			if _, err := os.Stat(t.Dir.Cancelled()); err != nil {
				fmt.Fprintf(a.Out, "%s is over already: nothing to cancel\n", t.Place())
				return nil
			}
			fmt.Fprintf(a.Out, "cancelled %s: %d jobs\n", t.Place(), n)
			fmt.Fprintf(a.Err, "what was measured stays; %s collect %s writes it to result.txt\n", a.Program, t.Place())
			return nil
		},
	}
	patienceFlag(c, a, time.Minute)
	c.Flags().BoolVar(&orphans, "all-orphans", false, "list the resources that bear the run's label and are nobody's; the run itself goes on")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "with --all-orphans: delete them")
	return c
}

func (a *app) orphans(ctx context.Context, t *tuning.Tuning, remove bool) error {
	if t.Pool() == nil {
		return diag.Errorf(diag.Usage, "run %s has no resources that could be left: its jobs are the scheduler's", t.Dir)
	}
	var list []tpu.Orphan
	scan := collect.Scanner{Dir: t.Dir}
	snap, err := scan.Scan()
	if err == nil {
		err = t.Patiently(ctx, func() (err error) {
			list, err = t.Pool().Orphans(ctx, collect.Derive(snap).Phase.Over())
			return err
		})
	}
	if err != nil {
		return err
	}
	for _, o := range list {
		fmt.Fprintf(a.Out, "%s\t%s\t%s\tsince %s\n", o.ID, o.Cluster, o.Word, o.Created.Local().Format("2006-01-02 15:04"))
	}
	switch {
	case len(list) == 0:
		fmt.Fprintln(a.Out, "no resource bears the run's label and is nobody's")
		return nil
	case !remove:
		fmt.Fprintf(a.Err, "nothing was deleted; %s cancel %s --all-orphans --yes deletes these %d\n", a.Program, t.Place(), len(list))
		return nil
	}
	if err := t.Patiently(ctx, func() error { return t.Pool().Delete(ctx, list) }); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "deleted: %d\n", len(list))
	return nil
}
