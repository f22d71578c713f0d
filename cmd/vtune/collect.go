package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/record"
)

func newCollect(a *app) *cobra.Command {
	var watch, asJSON bool
	var grace time.Duration
	c := &cobra.Command{
		Use:   "collect RUN",
		Short: "Look at a run once: state, follow-ups, result.txt; --watch goes on until it is over",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.open(args[0])
			if err != nil {
				return err
			}
			lease, err := t.lease(c.Context(), "collect")
			if err != nil {
				return err
			}
			defer lease.Release()
			st, err := t.collect(c.Context(), watch, grace)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(a.out, st)
			} else {
				err = t.printSummary(st)
			}
			return errors.Join(err, exitWith(exitCode(st)))
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on until the run is over")
	c.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON")
	graceFlag(c, &grace)
	return c
}

func graceFlag(c *cobra.Command, grace *time.Duration) {
	c.Flags().DurationVar(grace, "grace", 0,
		"how long a job may be over or unknown at the scheduler before its missing result is given up (default: 2s local, 60s Slurm)")
}

// pace of the scheduler's kind: a local query reads a few files, a Slurm query is an RPC to a daemon that a whole site shares.
func (t *tuning) pace() (collect.Pace, time.Duration) {
	if t.run.Scheduler == "local" {
		return collect.Pace{Rescan: 500 * time.Millisecond, AskMin: time.Second, AskMax: 2 * time.Second, Full: 10 * time.Second}, 2 * time.Second
	}
	return collect.Pace{Rescan: 2 * time.Second, AskMin: 15 * time.Second, AskMax: 3 * time.Minute, Full: time.Minute}, time.Minute
}

// collect makes one pass, or passes until the run is over. The caller holds the lease.
func (t *tuning) collect(ctx context.Context, watch bool, grace time.Duration) (record.State, error) {
	pace, usual := t.pace()
	if grace <= 0 {
		grace = usual
	}
	col := collect.New(collect.Config{
		Dir: t.dir, Look: t.seen, Submit: t.submitAll, Cancel: t.cancelJobs, Now: t.app.now, Grace: grace,
	})
	if !watch {
		return col.Pass(ctx, true)
	}
	p := newProgress(t.app, t.dir)
	st, err := col.Watch(ctx, pace, collect.Report{Event: p.event, Pass: p.pass})
	p.close()
	if ctx.Err() != nil {
		return st, diag.Wrap(fmt.Errorf("interrupted: %w", ctx.Err()), diag.Interrupted,
			fmt.Sprintf("the jobs go on; %s collect --watch %s goes on watching, %s cancel %s ends them", t.app.program, t.dir, t.app.program, t.dir))
	}
	return st, err
}

// exitCode of a run's state, for scripts that call collect and run.
func exitCode(st record.State) diag.Code {
	switch {
	case st.Phase != record.PhaseOver:
		return diag.Unfinished
	case st.Best == nil:
		return diag.Infeasible
	}
	for _, c := range st.Cells {
		if c.Phase == record.WorkFailed {
			return diag.FailedCells
		}
	}
	return diag.OK
}
