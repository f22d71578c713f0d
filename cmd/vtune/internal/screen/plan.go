// Package screen is what people see in a terminal: plans, a run that stands or goes on. It prints values and asks nobody.
package screen

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

func gpus(r record.Resources) string {
	if r.Nodes > 1 {
		return fmt.Sprintf("%d x %d", r.Nodes, r.GPUs)
	}
	return fmt.Sprint(r.GPUs)
}

// Plan is what a spec will be as a run: its jobs, and what they may cost with so many servers up at once (0: as many as jobs).
func Plan(w io.Writer, s *spec.Spec, p record.Plan, servers int) error {
	fmt.Fprintf(w, "%s, %d tokens in (%d %% of them a shared prefix), %d out, %s\n\n", s.Model, s.Workload.InputLen,
		s.Workload.CacheHitPct, s.Workload.OutputLen, limitText(p.Policy))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "JOB\tKIND\tCELL\tGPUS\tAFTER")
	for _, u := range p.Units {
		for i, j := range u.Jobs {
			name := j.ID
			if u.Array() {
				name = fmt.Sprintf("%s[%d] %s", u.ID, i, j.ID)
			}
			if u.Crew != nil {
				name = u.ID + ": " + j.ID
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", name, j.Kind, OrDash(served(j)), gpus(j.Resources), OrDash(edges(j.Needs)))
		}
		for _, r := range u.Riders {
			fmt.Fprintf(t, "%s\t%s\t%s\t-\tin %s, on its server\n", r.ID, r.Kind, served(r), u.Jobs[0].ID)
		}
	}
	if profiledOnItsOwn(p) {
		fmt.Fprintln(t, "profile-1\tprofile\tthe best\t\tevery cell (follow-up)")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if p.Policy.Method == spec.MethodVtune {
		return printShapes(w, p, servers)
	}
	return printCounts(w, p)
}

// served is the cells that a job's server answers for, its own first.
func served(j record.Job) string { return strings.Join(append([]string{j.Cell}, j.Emulates...), " ") }

func profiledOnItsOwn(p record.Plan) bool {
	return p.Profile == "" || p.Profile == record.ProfileOwnStart
}

// printShapes shows what the run may cost in the shape that it has, and in the other.
func printShapes(w io.Writer, p record.Plan, servers int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "plan\tjobs\tserver starts\tworst\tbenchmark runs\tworst\taccelerator time\twall clock\t")
	for _, c := range p.Counts.Shapes {
		name := string(c.Shape)
		if c.Shape == p.Shape {
			name = "* " + name
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", name, c.Jobs, c.ServerStarts.Expected, c.ServerStarts.Worst,
			c.BenchmarkRuns.Expected, c.BenchmarkRuns.Worst, minutes(c.Accelerator), minutes(jobs.WallClock(c, servers)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	at := "as many are up at once as there are jobs"
	if servers > 0 {
		at = fmt.Sprintf("at most %d up at once", servers)
	}
	_, err := fmt.Fprintf(w, "\n* is what the spec asks for (plan: %s). Times are expected ones: servers start in %d s, reach %g req/s at an infinite rate\n"+
		"(--assume-throughput) and meet the limit at 3/4 of it; %s.\n", p.Shape, jobs.StartSeconds, p.Counts.AssumedThroughput, at)
	return err
}

func minutes(seconds float64) string { return fmt.Sprintf("%.0f min", math.Ceil(seconds/60)) }

func printCounts(w io.Writer, p record.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
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

func limitText(p record.Policy) string {
	if len(p.SLOs()) == 0 {
		return "no latency limit"
	}
	return p.LimitText()
}

// OrDash is s, or a dash for nothing.
func OrDash(s string) string {
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

// Graph draws an array as one node: ten thousand boxes are no picture.
func Graph(w io.Writer, p record.Plan) error {
	fmt.Fprintln(w, "digraph run {\n  rankdir=LR;\n  node [shape=box];")
	for _, u := range p.Units {
		label := u.ID
		if u.Array() || u.Crew != nil {
			label = fmt.Sprintf("%s\\n%d jobs", u.ID, len(u.Jobs))
		}
		for _, r := range u.Riders {
			label += "\\n" + r.ID
		}
		fmt.Fprintf(w, "  %q [label=\"%s\"];\n", u.ID, label)
		for _, e := range u.Jobs[0].Needs {
			fmt.Fprintf(w, "  %q -> %q [label=%q];\n", e.Job, u.ID, e.When)
		}
		if u.Jobs[0].Kind == record.KindCell && profiledOnItsOwn(p) {
			fmt.Fprintf(w, "  %q -> \"profile-1\" [style=dashed, label=\"follow-up\"];\n", u.ID)
		}
	}
	if profiledOnItsOwn(p) {
		fmt.Fprintln(w, "  \"profile-1\" [style=dashed];")
	}
	_, err := fmt.Fprintln(w, "}")
	return err
}
