package main

import (
	"errors"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/consent"
	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/local"
)

func newPlan(a *app) *cobra.Command {
	var asJSON, asDot bool
	var assumed float64
	var slots int
	c := &cobra.Command{
		Use:   "plan SPEC",
		Short: "Show cells, jobs and what they may cost; nothing is written",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if assumed <= 0 {
				return diag.Errorf(diag.Usage, "--assume-throughput must be positive")
			}
			s, err := tuning.LoadSpec(a.World(), args[0])
			if err != nil {
				return err
			}
			p := tuning.PlanFor(s, tuning.Offline(s), assumed)
			switch {
			case asJSON:
				return a.PrintJSON(p)
			case asDot:
				return screen.Graph(a.Out, p)
			}
			return a.showPlan(s, p, slots)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	c.Flags().BoolVar(&asDot, "dot", false, "print the jobs and their edges for Graphviz")
	c.Flags().Float64Var(&assumed, "assume-throughput", jobs.DefaultThroughput, "throughput of a cell at an infinite rate, in requests/s, for the counts of benchmark runs")
	c.Flags().IntVar(&slots, "slots", 0, "GPU slots of the local scheduler to reckon the wall clock with (default: this machine's)")
	c.MarkFlagsMutuallyExclusive("json", "dot")
	return c
}

func (a *app) showPlan(s *spec.Spec, p record.Plan, slots int) error {
	return errors.Join(screen.Plan(a.Out, s, p, serversAtOnce(s, p, slots)), consent.WorstCase(a.Out, s, p))
}

// serversAtOnce is how many servers may be up at a time; 0: as many as there are jobs.
func serversAtOnce(s *spec.Spec, p record.Plan, slots int) int {
	if jobs.Pooled(s) {
		machines, _ := jobs.WorstCase(p, 1)
		return machines
	}
	if s.Scheduler != "local" {
		return s.Site.MaxParallel
	}
	if slots <= 0 {
		slots = local.DetectSlots()
	}
	servers := max(1, slots/jobs.Accelerators(s))
	if s.Site.MaxParallel > 0 {
		servers = min(servers, s.Site.MaxParallel)
	}
	return servers
}
