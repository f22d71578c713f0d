package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

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
			stop, done := crew.Causes()
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
