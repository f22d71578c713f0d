package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"vtune/internal/agent"
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
			stop, done := stopCauses()
			defer done()
			return agent.Run(context.WithoutCancel(c.Context()), agent.Config{
				Dir: dir, Assignment: path, Stop: stop, Log: a.err, Env: a.env, SchedulerID: a.schedulerID(),
			})
		},
	}
}

// stopCauses turns the scheduler's signals into causes: USR2 is the early warning that scripts ask for before a time limit, TERM
// is an order to end. Both let the agent publish what it has.
func stopCauses() (<-chan record.Cause, func()) {
	signals := make(chan os.Signal, 4)
	causes := make(chan record.Cause, 4)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT)
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

// schedulerID is the id of the submitted unit this job belongs to, as each scheduler tells its jobs.
func (a *app) schedulerID() string {
	for _, name := range []string{"SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "VTUNE_LOCAL_JOB"} {
		if v, ok := a.getenv(name); ok && v != "" {
			return v
		}
	}
	return ""
}

func newLocalScheduler(a *app) *cobra.Command {
	var slots int
	c := &cobra.Command{
		Use:    "local-scheduler DIR",
		Short:  "Run the jobs of one run on this machine (started by submit and collect)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return local.Daemon(c.Context(), local.Config{Dir: args[0], Program: []string{self}, Slots: slots})
		},
	}
	c.Flags().IntVar(&slots, "slots", 1, "GPU slots")
	return c
}

func newLocalJob(*app) *cobra.Command {
	return &cobra.Command{
		Use:    "local-job DIR",
		Short:  "Run one job of the local scheduler (started by local-scheduler)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(c *cobra.Command, args []string) error { return local.RunJob(c.Context(), args[0]) },
	}
}
