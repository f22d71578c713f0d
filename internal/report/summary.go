package report

import (
	"fmt"
	"path/filepath"
	"strings"

	"vtune/internal/record"
	"vtune/internal/search"
)

// Summary is what a person sees at the end of a run: which cells have no answer, where the accelerator's time went, what the
// numbers do not say, and last, where the eye is, the winner, the command that serves it and where everything lies. dir is
// the run's directory, serve the winner's command line or nothing.
func Summary(run record.Run, st record.State, dir, serve string) string {
	s := &summary{}
	s.line("run", "%s, %s", oneLine(run.ID), standing(st))
	if st.ServerVersion != "" {
		s.line("server", "vLLM %s", oneLine(st.ServerVersion))
	}
	s.cells(st)
	s.ledger(st)
	s.notes(st)
	s.WriteByte('\n')
	s.winner(st, serve)
	if st.Phase.Over() {
		s.line("report", "%s", filepath.Join(dir, "report.html"))
	}
	s.line("result", "%s", filepath.Join(dir, "result.txt"))
	s.profile(st, dir)
	return s.String()
}

type summary struct{ strings.Builder }

func (s *summary) line(name, format string, args ...any) {
	fmt.Fprintf(s, "%-9s%s\n", name, fmt.Sprintf(format, args...))
}

func standing(st record.State) string {
	switch {
	case st.Phase == record.PhaseCancelled:
		return "cancelled"
	case st.Phase.Over():
		return "over"
	default:
		return "still " + string(st.Phase)
	}
}

func (s *summary) winner(st record.State, serve string) {
	name := "winner"
	if !st.Phase.Over() || st.Phase == record.PhaseCancelled {
		name = "best yet"
	}
	if st.Best == nil {
		s.line(name, "none: %s", noWinner(st))
		return
	}
	o := st.Best.Observation
	s.line(name, "max_num_seqs %d, max_num_batched_tokens %d", st.Best.Cell.MaxNumSeqs, st.Best.Cell.MaxNumBatchedTokens)
	within := ""
	if st.Policy.LimitMS > 0 {
		within = fmt.Sprintf(" (limit %s ms)", limit(st.Policy))
	}
	s.line("", "%.2f req/s at a request rate of %s, P99 E2EL %.2f ms%s, goodput %.2f req/s",
		o.Metrics.RequestThroughput, o.Load.Rate, o.Metrics.E2EL.P99, within, o.Metrics.RequestGoodput)
	s.sure(st)
	s.ties(st)
	if serve != "" {
		s.line("serve it", "%s", serve)
	}
}

func (s *summary) profile(st record.State, dir string) {
	if st.Best == nil {
		return
	}
	if reason := noProfile(st); reason != "" {
		s.line("profile", "not saved: %s", reason)
		return
	}
	s.line("profile", "%s (%s)", filepath.Join(dir, "profile"), count(len(st.ProfileFiles), "file", "files"))
}

func noWinner(st record.State) string {
	answers := tally(st)
	switch {
	case st.Probe.Phase == record.WorkFailed:
		return "the probe failed: " + why(st.Probe.Cause, st.Probe.Message)
	case answers[AnswerMissed] == len(st.Cells):
		return "no cell meets " + limitWords(st.Policy)
	case answers[AnswerMissed]+answers[AnswerUnsure] == len(st.Cells):
		return "no cell could be shown to meet " + limitWords(st.Policy)
	case answers[AnswerFailed] == len(st.Cells):
		return "every cell failed"
	case answers[AnswerOpen] > 0:
		return "no cell has been accepted"
	default:
		return "no cell was accepted"
	}
}

func tally(st record.State) map[Answer]int {
	n := map[Answer]int{}
	for _, c := range st.Cells {
		n[answerOf(c, st.Policy)]++
	}
	return n
}

func (s *summary) cells(st record.State) {
	answers := tally(st)
	var parts []string
	for _, a := range []struct {
		answer Answer
		words  string
	}{
		{AnswerAccepted, "accepted"},
		{AnswerLeft, "left (cannot win)"},
		{AnswerMissed, "missed the limit"},
		{AnswerUnsure, "with nothing shown"},
		{AnswerFailed, "failed"},
		{AnswerSkipped, "skipped"},
		{AnswerOpen, "without an answer"},
	} {
		if n := answers[a.answer]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, a.words))
		}
	}
	s.line("cells", "%d: %s", len(st.Cells), strings.Join(parts, ", "))
	emulated := 0
	for _, c := range st.Cells {
		if c.Emulated && len(c.Observations) > 0 {
			emulated++
		}
		switch answerOf(c, st.Policy) {
		case AnswerFailed:
			s.line("", "%s failed: %s", c.ID, why(c.Cause, c.Message))
		case AnswerUnsure:
			s.line("", "%s: %s", c.ID, why(c.Cause, c.Message))
		}
		if lowered(st, c) {
			s.line("", "%s ran at gpu-memory-utilization %.2f, after it had run out of memory under load at more", c.ID, c.Utilization)
		}
	}
	if emulated > 0 {
		s.line("", "%d of them measured on another cell's server only, behind a queue in the client", emulated)
	}
}

// notes are what a reader of the numbers should know before believing them.
func (s *summary) notes(st record.State) {
	if Simulated(st.ServerVersion) {
		s.line("note", "the engine is a simulation: its numbers say how vtune works, not how fast a machine is")
	}
	if st.Best != nil && st.Policy.LimitMS > 0 && st.Policy.Method != search.Vtune {
		s.line("note", "as in auto_tune.sh, one run of %s decides; its P99 moves from run to run",
			count(st.Best.Observation.Load.Requests, "request", "requests"))
	}
	for _, b := range st.Packed {
		s.line("packed", "%s", oneLine(b.String()))
	}
	for _, w := range st.Warnings {
		s.line("warning", "%s", oneLine(w))
	}
	if n := unaccounted(st); n > 0 {
		s.line("note", "%s ended without a result; the time spent there is not in the table", count(n, "attempt", "attempts"))
	}
}

func unaccounted(st record.State) int {
	works := []record.WorkState{st.Probe, st.Profile}
	for _, c := range st.Cells {
		works = append(works, c.WorkState)
	}
	n := 0
	for _, w := range works {
		for _, a := range w.Attempts {
			if a.Started && a.Ended && a.Outcome == "" {
				n++
			}
		}
	}
	return n
}
