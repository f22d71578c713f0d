package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"vtune/internal/agent"
	"vtune/internal/crew"
	"vtune/internal/diag"
	"vtune/internal/exam"
	"vtune/internal/record"
	"vtune/jobs/local"
)

// newAgent is the job's side: scripts end in it. Hidden, because people never type it.
func newAgent(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "agent ASSIGNMENT",
		Short:  "Do a job's work on its node (called by job scripts)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			// <run>/jobs/<job>/assignment.json: the run is found from where the assignment stands, not from what it says,
			// so that a run directory may be mounted elsewhere on a node.
			dir := record.Dir(filepath.Dir(filepath.Dir(filepath.Dir(path))))
			if exam.Ordered(path) {
				return exam.Run(c.Context(), exam.Config{Dir: dir, Assignment: path, Env: a.env, Log: a.err})
			}
			stop, done := stopCauses()
			defer done()
			code, err := agent.Run(context.WithoutCancel(c.Context()), agent.Config{
				Dir: dir, Assignment: path, Env: a.env, Log: a.err, Stop: stop,
			})
			if err != nil {
				return diag.Wrap(err, code)
			}
			return exitWith(code)
		},
	}
}

// stopCauses turns the scheduler's signals into causes: USR2 is the early warning that scripts ask for before a time limit, TERM
// is an order to end, and so is crew.StopSignal, by which a crew passes it on. All let the agent publish what it has.
func stopCauses() (<-chan record.Cause, func()) {
	signals := make(chan os.Signal, 4)
	causes := make(chan record.Cause, 4)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT, crew.StopSignal)
	quit := make(chan struct{})
	go func() {
		for {
			select {
			case <-quit:
				return
			case s := <-signals:
				cause := record.CauseStopped
				if s == syscall.SIGUSR2 {
					cause = record.CauseTimeLimit
				}
				select {
				case causes <- cause:
				default: // four orders are waiting already
				}
			}
		}
	}()
	return causes, func() { signal.Stop(signals); close(quit) }
}

func newLocalScheduler(*app) *cobra.Command {
	return &cobra.Command{
		Use:    local.DaemonCommand + " DIR",
		Short:  "Run the jobs of one run on this machine (started by submit and collect)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return local.Daemon(c.Context(), args[0], []string{self})
		},
	}
}

func newLocalJob(*app) *cobra.Command {
	return &cobra.Command{
		Use:    local.RunnerCommand + " DIR ID",
		Short:  "Run one job of the local scheduler (started by " + local.DaemonCommand + ")",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.Atoi(args[1])
			if err != nil {
				return diag.Wrap(err, diag.Usage)
			}
			return local.RunJob(c.Context(), args[0], id)
		},
	}
}
