// Package tables turns a run into tables: text for a terminal, Markdown for a pull request, CSV for a notebook. Pure functions of
// records. What is said of a run is internal/report's; here is only how it is laid out.
//
// Numbers are printed with as many digits as they are known to, as 2.46 ± 3% where an interval is even about its value, and as
// 6024 (5152 to 7180) where it is not. Where nothing is known stands ~, and a note below the table says why.
package tables

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
)

// unknown stands where nothing is known, as benchstat has it.
const unknown = "~"

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
		r := row{id: c.ID, best: st.Best != nil && st.Best.Cell == c.Cell, answer: report.AnswerOf(c, st.Policy)}
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
		return "< " + bare(c.Bound)
	}
	return unknown
}

// atInf is the throughput of all requests at once, of the last valid run of the cell's own server.
func atInf(c record.CellState) string {
	for _, o := range slices.Backward(c.Observations) {
		if !o.Load.Rate.IsInf() || o.Verdict == record.Invalid || o.Emulated || o.Alone {
			continue
		}
		if o.Steady != nil && o.Steady.Throughput.Value > 0 {
			return interval(o.Steady.Throughput)
		}
		if o.Metrics.RequestThroughput > 0 {
			return bare(o.Metrics.RequestThroughput)
		}
	}
	return unknown
}

// latency is a percentile at the rate that is the answer. Without a Standing it is the load client's, whose uncertainty nobody knows.
func latency(c record.CellState, a report.Answer, l record.Limit) string {
	if a != report.AnswerAccepted {
		return unknown
	}
	for _, s := range c.Accepted.Standings {
		if s.Metric == l.Metric && s.Percentile == l.Percentile && s.At.Value > 0 {
			return interval(s.At)
		}
	}
	if v, ok := ofMetrics(c.Accepted.Metrics, l); ok {
		return bare(v)
	}
	return unknown
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
			all = append(all, "measured on "+report.Plain(a.Node)+", a node that is slow or was throttled")
		}
	}
	return slices.Compact(all)
}

// interval is an estimate with its bounds: with one number for both where they are alike to a tenth, else with both.
func interval(i record.Interval) string {
	low, high := i.Value-i.Low, i.High-i.Value
	switch {
	case !finite(i.Value) || i.Value <= 0:
		return unknown
	case !finite(i.Low, i.High) || low < 0 || high < 0 || low == 0 && high == 0 || i.High > 1e6*i.Value:
		return bare(i.Value) // known from a single batch, or by itself alone
	case math.Abs(high-low) <= 0.1*(high+low)/2:
		return fmt.Sprintf("%s ± %s%%", digits(i.Value, (high+low)/2), percent((high+low)/2/i.Value))
	}
	step := (high + low) / 2
	return fmt.Sprintf("%s (%s to %s)", digits(i.Value, step), digits(i.Low, step), digits(i.High, step))
}

func finite(vs ...float64) bool {
	return !slices.ContainsFunc(vs, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
}

func percent(share float64) string {
	if share < 0.01 {
		return strconv.FormatFloat(100*share, 'f', 1, 64)
	}
	return strconv.FormatFloat(100*share, 'f', 0, 64)
}

// bare is a number of unknown uncertainty, in four digits where it has a fraction.
func bare(v float64) string { return digits(v, v/100) }

// digits is v down to the second digit of its uncertainty, and no further than the ninth place.
func digits(v, by float64) string {
	if !finite(v) {
		return unknown
	}
	places := 0
	if by > 0 && finite(by) {
		places = min(max(1-int(math.Floor(math.Log10(by))), 0), 9)
	}
	return strconv.FormatFloat(v, 'f', places, 64)
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
	reached := bare(o.Metrics.RequestThroughput)
	if o.Steady != nil {
		reached = interval(o.Steady.Throughput)
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
