package report

import (
	"fmt"

	"vtune/internal/record"
)

// sure says how well the winner's numbers are known, of a method that knows it.
func (s *summary) sure(st record.State) {
	o := st.Best.Observation
	if o.Steady == nil {
		return
	}
	t := o.Steady.Throughput
	s.line("", "steady for %.0f s: %.2f req/s (%.2f to %.2f), over %s", o.Steady.To-o.Steady.From, t.Value, t.Low, t.High,
		count(o.Steady.Requests, "request", "requests"))
	for _, l := range o.Standings {
		s.line("", "%s", standingWords(l))
	}
	if o.Steady.Reason != "" {
		s.line("", "why: %s", oneLine(o.Steady.Reason))
	}
	if len(o.Standings) > 0 {
		test := st.Policy.Test
		s.line("", "a load with %g times the share that is allowed would pass in at most %g %% of cases", 1+test.Zone, 100*test.FalsePass)
	}
	s.line("", "intervals are 99 %% ones, each by itself%s", dependence(o.Standings))
	if likely := o.Load.Likely; likely > float64(o.Load.Rate) {
		s.line("", "it may hold up to %.4g req/s, which could not be shown within the budget of a run", likely)
	}
}

// dependence says why fewer requests are counted than were made.
func dependence(standings []record.Standing) string {
	for _, l := range standings {
		if l.Independent > 0 {
			return "; requests that queue together say less than as many independent ones, and count as fewer"
		}
	}
	return ""
}

// standingWords is what a run says of one limit.
func standingWords(l record.Standing) string {
	what := l.Limit.String()
	if l.Metric == record.Goodput {
		what = fmt.Sprintf("%g %% within all limits", l.Percentile)
	}
	words := fmt.Sprintf("%s: %.2f %% beyond (%.4g %% allowed; by count alone %.2f to %.2f)", what, 100*l.Share.Value, 100*l.Limit.Share(), 100*l.Share.Low, 100*l.Share.High)
	if l.At.Value > 0 {
		words += fmt.Sprintf(", P%g %.1f ms (%.1f to %.1f)", l.Percentile, l.At.Value, l.At.Low, l.At.High)
	}
	if l.Independent > 0 {
		words += fmt.Sprintf(", as of %.0f independent ones", l.Independent)
	}
	if l.Near {
		words += "; near the limit"
	}
	return words
}

func (s *summary) ties(st record.State) {
	for _, t := range Ties(st) {
		s.line("near tie", "%s", t)
	}
}

// likely is the greatest request rate that a cell passed at, however sure that is.
func likely(c record.CellState) float64 {
	most := 0.0
	for _, o := range c.Observations {
		if o.Verdict == record.Pass && !o.Load.Rate.IsInf() {
			most = max(most, float64(o.Load.Rate))
		}
	}
	return most
}
