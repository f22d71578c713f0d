package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/handsfree"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/record"
	"vtune/jobs"
)

const usualPause = time.Minute

// pause is a flag's value: a duration of whole seconds, at least one.
type pause time.Duration

func (p *pause) String() string { return time.Duration(*p).String() }
func (p *pause) Type() string   { return "PAUSE" }
func (p *pause) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d > 24*time.Hour || d%time.Second != 0 {
		return errors.New("it is a time such as 90s, 5m or 1h, from a second to a day")
	}
	*p = pause(d)
	return nil
}

func handsFreeFlag(c *cobra.Command, r *tuning.Request) {
	f := c.Flags().VarPF((*pause)(&r.HandsFree), "hands-free", "",
		"let a chain of tiny jobs collect, with a pause between two that grows up to five times while nothing changes")
	f.NoOptDefVal = usualPause.String()
	f.DefValue = ""
}

// handsFree puts the chain out, then the planned units. The chain comes first: from then on what is left of the submission is done
// by a link, should this process end here, and where a limit on jobs leaves no room for all, the chain must have its place.
func (a *app) handsFree(ctx context.Context, t *tuning.Tuning, r tuning.Request) error {
	pause := r.HandsFree
	link, err := handsfree.Start(ctx, t, a.World(), pause)
	if err != nil {
		return err
	}
	err = a.putOut(ctx, t, r)
	switch {
	case errors.Is(err, jobs.ErrRefused):
		return errors.Join(err, handsfree.Withdraw(ctx, t))
	case err == nil && link > 0:
		fmt.Fprintf(a.Err, "collected by itself: link %d is out; it looks every %s, up to five times as rarely while nothing changes\n", link, pause)
	}
	return err
}

// collecting says who collects a run that is not over, which nobody may: in a line below the table, or as a warning.
func (a *app) collecting(t *tuning.Tuning, st record.State, who *handsfree.Collecting) (line, warning string) {
	if who == nil || st.Phase.Over() {
		return "", ""
	}
	line, hint := who.Say(t, a.Program, a.Now())
	if hint != "" {
		return "", fmt.Sprintf("warning: %s\nhint: %s\n", line, hint)
	}
	return line + "\n", ""
}
