package imports

import (
	"cmp"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/record"
)

// Log is what `vllm bench serve` printed in one run.
type Log struct {
	Told    Told
	Spoke   bool           // it printed its whole table; else Metrics is empty
	Metrics record.Metrics // to two decimals, as printed
	Last    string         // the last line that is not empty
}

// The client's table begins and ends with lines of this.
const (
	tableTitle = "Serving Benchmark Result"
	tableRule  = "====="
)

// labels of the table's rows, in lower case: they changed theirs over the years.
func labels(m *record.Metrics) (counts map[string]*int, numbers map[string]*float64) {
	counts = map[string]*int{
		"successful requests": &m.Completed, "failed requests": &m.Failed,
		"total input tokens": &m.TotalInputTokens, "total generated tokens": &m.TotalOutputTokens,
	}
	numbers = map[string]*float64{
		"benchmark duration (s)": &m.Seconds, "request throughput (req/s)": &m.RequestThroughput,
		"request goodput (req/s)": &m.RequestGoodput, "output token throughput (tok/s)": &m.OutputThroughput,
	}
	for name, l := range map[string]*record.Latency{"ttft": &m.TTFT, "tpot": &m.TPOT, "itl": &m.ITL, "e2el": &m.E2EL} {
		for what, to := range map[string]*float64{"mean": &l.Mean, "median": &l.P50, "p50": &l.P50, "p90": &l.P90, "p99": &l.P99} {
			numbers[what+" "+name+" (ms)"] = to
		}
	}
	return counts, numbers
}

// needed are the rows without which a table says nothing.
var needed = []string{"successful requests", "benchmark duration (s)", "request throughput (req/s)"}

// ParseLog reads a client's log. A table that has no end says nothing: its last number may be cut off. A log without a table is one of a
// client that failed, which is no problem of the file's. Of several tables the last one counts, as for whoever looks at the end.
func ParseLog(file string, data []byte) (Log, diag.Problems) {
	var l Log
	var ps diag.Problems
	all := lines(data)
	begin, end := -1, -1
	for i, text := range all {
		trimmed := strings.TrimSpace(text)
		if args, ok := strings.CutPrefix(trimmed, "Namespace("); ok {
			l.Told = Told{}
			if col, err := l.Told.python(args, "="); err != nil {
				l.Told = Told{}
				ps = append(ps, problem(file, i+1, strings.Index(text, args)+col, "%v", err))
			}
		}
		switch {
		case strings.HasPrefix(trimmed, tableRule) && strings.Contains(trimmed, tableTitle):
			begin, end = i, -1
		case begin >= 0 && end < 0 && strings.HasPrefix(trimmed, tableRule):
			end = i
		}
		l.Last = cmp.Or(trimmed, l.Last)
	}
	switch {
	case begin < 0:
		return l, ps
	case end < 0:
		return l, append(ps, problem(file, begin+1, 1, "the client's table has no end"))
	}
	m, bad := table(file, begin+1, all[begin+1:end])
	if ps = append(ps, bad...); len(bad) == 0 {
		l.Spoke, l.Metrics = true, m
	}
	return l, ps
}

// table reads rows; the first of them is line first+1 of the file.
func table(file string, first int, rows []string) (m record.Metrics, ps diag.Problems) {
	counts, numbers := labels(&m)
	seen := map[string]bool{}
	for i, row := range rows {
		label, value, ok := strings.Cut(row, ":")
		label, value = strings.ToLower(strings.TrimSpace(label)), strings.TrimSpace(value)
		to, isNumber := numbers[label]
		count, isCount := counts[label]
		if !ok || !isNumber && !isCount {
			continue // a title, or a row of no interest here
		}
		wrong := func(format string, args ...any) {
			ps = append(ps, problem(file, first+i+1, 1+strings.LastIndex(row, value), format, args...))
		}
		if seen[label] {
			wrong("%s stands there twice", label)
			continue
		}
		seen[label] = true
		f, err := number(value)
		switch {
		case value == "nan": // of no request at all; the counts tell the story
			continue
		case err != nil:
			wrong("%s: %v", label, err)
		case isNumber:
			*to = f
		case f != float64(int(min(f, mostRequests*1e3))):
			wrong("%s: %.40q is no count", label, value)
		default:
			*count = int(f)
		}
	}
	for _, n := range needed {
		if !seen[n] {
			ps = append(ps, problem(file, first, 1, "the client's table has no row %q", n))
		}
	}
	return m, ps
}
