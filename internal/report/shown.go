package report

import (
	"fmt"
	"strings"

	"vtune/internal/record"
	"vtune/internal/search"
)

// What the page shows in the words of the summary.

// Feasible is the best that a cell was seen to hold, its answer if there is one; nil: nothing so far.
func Feasible(p record.Policy, c record.CellState) *record.Observation { return feasible(p, c) }

// Why is a cause in words with the message of whoever knows more, on one line.
func Why(c record.Cause, message string) string { return why(c, message) }

// OneLine keeps foreign words on their line, without control characters, and no longer than a person reads.
func OneLine(s string) string { return oneLine(s) }

// StandingWords is what an observation says of one limit.
func StandingWords(l record.Standing) string { return standingWords(l) }

// Unaccounted counts attempts that ended without a result: the time spent there is in no ledger.
func Unaccounted(st record.State) int { return unaccounted(st) }

// Spending is an activity, or several that are all idling, with the seconds that attempts spent on it.
type Spending struct {
	Name    string
	Seconds float64
	Parts   string // of several, what they are
}

// Spendings are a ledger in the order in which things happen.
func Spendings(l record.Ledger) []Spending {
	var all []Spending
	for _, s := range spendings(l) {
		words := strings.TrimSuffix(strings.TrimPrefix(parts(l, s, 1), "  ("), ")")
		all = append(all, Spending{s.name, spent(l, s.activities...), words})
	}
	return all
}

// Tie is a cell that may be as good as the winner within the tolerance.
type Tie struct {
	Cell record.Cell
	Rate float64 // that it may hold
	How  string  // how that is known
}

func (t Tie) String() string { return fmt.Sprintf("%s %s", t.Cell.ID, t.How) }

// Ties are the cells that another run might name as well. What is likely of both is compared, as the search does.
func Ties(st record.State) (ties []Tie) {
	if st.Best == nil || st.Policy.Method != search.Vtune {
		return nil
	}
	best := search.Rival(st.Best.Observation) / (1 + st.Policy.Tolerance)
	for _, c := range st.Cells {
		answer := answerOf(c, st.Policy)
		switch {
		case c.Cell == st.Best.Cell:
		case answer == AnswerAccepted && search.Rival(*c.Accepted) >= best:
			rate := search.Rival(*c.Accepted)
			ties = append(ties, Tie{c.Cell, rate, fmt.Sprintf("may hold up to %.4g req/s", rate)})
		case answer == AnswerLeft && c.Bound >= best:
			ties = append(ties, Tie{c.Cell, c.Bound, fmt.Sprintf("may hold up to %.4g req/s", c.Bound)})
		case answer == AnswerUnsure && likely(c) >= best:
			ties = append(ties, Tie{c.Cell, likely(c), fmt.Sprintf("may hold %.4g req/s, which could not be shown", likely(c))})
		}
	}
	return ties
}
