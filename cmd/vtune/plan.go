package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

func newPlan(a *app) *cobra.Command {
	var asJSON, asDot bool
	var assumed float64
	c := &cobra.Command{
		Use:   "plan SPEC",
		Short: "Show cells, jobs and what they may cost; nothing is written",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if assumed <= 0 {
				return diag.Errorf(diag.Usage, "--assume-throughput must be positive")
			}
			s, err := tuning.LoadSpec(a.world(), args[0])
			if err != nil {
				return err
			}
			p := tuning.PlanFor(s, tuning.Offline(s), assumed)
			switch {
			case asJSON:
				return printJSON(a.out, p)
			case asDot:
				return printDot(a.out, p)
			}
			return printPlan(a.out, s, p)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	c.Flags().BoolVar(&asDot, "dot", false, "print the jobs and their edges for Graphviz")
	c.Flags().Float64Var(&assumed, "assume-throughput", jobs.DefaultThroughput, "throughput of a cell at an infinite rate, in requests/s, for the counts of benchmark runs")
	c.MarkFlagsMutuallyExclusive("json", "dot")
	return c
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printPlan(w io.Writer, s *spec.Spec, p record.Plan) error {
	fmt.Fprintf(w, "%s, %d tokens in (%d %% of them a shared prefix), %d out, %s\n\n", s.Model, s.Workload.InputLen,
		s.Workload.CacheHitPct, s.Workload.OutputLen, limitText(p.Policy.LimitMS))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "JOB\tKIND\tCELL\tGPUS\tAFTER")
	for _, u := range p.Units {
		for i, j := range u.Jobs {
			name := j.ID
			if u.Array() {
				name = fmt.Sprintf("%s[%d] %s", u.ID, i, j.ID)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", name, j.Kind, orDash(j.Cell), j.Resources.GPUs, orDash(edges(j.Needs)))
		}
	}
	fmt.Fprintln(t, "profile-1\tprofile\tthe best\t\tevery cell (follow-up)")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\texpected\tworst\t")
	fmt.Fprintf(t, "server starts\t%d\t%d\t\n", p.Counts.ServerStarts.Expected, p.Counts.ServerStarts.Worst)
	fmt.Fprintf(t, "benchmark runs\t%d\t%d\t\n", p.Counts.BenchmarkRuns.Expected, p.Counts.BenchmarkRuns.Worst)
	if err := t.Flush(); err != nil {
		return err
	}
	if p.Policy.LimitMS > 0 {
		fmt.Fprintf(w, "\nBenchmark runs assume %g req/s at an infinite rate (--assume-throughput); expected: the limit is met at 3/4 of it.\n",
			p.Counts.AssumedThroughput)
	}
	return nil
}

func limitText(ms float64) string {
	if ms == 0 {
		return "no latency limit"
	}
	return fmt.Sprintf("P99 E2EL <= %g ms", ms)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func edges(es []record.Edge) string {
	var parts []string
	for _, e := range es {
		parts = append(parts, fmt.Sprintf("%s (%s)", e.Job, e.When))
	}
	return strings.Join(parts, ", ")
}

// printDot draws an array as one node: ten thousand boxes are no picture.
func printDot(w io.Writer, p record.Plan) error {
	fmt.Fprintln(w, "digraph run {\n  rankdir=LR;\n  node [shape=box];")
	for _, u := range p.Units {
		label := u.ID
		if u.Array() {
			label = fmt.Sprintf("%s\\n%d cells", u.ID, len(u.Jobs))
		}
		fmt.Fprintf(w, "  %q [label=\"%s\"];\n", u.ID, label)
		for _, e := range u.Jobs[0].Needs {
			fmt.Fprintf(w, "  %q -> %q [label=%q];\n", e.Job, u.ID, e.When)
		}
		if u.Jobs[0].Kind == record.KindCell {
			fmt.Fprintf(w, "  %q -> \"profile-1\" [style=dashed, label=\"follow-up\"];\n", u.ID)
		}
	}
	_, err := fmt.Fprintln(w, "  \"profile-1\" [style=dashed];\n}")
	return err
}
