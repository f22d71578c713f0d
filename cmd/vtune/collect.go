package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/ending"
	"vtune/cmd/vtune/internal/live"
	"vtune/cmd/vtune/internal/notice"
	"vtune/cmd/vtune/internal/patience"
	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/report"
)

func newCollect(a *app) *cobra.Command {
	var watch, asJSON bool
	var grace time.Duration
	var wish notice.Wish
	c := &cobra.Command{
		Use:   "collect RUN",
		Short: "Look at a run once: state, follow-ups, result.txt; --watch goes on until it is over",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := tuning.Open(c.Context(), a.World(), args[0])
			if err != nil {
				return err
			}
			lease, err := t.Lease(c.Context(), "collect")
			if err != nil {
				return err
			}
			defer lease.Release()
			if err := wish.Keep(t.Dir, a.Now()); err != nil {
				return err
			}
			st, err := a.collect(c.Context(), t, watch, grace)
			if err != nil {
				return err
			}
			return errors.Join(a.printEnd(t, st, asJSON), outcome(t, st))
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "go on until the run is over")
	c.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON")
	graceFlag(c, &grace)
	plainFlag(c, a)
	notifyFlags(c, &wish)
	return c
}

// notifyFlags are kept in the run, for whoever collects its end.
func notifyFlags(c *cobra.Command, wish *notice.Wish) {
	c.Flags().StringVar(&wish.Command, "on-done", "", "command for sh when the run is over: the summary is its input, VTUNE_RUN, _PHASE, _EXIT_CODE, ... its environment")
	c.Flags().StringVar(&wish.Webhook, "webhook", "", "URL (or @FILE that has it) that is told by a POST when the run is over")
	earlier := c.PreRun
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if earlier != nil {
			earlier(c, args)
		}
		return wish.Check()
	}
}

func graceFlag(c *cobra.Command, grace *time.Duration) {
	c.Flags().DurationVar(grace, "grace", 0,
		"how long a job may be over or unknown at the scheduler before its missing result is given up (default: 2s local, else 2m)")
}

// collect makes one pass, or passes until the run is over. The caller holds the lease.
func (a *app) collect(ctx context.Context, t *tuning.Tuning, watch bool, grace time.Duration) (record.State, error) {
	ctx, stop := t.Held(ctx)
	defer stop()
	pace, usual := patience.Of(t.Run.Scheduler)
	if grace <= 0 {
		grace = usual
	}
	col := t.Collector(grace)
	if !watch {
		st, err := col.Pass(ctx, true)
		if err = errors.Join(err, t.Close(ctx, st, 0)); err == nil {
			notice.Send(ctx, a.World(), t, st)
		}
		return st, err
	}
	lines := screen.NewProgress(a.Err)
	show := collect.Report{Event: lines.Event, Pass: lines.Pass}
	watching, leave := ctx, func() {}
	if view := a.view(t, a.Err); view.Possible() {
		var v *live.View
		watching, v = live.Open(ctx, view)
		leave = v.Close
		show = collect.Report{Event: v.Event, Pass: v.Pass}
	}
	defer leave()
	st, err := col.Watch(watching, pace, show)
	interrupted, cause := watching.Err() != nil, context.Cause(watching)
	leave() // whoever leaves a view of a run that is over must not end what tells of it
	if errors.Is(cause, tuning.ErrTakenOver) {
		return st, cause
	}
	if interrupted {
		return st, diag.Wrap(errInterrupted, diag.Interrupted,
			fmt.Sprintf("the jobs go on; %s collect --watch %s goes on watching, %s cancel %s ends them", a.Program, t.Place(), a.Program, t.Place()))
	}
	if err != nil {
		return st, err
	}
	if err := t.Close(ctx, st, pace.AskMin/3); err != nil {
		return st, err
	}
	notice.Send(ctx, a.World(), t, st)
	return st, nil
}

func plainFlag(c *cobra.Command, a *app) {
	talk := screen.NewTalk(a.Err, a.Env)
	c.Flags().BoolVar(&talk.Plain, "plain", talk.Plain, "lines only, also on a terminal; so it is with NO_COLOR or TERM=dumb")
}

// view is how a run is shown on the terminal behind out, if there is one.
func (a *app) view(t *tuning.Tuning, out any) live.Config {
	return live.Config{
		In: a.In, Out: out, Talk: screen.NewTalk(a.Err, a.Env), Env: a.Env, Now: a.Now, Dir: t.Dir, Place: t.Place(),
		Created: t.Run.Created,
	}
}

// outcome is a run's end as an error: only a code where the summary says it all, a hint at the log where something failed.
func outcome(t *tuning.Tuning, st record.State) error {
	code := ending.Code(st)
	if log := ending.Log(st); log != "" && code != diag.OK {
		return diag.Wrap(caller.Exit(code), code, "the last words are in "+filepath.Join(string(t.Dir), log))
	}
	return caller.Exit(code)
}

func (a *app) printEnd(t *tuning.Tuning, st record.State, asJSON bool) error {
	if asJSON {
		return a.PrintJSON(st)
	}
	command, err := t.ServeCommand(st)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.Out, report.Summary(t.Run, st, string(t.Dir), command))
	return err
}
