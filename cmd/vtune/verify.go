package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/notice"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/cmd/vtune/internal/verify"
)

func newVerify(a *app) *cobra.Command {
	var r tuning.Request
	var w verify.Wish
	var grace time.Duration
	var wish notice.Wish
	var detach, asJSON bool
	c := &cobra.Command{
		Use:   "verify RUN",
		Short: "Start the winner and check what the run claims of it, by one long load",
		Long:  verify.Help,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			w.Another = r.Another
			claim, err := verify.Of(c.Context(), a.World(), args[0], w)
			if err != nil {
				return err
			}
			r.TemplatesOf = claim.Templates()
			f, done := claim.Before(c.Context(), a.World())
			switch {
			case done && !r.Another:
			case detach:
				return a.detach(c.Context(), claim.SpecFile, r, wish, asJSON)
			default:
				t, st, err := a.carryOut(c.Context(), claim.SpecFile, r, wish, grace)
				if err != nil {
					return err
				}
				f = claim.Find(t.Place(), string(t.Dir), st)
			}
			if asJSON {
				return errors.Join(a.PrintJSON(f), f.Exit())
			}
			return errors.Join(f.Print(a.Out), f.Exit())
		},
	}
	c.Flags().Float64Var(&w.Rate, "rate", 0, "request rate to check, in requests/s (default: what the run claims)")
	c.Flags().DurationVar(&w.Duration, "duration", 10*time.Minute, "how long the load goes on")
	c.Flags().BoolVar(&detach, "detach", false, "submit only; the same command, typed again, watches and tells the finding")
	c.Flags().BoolVar(&asJSON, "json", false, "print the finding as JSON")
	submitFlags(c, &r)
	graceFlag(c, &grace)
	plainFlag(c, a)
	patienceFlag(c, a, 5*time.Minute)
	notifyFlags(c, &wish)
	return c
}
