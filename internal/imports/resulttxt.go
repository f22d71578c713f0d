package imports

import (
	"fmt"
	"regexp"
	"strconv"

	"vtune/internal/diag"
	"vtune/internal/record"
)

// Result is auto_tune.sh's result.txt.
type Result struct {
	Hash    string
	Rows    []Row   // one for each cell that the script came to the end of, in its order
	LimitMS float64 // that a row says was not met; 0: no row does
	Best    *Best   // nil: the script did not come to its end
}

// Row is the script's answer for a cell.
type Row struct {
	Line                int // in the file, from 1
	MaxNumSeqs          int
	MaxNumBatchedTokens int
	Accepted            bool
	Rate                record.Rate // this and what follows: where it was accepted
	P99                 float64     // E2EL, ms
	Throughput, Goodput float64     // requests/s
}

// Best is the script's last row; all zero where it accepted nothing.
type Best struct {
	Line                int
	MaxNumSeqs          int
	MaxNumBatchedTokens int
	Throughput          float64
	Profile             string // where the trace is said to be, which the script says also of none
}

// The script's rows. Its first versions wrote "through put".
var (
	cellRow     = `^max_num_seqs: *(\d+), max_num_batched_tokens: *(\d+)`
	acceptedRow = regexp.MustCompile(cellRow + `, request_rate: *(\S+), e2el: *(\S+), through ?put: *(\S+), goodput: *(\S*)\s*$`)
	missedRow   = regexp.MustCompile(cellRow + ` does not meet latency requirement *(\S+)\s*$`)
	ownRow      = regexp.MustCompile(cellRow + `(?:,.*\)| cannot win: .*| was not shown to meet .*| failed: .*)\s*$`)
	bestRow     = regexp.MustCompile(`^best_max_num_seqs: *(\d+), best_num_batched_tokens: *(\d+), best_through ?put: *([^\s,]+)(?:, profile saved in: *(.*?))?\s*$`)
	hashRow     = regexp.MustCompile(`^hash: *(\S*)\s*$`)
)

// ParseResult reads result.txt. A line that is none of the script's is a problem, and what it was to say is not known.
func ParseResult(file string, data []byte) (Result, diag.Problems) {
	var r Result
	var ps diag.Problems
	first := map[[2]int]int{} // line of a cell's row
	for i, text := range lines(data) {
		n := i + 1
		switch {
		case text == "":
		case hashRow.MatchString(text):
			r.Hash = hashRow.FindStringSubmatch(text)[1]
		case acceptedRow.MatchString(text), missedRow.MatchString(text):
			row, limit, err := readRow(n, text)
			at := [2]int{row.MaxNumSeqs, row.MaxNumBatchedTokens}
			switch {
			case err != nil:
				ps = append(ps, problem(file, n, 1, "%v", err))
			case first[at] > 0:
				ps = append(ps, problem(file, n, 1, "a second row for %s; line %d has the first, which stands", record.CellID(at[0], at[1]), first[at]))
			case limit > 0 && r.LimitMS > 0 && limit != r.LimitMS:
				ps = append(ps, problem(file, n, 1, "a limit of %g ms, where another row says %g", limit, r.LimitMS))
			default:
				first[at], r.Rows = n, append(r.Rows, row)
				r.LimitMS = max(r.LimitMS, limit)
			}
		case bestRow.MatchString(text):
			b, err := readBest(n, text)
			if err != nil {
				ps = append(ps, problem(file, n, 1, "%v", err))
				continue
			}
			r.Best = &b
		default:
			p := problem(file, n, 1, "is no row of auto_tune.sh: %.60q", text)
			if ownRow.MatchString(text) {
				p.Hint = "such rows are vtune's own; what it measured needs no import: report and compare read the run directory as it is"
			}
			ps = append(ps, p)
		}
	}
	return r, ps
}

func readRow(line int, text string) (row Row, limit float64, err error) {
	m := missedRow.FindStringSubmatch(text)
	if row.Accepted = m == nil; row.Accepted {
		m = acceptedRow.FindStringSubmatch(text)
	}
	row.Line = line
	if row.MaxNumSeqs, row.MaxNumBatchedTokens, err = axes(m[1], m[2]); err != nil {
		return row, 0, err
	}
	if !row.Accepted {
		limit, err = number(m[3])
		return row, limit, err
	}
	if row.Rate, err = Rate(m[3]); err != nil {
		return row, 0, err
	}
	for i, to := range []*float64{&row.P99, &row.Throughput, &row.Goodput} {
		text := m[4+i]
		if text == "" { // a goodput that the client did not print
			continue
		}
		if *to, err = number(text); err != nil {
			return row, 0, err
		}
	}
	return row, 0, nil
}

func readBest(line int, text string) (b Best, err error) {
	m := bestRow.FindStringSubmatch(text)
	b.Line, b.Profile = line, m[4]
	if b.MaxNumSeqs, err = strconv.Atoi(m[1]); err != nil {
		return b, err
	}
	if b.MaxNumBatchedTokens, err = strconv.Atoi(m[2]); err != nil {
		return b, err
	}
	b.Throughput, err = number(m[3])
	return b, err
}

// axes are a cell's two numbers, neither of them 0.
func axes(seqs, tokens string) (s, t int, err error) {
	var told Told
	if err = told.take("max_num_seqs", seqs); err == nil {
		err = told.take("max_num_batched_tokens", tokens)
	}
	if err == nil && (told.MaxNumSeqs == 0 || told.MaxNumBatchedTokens == 0) {
		err = fmt.Errorf("no cell has %s x %s", seqs, tokens)
	}
	return told.MaxNumSeqs, told.MaxNumBatchedTokens, err
}
