package backstage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/internal/agent"
	"vtune/internal/crew"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// newCrew is the side of an allocation that works off several jobs: its script ends in it. Hidden, because people never type it.
func newCrew(a *caller.Caller) *cobra.Command {
	return &cobra.Command{
		Use:    "crew ORDER",
		Short:  "Work off several jobs in this allocation (called by job scripts)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			dir := record.Dir(filepath.Dir(filepath.Dir(filepath.Dir(path)))) // as the agent finds it
			var order record.CrewOrder
			if err := fsx.ReadJSON(path, &order); err != nil {
				return fmt.Errorf("crew: %w", err)
			}
			ctx := context.WithoutCancel(c.Context())
			causes, done := crew.Causes()
			defer done()
			config := crew.Config{Dir: dir, Order: order, Stop: causes, Log: a.Err, Now: a.Now}
			config.Starter = crew.Srun{Dir: dir, Order: order, Env: a.Env, Shell: "/bin/bash", SMT: smt()}
			if order.Unit.Crew.Feed {
				ctx, stop := context.WithCancel(ctx)
				over, wait := crew.Collect(ctx, collector(a, dir), func(format string, args ...any) {
					fmt.Fprintf(a.Err, format+"\n", args...)
				})
				config.Done = over
				defer wait()
				defer stop()
			}
			interrupted, err := crew.Run(ctx, config)
			switch {
			case err != nil:
				return diag.Wrap(err, agent.Refused)
			case interrupted:
				return caller.Exit(agent.Stopped)
			}
			return nil
		},
	}
}

// collector collects for a run whose crew is fed. What it says goes into the crew's log.
func collector(a *caller.Caller, dir record.Dir) proc.Spec {
	return proc.Spec{
		Argv: []string{dir.Agent(), "collect", "--watch", string(dir)}, Env: a.Env, Stdout: a.Err, Stderr: a.Err, DieWithCaller: true,
	}
}

// smt reports whether this machine's cores have several threads.
func smt() bool {
	active, err := os.ReadFile("/sys/devices/system/cpu/smt/active")
	return err == nil && strings.TrimSpace(string(active)) == "1"
}
