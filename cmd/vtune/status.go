package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vtune/cmd/vtune/internal/handsfree"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/report"
)

func newStatus(a *app) *cobra.Command {
	var watch, asJSON bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "status RUN",
		Short: "Show where a run stands: a row a cell, and when it may be over",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t, err := tuning.Open(a.world(), args[0])
			if err != nil {
				return err
			}
			for {
				st, out, who, err := a.status(c.Context(), t)
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(a.out, st)
				} else {
					err = a.printStatus(t, st, out, watch && isTerminal(a.out))
				}
				a.printCollecting(t, st, who, asJSON)
				if err != nil || !watch || st.Phase.Over() {
					return err
				}
				select {
				case <-c.Context().Done():
					return exitWith(diag.Interrupted)
				case <-time.After(every): // the pace of a display, not a wait for a condition
				}
			}
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "redraw until the run is over")
	c.Flags().BoolVar(&asJSON, "json", false, "print the state as JSON")
	c.Flags().DurationVar(&every, "interval", 5*time.Second, "pause between two looks with --watch")
	return c
}

// status reads the directory afresh and asks the scheduler once; it writes nothing and needs no lease. A scheduler that does
// not answer costs its columns only.
func (a *app) status(ctx context.Context, t *tuning.Tuning) (record.State, map[string]collect.Seen, *handsfree.Collecting, error) {
	scan := collect.Scanner{Dir: t.Dir}
	snap, err := scan.Scan()
	if err != nil {
		return record.State{}, nil, nil, err
	}
	byJob := map[string]collect.Seen{}
	seen, err := t.Seen(ctx)
	if err != nil {
		fmt.Fprintln(a.err, "warning: the scheduler does not answer:", err)
	}
	var who *handsfree.Collecting
	if err == nil && !t.Foreign() { // whose jobs are shown to nobody else
		c := handsfree.Who(t, snap.Links, seen)
		who = &c
	}
	for _, s := range seen {
		byJob[s.Job] = s
	}
	return collect.Derive(snap), byJob, who, nil
}

const clearScreen = "\x1b[H\x1b[2J"

func (a *app) printStatus(t *tuning.Tuning, st record.State, seen map[string]collect.Seen, redraw bool) error {
	w := a.out
	if redraw {
		io.WriteString(w, clearScreen)
	}
	fmt.Fprintf(w, "%s  %s", t.Dir, st.Phase)
	if st.ServerVersion != "" {
		fmt.Fprintf(w, "  vLLM %s", st.ServerVersion)
	}
	if st.Utilization > 0 {
		fmt.Fprintf(w, "  gpu-memory-utilization %.2f", st.Utilization)
	}
	fmt.Fprint(w, "\n\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CELL\tPHASE\tTRY\tJOB\tSTATE\tNODE\tLOADS\tBEST FEASIBLE\tWHY NOT")
	row := func(name string, phase record.WorkPhase, try, job, id, node string, loads int, best, why string) {
		s := seen[job]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", name, phase, orDash(try), orDash(id), orDash(s.Word), orDash(cmp.Or(node, s.Node)), loads,
			orDash(best), orDash(cmp.Or(why, waitReason(s))))
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
