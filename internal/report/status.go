package report

import (
	"fmt"
	"strings"
	"time"

	"vtune/internal/record"
)

// Row is one cell for `vtune status`.
type Row struct {
	Cell      record.Cell
	Phase     record.WorkPhase
	Job       string              // the latest attempt's
	Scheduler string              // what the scheduler calls that job
	Node      string              // with what is wrong with it
	Try       string              // which attempt it is, and how many of those before count against it
	Loads     int                 // observations made
	Best      *record.Observation // the best that passed so far
	Why       string              // why there is none (yet), where that is known
}

// Rows is a row a cell in grid order.
func Rows(st record.State) []Row {
	var rows []Row
	for _, c := range st.Cells {
		r := Row{Cell: c.Cell, Phase: c.Phase, Loads: len(c.Observations), Best: feasible(st.Policy, c)}
		if n := len(c.Attempts); n > 0 {
			last := c.Attempts[n-1]
			r.Job, r.Scheduler, r.Node, r.Try = last.Job, last.Submitted, where(last), Try(c.WorkState)
		}
		if r.Best == nil && (c.Cause != record.CauseNone || c.Message != "") {
			r.Why = why(c.Cause, c.Message)
		}
		rows = append(rows, r)
	}
	return rows
}

// Try says which attempt at its work is the latest, and how many failures without any progress it may have.
func Try(w record.WorkState) string {
	switch {
	case len(w.Attempts) == 0:
		return ""
	case w.Failures == 0:
		return fmt.Sprint(len(w.Attempts))
	}
	return fmt.Sprintf("%d (%d of %d failed)", len(w.Attempts), w.Failures, w.MostFailures)
}

// where an attempt ran, with the marks of its node.
func where(a record.AttemptState) string {
	words := a.Node
	if a.Slow > 0 {
		words += fmt.Sprintf(" (%.0f %% slow)", 100*a.Slow)
	}
	if len(a.Throttled) > 0 {
		words += " (throttled)"
	}
	return oneLine(words)
}

func feasible(p record.Policy, c record.CellState) *record.Observation {
	if c.Accepted != nil {
		return c.Accepted
	}
	var best *record.Observation
	for i, o := range c.Observations {
		if o.Verdict == record.Pass && mayAnswer(p, o) && (best == nil || o.Metrics.RequestThroughput > best.Metrics.RequestThroughput) {
			best = &c.Observations[i]
		}
	}
	return best
}

// mayAnswer reports whether a pass may be a cell's answer. A bound says nothing of limits, and an exploring run may be wrong.
func mayAnswer(p record.Policy, o record.Observation) bool {
	switch o.Load.Purpose {
	case record.Bound:
		return len(p.SLOs()) == 0 && !o.Emulated
	case record.Explore:
		return false
	}
	return !o.Emulated
}

// Progress is one line about where a run stands, with how long it may still take once a cell has shown what one costs.
func Progress(st record.State) string {
	final, loads := 0, 0
	for _, c := range st.Cells {
		if c.Phase.Final() {
			final++
		}
		loads += len(c.Observations)
	}
	parts := []string{
		string(st.Phase), fmt.Sprintf("%d of %d cells", final, len(st.Cells)), count(loads, "load", "loads"),
	}
	if b := st.Best; b != nil {
		parts = append(parts, fmt.Sprintf("best %.2f req/s (%s)", b.Observation.Metrics.RequestThroughput, b.Cell.ID))
	}
	if st.Phase == record.PhaseMeasuring {
		if left, known := Remaining(st); known {
			parts = append(parts, "about "+Roughly(left)+" to the last cell")
		}
	}
	if Simulated(st.ServerVersion) {
		parts = append(parts, "simulated engine")
	}
	return strings.Join(parts, ", ")
}

// Remaining is how long the cells may still take, where that is known. It rests on what the final cells cost: the others cost as much, less what is already observed of them, as many at a
// time as are running now. Queues are the scheduler's secret, so it is an estimate for a run that gets its nodes.
func Remaining(st record.State) (left time.Duration, known bool) {
	var spent float64
	var done, loads, running int
	for _, c := range st.Cells {
		if c.Phase == record.WorkRunning {
			running++
		}
		if !c.Phase.Final() || len(c.Observations) == 0 {
			continue
		}
		for _, a := range c.Attempts {
			spent += a.Seconds
		}
		done++
		loads += len(c.Observations)
	}
	if done == 0 || spent <= 0 {
		return 0, false
	}
	perCell, loadsPerCell := spent/float64(done), float64(loads)/float64(done)
	var seconds float64
	for _, c := range st.Cells {
		if !c.Phase.Final() {
			// One load at least is to come, or the cell would be final.
			ahead := max(loadsPerCell-float64(len(c.Observations)), 1) / max(loadsPerCell, 1)
			seconds += perCell * ahead
		}
	}
	return time.Duration(seconds / float64(max(running, 1)) * float64(time.Second)), true
}

// Roughly is a duration with no more figures than an estimate has.
func Roughly(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return "10 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Round(10*time.Second).Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
}
