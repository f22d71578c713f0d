package folder

import (
	"cmp"
	"fmt"
	"slices"

	"vtune/internal/imports"
	"vtune/internal/record"
	"vtune/internal/search"
)

// cell says what came of a cell, by its runs and by the script's row, and warns where they contradict each other. Runs go before rows:
// the script takes numbers for answers that are of no request, or of survivors.
func (s *settling) cell(at [2]int, runs []Run) Cell {
	c := Cell{Cell: record.Cell{ID: record.CellID(at[0], at[1]), MaxNumSeqs: at[0], MaxNumBatchedTokens: at[1]}, Outcome: record.OutcomeDone}
	row, server := s.row(at), s.server(at)
	if c.Server = server.File; row != nil {
		runs = append(runs, s.unlogged(*row, runs)...)
	}
	sortRuns(runs, s.Script)
	c.Runs = runs
	answer := s.answer(c)
	before := len(s.Warnings)
	switch {
	case row != nil && row.Accepted:
		s.compareAccepted(c, *row, answer)
	case row != nil:
		s.compareMissed(c, *row, answer)
	case s.Script && answer != nil:
		s.warn("%s: result.txt has no row for it; its runs are what is known", c.ID)
	}
	last := lastInvalid(runs)
	switch {
	case answer != nil:
	case slices.ContainsFunc(runs, valid) && s.Script && row == nil:
		c.fail(record.CauseNone, "the script ended before it had an answer: result.txt has no row for it")
		s.warn("%s: result.txt has no row for it, and none of its %d runs is an answer: the script ended before it had one", c.ID, len(runs))
	case slices.ContainsFunc(runs, valid), row != nil && len(runs) == 0:
	case last != nil:
		c.fail(last.Cause, last.Detail)
	case server.Failure != nil:
		c.fail(server.Failure.Cause, server.Failure.Message)
	default:
		c.Outcome, c.Message = record.OutcomeSkipped, "no file tells of it"
		s.warn("%s: no file tells of it", c.ID)
	}
	if last != nil && len(s.Warnings) == before { // else it is said already
		s.warn("%s: %d of its %d runs say nothing, the last at %s req/s: %s", c.ID, invalids(runs), len(runs), last.Load.Rate, last.Detail)
	}
	return c
}

// fail notes why a cell has no answer. Only some causes are a cell's end wherever they stand in a record; of the others a collector would
// wish for another attempt, which an import has not. Those are words only.
func (c *Cell) fail(cause record.Cause, message string) {
	c.Outcome, c.Cause, c.Message = record.OutcomeFailed, ends(cause), message
}

func ends(c record.Cause) record.Cause {
	switch c {
	case record.CauseOOM, record.CauseFlags, record.CauseRequests:
		return c
	}
	return record.CauseNone
}

// sortRuns puts runs into the order in which they were made: the script begins at inf and goes down.
func sortRuns(runs []Run, script bool) {
	slices.SortStableFunc(runs, func(a, b Run) int {
		if byTime := a.Started.Compare(b.Started); !script && byTime != 0 {
			return byTime
		}
		return cmp.Or(cmp.Compare(b.Load.Rate, a.Load.Rate), cmp.Compare(a.Load.LetIn, b.Load.LetIn), cmp.Compare(a.Saved, b.Saved))
	})
}

// answer is the run that is a cell's, by the same rule as when the run is read back.
func (s *settling) answer(c Cell) *record.Observation {
	var obs []record.Observation
	for i, r := range c.Runs {
		r.Seq = i + 1
		obs = append(obs, r.Observation)
	}
	d := search.Next(search.Question{Policy: record.Policy{Method: search.Imported, LimitMS: s.LimitMS}, Observed: obs})
	return d.Best
}

func valid(r Run) bool { return r.Verdict != record.Invalid }

func lastInvalid(runs []Run) (last *Run) {
	for i, r := range runs {
		if !valid(r) {
			last = &runs[i]
		}
	}
	return last
}

func invalids(runs []Run) (n int) {
	for _, r := range runs {
		if !valid(r) {
			n++
		}
	}
	return n
}

// What the script sends, where no client's log says how many.
const (
	scriptInf  = 1000
	scriptRate = 100
)

// unlogged is the run that a row accepts and that no log tells of; the row is all that is known of it.
func (s *settling) unlogged(row imports.Row, runs []Run) []Run {
	if !row.Accepted || slices.ContainsFunc(runs, func(r Run) bool { return r.Load.Rate == row.Rate }) {
		return nil
	}
	r := Run{Log: "result.txt", Observation: record.Observation{
		Client: "vllm", Ended: s.f.Oldest, Started: s.f.Oldest, Verdict: record.Pass, Detail: "by result.txt alone: no log of it was found",
		Load:    record.Load{Rate: row.Rate, Requests: scriptRate},
		Metrics: record.Metrics{RequestThroughput: row.Throughput, RequestGoodput: row.Goodput, E2EL: record.Latency{P99: row.P99}},
	}}
	if row.Rate.IsInf() {
		r.Load.Requests = scriptInf
	}
	switch {
	case row.Throughput == 0 || row.P99 == 0:
		r.invalid(record.CauseRequests, fmt.Sprintf("result.txt has a throughput of %.2f req/s and a P99 E2EL of %.2f ms: no request was completed", row.Throughput, row.P99))
	case s.LimitMS > 0 && row.P99 > s.LimitMS:
		r.Verdict = record.Miss
	}
	return []Run{r}
}

// compareAccepted holds a row that accepts against the run that it is of.
func (s *settling) compareAccepted(c Cell, row imports.Row, answer *record.Observation) {
	says := fmt.Sprintf("%s: result.txt:%d accepts it at %s req/s", c.ID, row.Line, row.Rate)
	i := slices.IndexFunc(c.Runs, func(r Run) bool { return r.Load.Rate == row.Rate })
	r := c.Runs[i]
	m := r.Metrics
	switch {
	case r.Verdict == record.Invalid:
		s.warn("%s, which is no answer: %s", says, r.Detail)
	case r.Log == "result.txt":
		s.warn("%s, and no log of that run was found: nobody can tell whether its requests were completed", says)
	case r.Verdict == record.Miss:
		s.warn("%s, but its run has a P99 E2EL of %.2f ms, beyond the limit of %g", says, m.E2EL.P99, s.LimitMS)
	case printed(m.E2EL.P99) != printed(row.P99) || printed(m.RequestThroughput) != printed(row.Throughput):
		s.warn("%s with e2el %.2f and throughput %.2f, but its run has %.2f and %.2f, which count", says, row.P99, row.Throughput, m.E2EL.P99, m.RequestThroughput)
	}
	if answer != nil && answer.Load.Rate != row.Rate {
		s.warn("%s; by its runs the answer is %s req/s", says, answer.Load.Rate)
	}
}

// compareMissed holds a row that says that the limit is not met against the runs.
func (s *settling) compareMissed(c Cell, row imports.Row, answer *record.Observation) {
	says := fmt.Sprintf("%s: result.txt:%d says that it does not meet the limit", c.ID, row.Line)
	switch last := lastInvalid(c.Runs); {
	case answer != nil:
		s.warn("%s, but its run at %s req/s does: P99 E2EL %.2f ms", says, answer.Load.Rate, answer.Metrics.E2EL.P99)
	case len(c.Runs) == 0:
		s.warn("%s, and no log of its runs was found", says)
	case last != nil && !slices.ContainsFunc(c.Runs, valid):
		s.warn("%s, but no run of it measured anything: %s", says, last.Detail)
	}
}

// probe says what came of the search for a memory utilization. measured: something was, so one was found.
func (s *settling) probe(measured bool) {
	for _, v := range s.f.Servers {
		if v.Cell == [2]int{} {
			s.Probe.Logs = append(s.Probe.Logs, v)
		}
	}
	logs := s.Probe.Logs
	slices.SortFunc(logs, func(a, b Server) int { return cmp.Compare(b.Utilization, a.Utilization) })
	if !s.Script {
		return
	}
	if measured {
		if len(logs) > 0 {
			s.Utilization = cmp.Or(s.Utilization, logs[len(logs)-1].Utilization)
		}
		return
	}
	s.Probe.Failed, s.Probe.Message = true, "the script ended before it measured anything"
	if len(logs) > 0 {
		s.Probe.Message = "no gpu-memory-utilization survived"
		if f := logs[len(logs)-1].Failure; f != nil {
			s.Probe.Cause, s.Probe.Message = ends(f.Cause), f.Message
		}
	}
	for i := range s.Cells {
		s.Cells[i].Cause, s.Cells[i].Message = record.CauseProbe, "the script measured nothing"
	}
	s.Warnings = []string{"result.txt has no row and there is no client's log: the script ended before it measured anything"}
}

// best holds the script's last row against the answers.
func (s *settling) best() {
	if !s.Script || s.Probe.Failed {
		return
	}
	var states []record.CellState
	for _, c := range s.Cells {
		states = append(states, record.CellState{Cell: c.Cell, Accepted: s.answer(c)})
	}
	ours := search.Best(record.Policy{Method: search.Imported}, states)
	theirs := s.f.Result.Best
	switch {
	case theirs == nil:
		s.warn("result.txt has no best_ row: the script did not come to its end")
	case ours == nil && theirs.MaxNumSeqs > 0:
		s.warn("result.txt:%d names s%d-t%d as the best, and none of its runs is an answer", theirs.Line, theirs.MaxNumSeqs, theirs.MaxNumBatchedTokens)
	case ours != nil && (ours.Cell.MaxNumSeqs != theirs.MaxNumSeqs || ours.Cell.MaxNumBatchedTokens != theirs.MaxNumBatchedTokens):
		named := "none"
		if theirs.MaxNumSeqs > 0 {
			named = record.CellID(theirs.MaxNumSeqs, theirs.MaxNumBatchedTokens)
		}
		s.warn("result.txt:%d names %s as the best; by what the runs say it is %s", theirs.Line, named, ours.Cell.ID)
	}
}
