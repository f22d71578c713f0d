package tables

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/report/layout"
)

// Column of the CSV.
type Column struct {
	Name string // stable, with its unit at its end
	What string
	of   func(observed) string
}

// observed is what a row is made of. Of a cell of which nothing was observed there is one row, whose observation is nil.
type observed struct {
	run  record.Run
	st   record.State
	cell record.CellState
	o    *record.Observation
	node string
}

// CSV is every observation of every cell, a row each, in grid order and in the order in which they were made. docs/csv.md has the columns.
//
// A spreadsheet takes text that begins with = + - or @, and with a tab or a line's end before it, for a formula. Such text (a cause's
// detail can be a log's line) gets a ' in front, which a spreadsheet hides and a notebook shows. Numbers are left as they are.
func CSV(run record.Run, st record.State) ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	columns := Columns(len(st.Policy.SLOs()))
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.Name
	}
	if err := w.Write(line); err != nil {
		return nil, fmt.Errorf("write CSV: %w", err)
	}
	nodes := nodesByAttempt(st)
	for _, c := range st.Cells {
		rows := []observed{{run: run, st: st, cell: c}}
		if len(c.Observations) > 0 {
			rows = rows[:0]
		}
		for i := range c.Observations {
			o := &c.Observations[i]
			rows = append(rows, observed{run, st, c, o, nodes[whereMade(c, *o)]})
		}
		for _, r := range rows {
			for i, c := range columns {
				line[i] = c.of(r)
			}
			if err := w.Write(line); err != nil {
				return nil, fmt.Errorf("write CSV: %w", err)
			}
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV: %w", err)
	}
	return b.Bytes(), nil
}

// nodesByAttempt are the nodes by the folder of the attempt.
func nodesByAttempt(st record.State) map[string]string {
	nodes := map[string]string{}
	for _, c := range st.Cells {
		for _, a := range c.Attempts {
			nodes[string(record.Dir("").Attempt(record.KindCell, c.ID, a.Attempt))] = a.Node
		}
	}
	return nodes
}

// whereMade is the folder of the attempt that made an observation: of an emulated one, that of the cell whose server it was.
func whereMade(c record.CellState, o record.Observation) string {
	if o.LogFile != "" {
		return filepath.Dir(o.LogFile)
	}
	return string(record.Dir("").Attempt(record.KindCell, c.ID, o.Attempt))
}

// Columns are those of a run with so many limits, at least one, in their order.
func Columns(limits int) []Column {
	all := []Column{
		{"run", "the run's id", func(r observed) string { return text(r.run.ID) }},
		{"vllm_version", "of the server", func(r observed) string { return text(r.st.ServerVersion) }},
		{"cell", "the cell's id", func(r observed) string { return text(r.cell.ID) }},
		{"max_num_seqs", "axis", func(r observed) string { return strconv.Itoa(r.cell.MaxNumSeqs) }},
		{"max_num_batched_tokens", "axis", func(r observed) string { return strconv.Itoa(r.cell.MaxNumBatchedTokens) }},
		{
			"cell_answer", "what the run says of the cell: accepted, missed, unsure, left, failed, skipped, open",
			func(r observed) string { return string(report.AnswerOf(r.cell, r.st.Policy)) },
		},
		{"cell_cause", "of a failure", func(r observed) string { return text(string(r.cell.Cause)) }},
		{"cell_message", "why, in words", func(r observed) string { return text(r.cell.Message) }},
		{"cell_bound_req_per_s", "what a cell that was left stays below", func(r observed) string { return positive(r.cell.Bound) }},
		{"is_winner", "whether the cell is the run's answer", func(r observed) string { return strconv.FormatBool(r.st.Best != nil && r.st.Best.Cell == r.cell.Cell) }},
		{"gpu_memory_utilization", "where the cell ran with another than the probe's: share of the accelerator's memory", func(r observed) string { return positive(r.cell.Utilization) }},
	}
	all = append(all, observationColumns()...)
	all = append(all, metricColumns()...)
	for i := range max(limits, 1) {
		all = append(all, limitColumns(i)...)
	}
	return all
}

// of makes a column that is empty where nothing was observed.
func of(name, what string, f func(o *record.Observation) string) Column {
	return Column{name, what, func(r observed) string {
		if r.o == nil {
			return ""
		}
		return f(r.o)
	}}
}

func observationColumns() []Column {
	return []Column{
		of("attempt", "of the job, from 1", func(o *record.Observation) string { return strconv.Itoa(o.Attempt) }),
		of("seq", "number of the observation in its attempt, from 1", func(o *record.Observation) string { return strconv.Itoa(o.Seq) }),
		of("purpose", "bound, explore, confirm or verify; empty under auto_tune", func(o *record.Observation) string { return text(string(o.Load.Purpose)) }),
		of("request_rate_req_per_s", "offered; inf: all at once", func(o *record.Observation) string { return o.Load.Rate.String() }),
		of("requests_most", "that the run might send", func(o *record.Observation) string { return strconv.Itoa(o.Load.Requests) }),
		of("let_in", "requests that a queue in the client let into the server at once; 0: all", func(o *record.Observation) string { return strconv.Itoa(o.Load.LetIn) }),
		of("likely_req_per_s", "what exploring runs found likely to hold, of a confirming run", func(o *record.Observation) string { return positive(o.Load.Likely) }),
		of("verdict", "pass, miss, unsure or invalid", func(o *record.Observation) string { return text(string(o.Verdict)) }),
		of("cause", "of an invalid observation", func(o *record.Observation) string { return text(string(o.Cause)) }),
		of("detail", "of the verdict, in words", func(o *record.Observation) string { return text(o.Detail) }),
		{"is_answer", "whether the cell's answer is this observation", func(r observed) string {
			if r.o == nil {
				return ""
			}
			a := r.cell.Accepted
			return strconv.FormatBool(a != nil && a.Attempt == r.o.Attempt && a.Seq == r.o.Seq)
		}},
		of("is_emulated", "whether it was made on the server of another max_num_seqs", func(o *record.Observation) string { return strconv.FormatBool(o.Emulated) }),
		of("is_alone", "whether it is a repetition without neighbours on the node, to compare with", func(o *record.Observation) string { return strconv.FormatBool(o.Alone) }),
		of("neighbours", "other jobs on the node when it began", func(o *record.Observation) string { return strconv.Itoa(o.Neighbours) }),
		of("client", "what sent the load: vtune or vllm", func(o *record.Observation) string { return text(o.Client) }),
		of("seed", "of prompts and arrivals", func(o *record.Observation) string { return strconv.FormatInt(o.Seed, 10) }),
		{"node", "where the server ran; empty: not known", func(r observed) string { return text(r.node) }},
		of("started", "RFC 3339, UTC", func(o *record.Observation) string { return stamp(o.Started) }),
		of("ended", "RFC 3339, UTC", func(o *record.Observation) string { return stamp(o.Ended) }),
	}
}

func metricColumns() []Column {
	metric := func(name, what string, f func(m record.Metrics) float64) Column {
		return of(name, what, func(o *record.Observation) string { return number(f(o.Metrics)) })
	}
	all := []Column{
		metric("completed", "requests answered", func(m record.Metrics) float64 { return float64(m.Completed) }),
		metric("failed", "requests that failed", func(m record.Metrics) float64 { return float64(m.Failed) }),
		metric("duration_s", "of the load, in the server's time", func(m record.Metrics) float64 { return m.Seconds }),
		metric("request_throughput_req_per_s", "over the whole load", func(m record.Metrics) float64 { return m.RequestThroughput }),
		metric("request_goodput_req_per_s", "of requests within the limits", func(m record.Metrics) float64 { return m.RequestGoodput }),
		metric("output_throughput_tok_per_s", "tokens out", func(m record.Metrics) float64 { return m.OutputThroughput }),
		metric("total_input_tokens", "sent", func(m record.Metrics) float64 { return float64(m.TotalInputTokens) }),
		metric("total_output_tokens", "received", func(m record.Metrics) float64 { return float64(m.TotalOutputTokens) }),
	}
	for _, l := range []struct {
		name, what string
		of         func(m record.Metrics) record.Latency
	}{
		{"ttft", "time to the first token", func(m record.Metrics) record.Latency { return m.TTFT }},
		{"tpot", "time per output token after the first", func(m record.Metrics) record.Latency { return m.TPOT }},
		{"itl", "time between chunks", func(m record.Metrics) record.Latency { return m.ITL }},
		{"e2el", "time to the last token", func(m record.Metrics) record.Latency { return m.E2EL }},
	} {
		all = append(all,
			metric(l.name+"_mean_ms", l.what+", mean", func(m record.Metrics) float64 { return l.of(m).Mean }),
			metric(l.name+"_p50_ms", l.what+", median", func(m record.Metrics) float64 { return l.of(m).P50 }),
			metric(l.name+"_p90_ms", l.what+", 90th percentile", func(m record.Metrics) float64 { return l.of(m).P90 }),
			metric(l.name+"_p99_ms", l.what+", 99th percentile", func(m record.Metrics) float64 { return l.of(m).P99 }))
	}
	steady := func(name, what string, f func(s record.Steady) float64) Column {
		return of(name, what, func(o *record.Observation) string {
			if o.Steady == nil {
				return ""
			}
			return number(f(*o.Steady))
		})
	}
	return append(all,
		steady("steady_from_s", "where the steady state begins, since the load's start; this and what follows is empty without one", func(s record.Steady) float64 { return s.From }),
		steady("steady_to_s", "where it ends", func(s record.Steady) float64 { return s.To }),
		steady("steady_requests", "in it", func(s record.Steady) float64 { return float64(s.Requests) }),
		steady("steady_effective", "as many independent ones say as much; at inf: batches", func(s record.Steady) float64 { return s.Effective }),
		steady("steady_throughput_req_per_s", "in the steady state", func(s record.Steady) float64 { return s.Throughput.Value }),
		steady("steady_throughput_low_req_per_s", "lower end of its 99 % interval", func(s record.Steady) float64 { return s.Throughput.Low }),
		steady("steady_throughput_high_req_per_s", "upper end", func(s record.Steady) float64 { return s.Throughput.High }),
		steady("peak_in_flight", "most requests in the server at once", func(s record.Steady) float64 { return float64(s.Peak) }),
		steady("client_lateness_p99_ms", "how late requests were sent", func(s record.Steady) float64 { return s.LatenessP99 }))
}

// limitColumns are what an observation says of the limit with that index. A goodput's joint standing is the first one's.
func limitColumns(i int) []Column {
	standing := func(name, what string, f func(s record.Standing) string) Column {
		return of(fmt.Sprintf("limit%d_%s", i+1, name), what, func(o *record.Observation) string {
			if i >= len(o.Standings) {
				return ""
			}
			return f(o.Standings[i])
		})
	}
	return []Column{
		standing("metric", "ttft, tpot, itl, e2el, or goodput for all limits at once", func(s record.Standing) string { return text(string(s.Metric)) }),
		standing("percentile", "of the limit", func(s record.Standing) string { return number(s.Percentile) }),
		standing("limit_ms", "0 under a goodput", func(s record.Standing) string { return number(s.MS) }),
		standing("verdict", "of this limit", func(s record.Standing) string { return text(string(s.Verdict)) }),
		standing("independent", "as many independent requests say as much", func(s record.Standing) string { return number(s.Independent) }),
		standing("share", "of requests beyond the limit, 0 to 1", func(s record.Standing) string { return number(s.Share.Value) }),
		standing("share_low", "lower end of its 99 % interval", func(s record.Standing) string { return number(s.Share.Low) }),
		standing("share_high", "upper end", func(s record.Standing) string { return number(s.Share.High) }),
		standing("at_ms", "the metric at the limit's percentile; empty where it is not known", func(s record.Standing) string { return positive(s.At.Value) }),
		standing("at_low_ms", "lower end of its 99 % interval", func(s record.Standing) string { return positive(s.At.Low) }),
		standing("at_high_ms", "upper end", func(s record.Standing) string { return positive(s.At.High) }),
	}
}

// text is foreign words on one line, harmless to a terminal and to a spreadsheet.
func text(s string) string {
	s = report.OneLine(s)
	if s != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}

// number is in full precision: a notebook rounds by itself.
func number(v float64) string {
	if !layout.Finite(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func positive(v float64) string {
	if v <= 0 {
		return ""
	}
	return number(v)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
