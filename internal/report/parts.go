package report

import "vtune/internal/record"

// This file is the summary in parts, for pages and tables that have the winner and the grid in a form of their own. Each part is
// lines as the summary has them: a name, or nothing, and what is said in the column beside it.

// AnswerOf is what a run of policy p says about a cell so far.
func AnswerOf(c record.CellState, p record.Policy) Answer { return answerOf(c, p) }

// Sure is how well the winner's numbers are known, and which cells may be as good; empty without a winner.
func Sure(st record.State) string {
	if st.Best == nil {
		return ""
	}
	s := &summary{}
	s.sure(st)
	s.ties(st)
	return s.String()
}

// Spent is where the time went; empty where nothing is known of it.
func Spent(st record.State) string {
	s := &summary{}
	s.ledger(st)
	return s.String()
}

// Notes are what a reader should know before believing the numbers.
func Notes(st record.State) string {
	s := &summary{}
	s.notes(st)
	return s.String()
}

// Remarks are what a reader must know of one cell's numbers, each in a few words.
func Remarks(st record.State, c record.CellState) []string { return remarks(st, c) }

// WhyNot is why a cell has no answer of its own, in words; empty where it has, or where nothing is known.
func WhyNot(st record.State, c record.CellState) string {
	switch answerOf(c, st.Policy) {
	case AnswerAccepted:
		return ""
	case AnswerFailed:
		return why(c.Cause, c.Message)
	}
	if c.Cause == record.CauseNone {
		return oneLine(c.Message)
	}
	return why(c.Cause, c.Message)
}

// NoWinner is why there is none (yet), in words.
func NoWinner(st record.State) string { return noWinner(st) }

// Standing is where a run is: over, cancelled, or still at something.
func Standing(st record.State) string { return standing(st) }

// Server is the server's version, and whether it says that it is a simulation; empty where none was seen.
func Server(st record.State) string {
	if st.ServerVersion == "" {
		return ""
	}
	words := "vLLM " + oneLine(st.ServerVersion)
	if Simulated(st.ServerVersion) {
		words += " (a simulation)"
	}
	return words
}

// LimitWords are what a request rate must hold.
func LimitWords(p record.Policy) string {
	if len(p.SLOs()) == 0 {
		return "no latency limit"
	}
	return p.LimitText()
}
