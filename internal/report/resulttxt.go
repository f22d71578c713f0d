package report

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"vtune/internal/record"
)

// ResultTxt is result.txt in the script's format: the hash row, a row for every cell that is final, in grid order, and the
// final row once the run is over. profileDir is where the profile is, an absolute path.
//
// Numbers have the two decimals with which `vllm bench serve` prints them. Where the script has no row, this has:
//   - a cell that failed: "… failed: CAUSE: MESSAGE" (the script benchmarks it and reports 0.00 or a latency, D1, D2);
//   - the final row after a probe that failed, with zeros and without a profile, as the script's manual says it would be. No
//     cell has a row then: none was tried;
//   - a cell that was left: "… cannot win: below BOUND req/s", or by what;
//   - a cell of which nothing could be shown either way: "… was not shown to meet latency requirement …";
//   - what a reader must know of a row's numbers stands in parentheses at its end: see remarks;
//   - a best cell whose profile is not there says so, "profile not saved: CAUSE", in place of where it is.
func ResultTxt(_ record.Run, st record.State, profileDir string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "hash:%s\n", hash(st.ServerVersion))
	for _, c := range st.Cells {
		cell := fmt.Sprintf("max_num_seqs: %d, max_num_batched_tokens: %d", c.MaxNumSeqs, c.MaxNumBatchedTokens)
		switch answerOf(c, st.Policy) {
		case AnswerAccepted:
			m := c.Accepted.Metrics
			fmt.Fprintf(&b, "%s, request_rate: %s, e2el: %.2f, throughput: %.2f, goodput: %.2f%s\n",
				cell, c.Accepted.Load.Rate, m.E2EL.P99, m.RequestThroughput, m.RequestGoodput, inParentheses(remarks(st, c)))
		case AnswerMissed:
			fmt.Fprintf(&b, "%s does not meet latency requirement %s%s\n", cell, limit(st.Policy), inParentheses(remarks(st, c)))
		case AnswerUnsure:
			fmt.Fprintf(&b, "%s was not shown to meet latency requirement %s%s\n", cell, limit(st.Policy), inParentheses(remarks(st, c)))
		case AnswerLeft:
			fmt.Fprintf(&b, "%s cannot win: %s%s\n", cell, inRow(bound(c)), inParentheses(remarks(st, c)))
		case AnswerFailed:
			fmt.Fprintf(&b, "%s failed: %s%s\n", cell, inRow(why(c.Cause, c.Message)), inParentheses(remarks(st, c)))
		}
	}
	if st.Phase.Over() {
		b.WriteString(finalRow(st, profileDir))
	}
	return b.Bytes()
}

// bound is by what a cell that was left cannot win.
func bound(c record.CellState) string {
	if c.Bound > 0 {
		return fmt.Sprintf("below %.2f req/s", c.Bound)
	}
	return why(c.Cause, c.Message)
}

// remarks are what a reader must know of a cell's numbers.
func remarks(st record.State, c record.CellState) []string {
	var all []string
	if c.Emulated {
		all = append(all, "emulated")
	}
	if c.Accepted != nil && slices.ContainsFunc(c.Accepted.Standings, func(s record.Standing) bool { return s.Near }) {
		all = append(all, "near the limit")
	}
	if lowered(st, c) {
		all = append(all, fmt.Sprintf("at gpu_memory_utilization %.2f", c.Utilization))
	}
	return all
}

// lowered reports whether a cell ran with less memory than the probe found.
func lowered(st record.State, c record.CellState) bool {
	return c.Utilization > 0 && st.Utilization > 0 && c.Utilization < st.Utilization-0.001
}

func inParentheses(remarks []string) string {
	if len(remarks) == 0 {
		return ""
	}
	return " (" + strings.Join(remarks, "; ") + ")"
}

func finalRow(st record.State, profileDir string) string {
	if st.Best == nil {
		return "best_max_num_seqs: 0, best_num_batched_tokens: 0, best_throughput: 0\n"
	}
	row := fmt.Sprintf("best_max_num_seqs: %d, best_num_batched_tokens: %d, best_throughput: %.2f",
		st.Best.Cell.MaxNumSeqs, st.Best.Cell.MaxNumBatchedTokens, st.Best.Observation.Metrics.RequestThroughput)
	if reason := noProfile(st); reason != "" {
		return row + ", profile not saved: " + inRow(reason) + "\n"
	}
	return row + ", profile saved in: " + Unbroken(profileDir) + "\n"
}

// noProfile is why a run that is over has no profile of its best cell, or nothing if it has one.
func noProfile(st record.State) string {
	switch {
	case len(st.ProfileFiles) > 0: // of a job of its own, or of the server that confirmed the winner
		return ""
	case st.Profile.Phase == record.WorkDone:
		return "the profiler wrote no file"
	case st.Profile.Phase.Final():
		return why(st.Profile.Cause, st.Profile.Message)
	case st.Phase == record.PhaseCancelled:
		return "the run was cancelled"
	default:
		return "not profiled yet"
	}
}

// commit is the local part of a version that setuptools-scm gave to a build of exactly one commit. A build of a changed tree
// has its date behind it, and is not that commit.
var commit = regexp.MustCompile(`\+g([0-9a-f]{7,40})$`)

// hash is the script's word for what was tuned: the server's commit where its version tells it, which is what the script
// writes, else the whole version. The full version is in result.json either way.
func hash(version string) string {
	if m := commit.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	if version = inRow(oneLine(version)); version == "" {
		return "unknown"
	}
	return version
}

// keys are the words by which programs find what they look for in result.txt.
var keys = regexp.MustCompile(`(?i)(hash|max_num_seqs|num_batched_tokens|request_rate|e2el|throughput|goodput|profile saved in)(\s*):`)

// inRow takes the colon from a message's keys, so that a program that searches a row and not its beginning finds none of its
// own fields in somebody else's words.
func inRow(message string) string { return keys.ReplaceAllString(message, "$1$2=") }
