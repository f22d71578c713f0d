package batch

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"text/tabwriter"

	"vtune/cmd/vtune/internal/ending"
	"vtune/cmd/vtune/internal/screen"
	"vtune/internal/batchfile"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/report"
)

// Line is how an entry came out.
type Line struct {
	Entry int `json:"entry"`
	batchfile.Outcome
	Place   string    `json:"run,omitempty"`
	Winner  string    `json:"winner,omitempty"`
	Error   string    `json:"error,omitempty"`
	Code    diag.Code `json:"exit_code"`
	Skipped bool      `json:"skipped,omitempty"` // it had its status before
}

// outcome is a run that is over in the words of the file. That nothing meets the limit is an answer, and so a success, as it is to the
// script.
func outcome(r Run, st record.State) batchfile.Outcome {
	o := batchfile.Outcome{RunID: r.Name(), Status: batchfile.Failure}
	text, err := os.ReadFile(r.Dir().ResultTxt())
	o.Results = strings.TrimRight(string(text), "\n")
	switch c := code(st); {
	case err != nil:
		o.Status = batchfile.NoResult
	case c == diag.OK, c == diag.FailedCells, c == diag.Infeasible:
		o.Status = batchfile.Success
	}
	return o
}

func code(st record.State) diag.Code { return ending.Code(st) }

func winner(st record.State) string {
	if st.Best == nil {
		return ""
	}
	return fmt.Sprintf("max_num_seqs %d, max_num_batched_tokens %d: %.2f req/s",
		st.Best.Cell.MaxNumSeqs, st.Best.Cell.MaxNumBatchedTokens, st.Best.Observation.Metrics.RequestThroughput)
}

// failedCell is the row of a cell that failed; another may say in its own words that something failed.
var failedCell = regexp.MustCompile(`(?m)^max_num_seqs: *\d+, max_num_batched_tokens: *\d+ failed: `)

// codeOf is the exit code of an outcome that stands in the file, whose run may be gone: what its result.txt says.
func codeOf(o batchfile.Outcome) diag.Code {
	switch {
	case o.Status == "":
		return diag.Unfinished
	case o.Status != batchfile.Success:
		return diag.NoAnswer
	case strings.Contains(o.Results, "best_max_num_seqs: 0,"):
		return diag.Infeasible
	case failedCell.MatchString(o.Results):
		return diag.FailedCells
	}
	return diag.OK
}

// severity orders exit codes, the least first: an answer with a flaw, no answer, no run, and what a person must mend.
func severity() []diag.Code {
	return []diag.Code{diag.OK, diag.FailedCells, diag.Infeasible, diag.NoAnswer, diag.Unfinished, diag.Busy, diag.Scheduler, diag.Usage, diag.Spec, diag.Internal}
}

// Worst is the exit code of a batch: that of its worst entry.
func Worst(lines []Line) diag.Code {
	worst := 0
	for _, l := range lines {
		rank := len(severity()) - 1
		for i, c := range severity() {
			if c == l.Code {
				rank = i
			}
		}
		worst = max(worst, rank)
	}
	return severity()[worst]
}

// Summary is a row for each entry, and the counts.
func Summary(w io.Writer, lines []Line) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENTRY\tSTATUS\tRUN\tANSWER")
	count := map[string]int{}
	for _, l := range lines {
		status := report.OneLine(l.Status) // it stands in a file, which may be another's
		if status == "" {
			status = "unfinished"
		}
		count[status]++
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", l.Entry, status, screen.OrDash(report.OneLine(l.RunID)), answer(l))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d %s, %d %s, %d %s, %d unfinished\n", count[batchfile.Success], batchfile.Success,
		count[batchfile.Failure], batchfile.Failure, count[batchfile.NoResult], batchfile.NoResult, count["unfinished"])
	return err
}

func answer(l Line) string {
	switch {
	case l.Error != "":
		return "error: " + report.OneLine(l.Error)
	case l.Winner != "":
		return l.Winner
	case l.Code == diag.Infeasible:
		return "no cell meets the limit"
	case l.Code == diag.NoAnswer && !l.Skipped:
		return "none: the probe or every cell failed"
	case l.Skipped && l.Status != batchfile.Success:
		return "left as it was (--retry-failed tries again)"
	case l.Skipped:
		return "left as it was"
	}
	return "-"
}

// lineWriter keeps the lines of several runs apart.
type lineWriter struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *lineWriter) entry(n int) io.Writer {
	return &prefixed{to: l, prefix: fmt.Sprintf("%d: ", n)}
}

// prefixed writes whole lines, each with its entry before it.
type prefixed struct {
	to     *lineWriter
	prefix string
	rest   string
}

func (p *prefixed) Write(data []byte) (int, error) {
	p.to.mu.Lock()
	defer p.to.mu.Unlock()
	p.rest += string(data)
	for {
		line, rest, whole := strings.Cut(p.rest, "\n")
		if !whole {
			return len(data), nil
		}
		p.rest = rest
		if _, err := io.WriteString(p.to.out, p.prefix+line+"\n"); err != nil {
			return 0, err
		}
	}
}
