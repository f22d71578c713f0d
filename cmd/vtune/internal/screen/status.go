package screen

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"vtune/collect"
	"vtune/internal/record"
	"vtune/internal/report"
)

// Status is where the run in dir stands, a row a cell, with what its scheduler says of each job.
func Status(w io.Writer, dir string, st record.State, seen map[string]collect.Seen) error {
	fmt.Fprintf(w, "%s  %s", dir, st.Phase)
	if st.ServerVersion != "" {
		fmt.Fprintf(w, "  vLLM %s", report.OneLine(st.ServerVersion))
	}
	if st.Utilization > 0 {
		fmt.Fprintf(w, "  gpu-memory-utilization %.2f", st.Utilization)
	}
	fmt.Fprint(w, "\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CELL\tPHASE\tTRY\tJOB\tSTATE\tNODE\tLOADS\tBEST FEASIBLE\tWHY NOT")
	row := func(name string, phase record.WorkPhase, try, job, id, node string, loads int, best, why string) {
		s := seen[job]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", name, phase, OrDash(try), foreign(id), foreign(s.Word), foreign(cmp.Or(node, s.Node)), loads,
			OrDash(best), foreign(cmp.Or(why, waitReason(s))))
	}
	other := func(name string, w record.WorkState) {
		if a := w.Attempts; len(a) > 0 {
			last := a[len(a)-1]
			row(name, w.Phase, report.Try(w), last.Job, last.Submitted, last.Node, len(last.Starts), "", w.Message)
		}
	}
	other("probe", st.Probe)
	for _, r := range report.Rows(st) {
		row(r.Cell.ID, r.Phase, r.Try, r.Job, r.Scheduler, r.Node, r.Loads, feasible(r.Best), r.Why)
	}
	other("profile", st.Profile)
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", report.Progress(st))
	return err
}

// foreign is what a node, a server or a scheduler said, as one cell of a table.
func foreign(s string) string { return OrDash(report.OneLine(s)) }

// feasible is an observation as one cell of a table: what was reached at which rate, and the latency it cost.
func feasible(o *record.Observation) string {
	if o == nil {
		return ""
	}
	return fmt.Sprintf("%.2f req/s at %s (P99 %.0f ms)", o.Metrics.RequestThroughput, o.Load.Rate, o.Metrics.E2EL.P99)
}

// waitReason is the scheduler's reason where the job waits for something worth knowing.
func waitReason(s collect.Seen) string {
	switch s.Reason {
	case "", "None", "Dependency", "Resources", "Priority":
		return ""
	}
	return s.Reason
}
