// Package tables turns a run into tables: text for a terminal, Markdown for a pull request, CSV for a notebook. Pure functions of
// records. What is said of a run is internal/report's; here is only how it is laid out.
//
// Numbers are printed with as many digits as they are known to, as 2.46 ± 3% where an interval is even about its value, and as
// 6024 (5152 to 7180) where it is not. Where nothing is known stands ~, and a note below the table says why.
package tables

import (
	"fmt"
	"slices"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/report/layout"
)

// sheet is the grid as every format shows it: a row a cell, the winner's marked, notes by number.
type sheet struct {
	heads [2][]string // names, and the units below them
	rows  []row
	notes []string
}

type row struct {
	id     string
	best   bool
	answer report.Answer
	fields []string // beside id and answer
	notes  []int    // from 1
}

// gridOf is the sheet of a run. Its columns are what is the same of every method: the rate that a cell holds, its throughput when it has
// more than it can do, and the latencies that have limits, at the rate that is the answer.
func gridOf(st record.State) sheet {
	limits := st.Policy.SLOs()
	if len(limits) == 0 || st.Policy.GoodputPct > 0 {
		// Under a goodput no percentile has a limit, and without limits one latency must do.
		limits = []record.Limit{{Metric: record.E2EL, Percentile: 99}}
	}
	s := sheet{heads: [2][]string{{"cell", "answer", "request rate", "at inf"}, {"", "", "req/s", "req/s"}}}
	for _, l := range limits {
		s.heads[0] = append(s.heads[0], fmt.Sprintf("P%g %s", l.Percentile, strings.ToUpper(string(l.Metric))))
		s.heads[1] = append(s.heads[1], "ms")
	}
	known := map[string]int{}
	for _, c := range st.Cells {
		r := row{id: report.OneLine(c.ID), best: st.Best != nil && st.Best.Cell == c.Cell, answer: report.AnswerOf(c, st.Policy)}
		r.fields = append(r.fields, rate(c, r.answer), atInf(c))
		for _, l := range limits {
			r.fields = append(r.fields, latency(c, r.answer, l))
		}
		for _, note := range notesOn(st, c, r.answer) {
			if known[note] == 0 {
				s.notes = append(s.notes, note)
				known[note] = len(s.notes)
			}
			r.notes = append(r.notes, known[note])
		}
		s.rows = append(s.rows, r)
	}
	return s
}

// rate is what a cell holds, or stays below.
func rate(c record.CellState, a report.Answer) string {
	switch {
	case a == report.AnswerAccepted:
		return c.Accepted.Load.Rate.String()
	case a == report.AnswerLeft && c.Bound > 0:
		return "< " + layout.Bare(c.Bound)
	}
	return layout.Unknown
}

// atInf is the throughput of all requests at once, of the last valid run of the cell's own server.
func atInf(c record.CellState) string {
	for _, o := range slices.Backward(c.Observations) {
		if !o.Load.Rate.IsInf() || o.Verdict == record.Invalid || o.Emulated || o.Alone {
			continue
		}
		if o.Steady != nil && o.Steady.Throughput.Value > 0 {
			return layout.Interval(o.Steady.Throughput)
		}
		if o.Metrics.RequestThroughput > 0 {
			return layout.Bare(o.Metrics.RequestThroughput)
		}
	}
	return layout.Unknown
}

// latency is a percentile at the rate that is the answer. Without a Standing it is the load client's, whose uncertainty nobody knows.
func latency(c record.CellState, a report.Answer, l record.Limit) string {
	if a != report.AnswerAccepted {
		return layout.Unknown
	}
	for _, s := range c.Accepted.Standings {
		if s.Metric == l.Metric && s.Percentile == l.Percentile && s.At.Value > 0 {
			return layout.Interval(s.At)
		}
	}
	if v, ok := ofMetrics(c.Accepted.Metrics, l); ok {
		return layout.Bare(v)
	}
	return layout.Unknown
}

// ofMetrics is a load client's percentile, of those that it has.
func ofMetrics(m record.Metrics, l record.Limit) (float64, bool) {
	of, ok := map[record.Metric]record.Latency{record.TTFT: m.TTFT, record.TPOT: m.TPOT, record.ITL: m.ITL, record.E2EL: m.E2EL}[l.Metric]
	if !ok {
		return 0, false
	}
	v, ok := map[float64]float64{50: of.P50, 90: of.P90, 99: of.P99}[l.Percentile]
	return v, ok && v > 0
}

// notesOn are why a row is as it is. What is the same of many cells is one note: a grid of 10,000 cells is not followed by as many.
func notesOn(st record.State, c record.CellState, a report.Answer) []string {
	var all []string
	switch {
	case a == report.AnswerLeft && c.Bound > 0:
		all = append(all, "cannot win: the winner may hold more than the rate that this cell stays below")
	case a == report.AnswerOpen && report.WhyNot(st, c) == "":
		all = append(all, "not known yet")
	default:
		if why := report.WhyNot(st, c); why != "" {
			all = append(all, why)
		}
	}
	for _, r := range report.Remarks(st, c) {
		if r == "emulated" {
			r = "emulated: measured on the server of another max-num-seqs, behind a queue in the client"
		}
		all = append(all, r)
	}
	for _, a := range c.Attempts {
		if a.Slow > 0 || len(a.Throttled) > 0 {
			all = append(all, "measured on "+report.OneLine(a.Node)+", a node that is slow or was throttled")
		}
	}
	return slices.Compact(all)
}

// headline is the answer in a sentence, and before it the cell.
func headline(st record.State) (cell, holds string) {
	if st.Best == nil {
		return "", "none: " + report.NoWinner(st)
	}
	o := st.Best.Observation
	cell = fmt.Sprintf("--max-num-seqs %d --max-num-batched-tokens %d", st.Best.Cell.MaxNumSeqs, st.Best.Cell.MaxNumBatchedTokens)
	if !o.Load.Rate.IsInf() {
		return cell, "at " + o.Load.Rate.String() + " req/s"
	}
	reached := layout.Bare(o.Metrics.RequestThroughput)
	if o.Steady != nil {
		reached = layout.Interval(o.Steady.Throughput)
	}
	return cell, "with " + reached + " req/s when all come at once"
}

// winning is the word before it.
func winning(st record.State) string {
	if !st.Phase.Over() || st.Phase == record.PhaseCancelled {
		return "best yet"
	}
	return "winner"
}
