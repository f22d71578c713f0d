// Package backstage has the commands that scripts and other processes call, and people never type: agent, crew, worker, link, and the
// two halves of the local scheduler. All are hidden.
package backstage

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/caller"
	"vtune/internal/agent"
	"vtune/internal/crew"
	"vtune/internal/diag"
	"vtune/internal/exam"
	"vtune/internal/record"
	"vtune/jobs/local"
)

// Commands are all of them.
func Commands(a *caller.Caller) []*cobra.Command {
	return []*cobra.Command{newAgent(a), newCrew(a), newWorker(a), newLink(a), newLocalScheduler(), newLocalJob(), newDocs(a)}
}

// newAgent is the job's side: scripts end in it. Hidden, because people never type it.
func newAgent(a *caller.Caller) *cobra.Command {
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
				return exam.Run(c.Context(), exam.Config{Dir: dir, Assignment: path, Env: a.Env, Log: a.Err})
			}
			stop, done := crew.Causes()
			defer done()
			code, err := agent.Run(context.WithoutCancel(c.Context()), agent.Config{
				Dir: dir, Assignment: path, Env: a.Env, Log: a.Err, Stop: stop,
			})
			if err != nil {
				return diag.Wrap(err, code)
			}
			return caller.Exit(code)
		},
	}
}

func newLocalScheduler() *cobra.Command {
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

func newLocalJob() *cobra.Command {
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
