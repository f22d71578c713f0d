package folder

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/diag"
	"vtune/internal/imports"
	"vtune/internal/record"
	"vtune/internal/search"
)

// cells puts every run into its cell, judges it, and says what came of the cell.
func (s *settling) cells() {
	byCell := map[[2]int][]Run{}
	merged := s.merge()
	for i, l := range s.f.Logs {
		of, saved := merged[i]
		if !saved {
			of = -1
		}
		byCell[l.Cell] = append(byCell[l.Cell], s.ofLog(l, of))
	}
	var untold []string
	for i, r := range s.f.Saved {
		if slices.Contains(slices.Collect(maps.Values(merged)), i) {
			continue
		}
		cell := [2]int{cmp.Or(r.Told.MaxNumSeqs, s.wish.MaxNumSeqs), cmp.Or(r.Told.MaxNumBatchedTokens, s.wish.MaxNumBatchedTokens)}
		if cell[0] == 0 || cell[1] == 0 {
			untold = append(untold, r.File)
			continue
		}
		byCell[cell] = append(byCell[cell], s.ofSaved(r))
	}
	if len(untold) > 0 {
		s.ps = append(s.ps, diag.Problem{
			Pos: diag.Pos{File: untold[0]}, What: fmt.Sprintf("does not tell max_num_seqs and max_num_batched_tokens of its server (of %d files that do not)", len(untold)),
			Hint: "say them with --max-num-seqs N --max-num-batched-tokens N, or have the client write them down with --metadata max_num_seqs=N max_num_batched_tokens=N",
		})
		return
	}
	s.grid(byCell)
	for _, seqs := range s.Seqs {
		for _, tokens := range s.Tokens {
			at := [2]int{seqs, tokens}
			if _, measured := byCell[at]; !measured && !s.Script {
				continue // a sweep lists its combinations, and need not cross them
			}
			s.Cells = append(s.Cells, s.cell(at, byCell[at]))
		}
	}
	s.probe(len(byCell) > 0 || len(s.f.Result.Rows) > 0)
	s.best()
}

// merge finds the saved result of a log's run: the same rate, and the same numbers as they are printed. It is by log.
func (s *settling) merge() map[int]int {
	merged, used := map[int]int{}, map[int]bool{}
	for i, l := range s.f.Logs {
		for j, r := range s.f.Saved {
			if !used[j] && l.Spoke && r.Told.Rate == l.Rate && r.Metrics.Completed == l.Metrics.Completed &&
				printed(r.Metrics.RequestThroughput) == printed(l.Metrics.RequestThroughput) &&
				printed(r.Metrics.Seconds) == printed(l.Metrics.Seconds) && printed(r.Metrics.E2EL.P99) == printed(l.Metrics.E2EL.P99) {
				merged[i], used[j] = j, true
				break
			}
		}
	}
	return merged
}

// distinct are the saved runs, each once: a sweep's summary repeats those of its folder, and knows more of them.
func distinct(all []Saved) []Saved {
	type identity struct {
		ended            time.Time
		model            string
		rate             record.Rate
		seconds, p99     float64
		completed, input int
	}
	at := map[identity]int{}
	var out []Saved
	for _, r := range all {
		m := r.Metrics
		id := identity{r.Ended, r.Told.Model, r.Told.Rate, m.Seconds, m.E2EL.P99, m.Completed, m.TotalInputTokens}
		i, again := at[id]
		if !again {
			at[id], out = len(out), append(out, r)
			continue
		}
		told := out[i].Told.Or(r.Told)
		if !out[i].Alone && r.Alone {
			out[i] = r
		}
		out[i].Told = told
	}
	return out
}

func printed(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// grid is every value of each axis: the script's in the order of its rows, then what only logs tell of.
func (s *settling) grid(byCell map[[2]int][]Run) {
	var all [][2]int
	for _, r := range s.f.Result.Rows {
		all = append(all, [2]int{r.MaxNumSeqs, r.MaxNumBatchedTokens})
	}
	var others [][2]int
	for at := range byCell {
		others = append(others, at)
	}
	for _, v := range s.f.Servers {
		if v.Cell != [2]int{} {
			others = append(others, v.Cell)
		}
	}
	if len(all)+len(others) == 0 { // nothing came of the probe; its servers had the last value of each axis
		for _, v := range s.f.Servers {
			if v.Told.MaxNumSeqs > 0 && v.Told.MaxNumBatchedTokens > 0 {
				others = append(others, [2]int{v.Told.MaxNumSeqs, v.Told.MaxNumBatchedTokens})
			}
		}
		if s.wish.MaxNumSeqs > 0 && s.wish.MaxNumBatchedTokens > 0 {
			others = append(others, [2]int{s.wish.MaxNumSeqs, s.wish.MaxNumBatchedTokens})
		}
	}
	slices.SortFunc(others, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
	for _, at := range append(all, others...) {
		for i, axis := range []*[]int{&s.Seqs, &s.Tokens} {
			if !slices.Contains(*axis, at[i]) {
				*axis = append(*axis, at[i])
			}
		}
	}
	if len(s.Seqs) == 0 {
		s.missing("--max-num-seqs N --max-num-batched-tokens N", "result.txt has no row, and no log tells of a cell: the script ended before it measured anything")
	}
}

// ofLog is the run that a log tells of. What was saved of it (number of, or -1) is exact, and goes before what was printed.
func (s *settling) ofLog(l Log, of int) Run {
	r := Run{Log: l.File, Observation: record.Observation{
		Client: "vllm", Seed: l.Told.Seed, Metrics: l.Metrics, Ended: l.At,
		Load: record.Load{Rate: l.Rate, Requests: cmp.Or(l.Told.Requests, l.Metrics.Completed+l.Metrics.Failed), LetIn: l.Told.Concurrency},
	}}
	if of >= 0 {
		v := s.f.Saved[of]
		r.Metrics, r.Saved, r.Object, r.Several = v.Metrics, v.File, v.Object, !v.Alone
		if !v.Ended.IsZero() {
			r.Ended = v.Ended
		}
	}
	r.Started = r.Ended.Add(-seconds(r.Metrics.Seconds))
	if asked := l.Told.Rate; asked > 0 && asked != l.Rate {
		s.warn("%s is of a run at %s req/s, its client says, and its name says %s", l.File, asked, l.Rate)
	}
	switch server := s.server(l.Cell); {
	case l.Spoke && l.Metrics.Completed > 0:
		if s.judge(&r); server.Failure != nil && !server.Up {
			s.warn("%s: its requests were answered, although its server did not come up (%s): by another one?", l.File, server.Failure.Message)
		}
	case server.Failure != nil:
		r.invalid(server.Failure.Cause, "the server: "+server.Failure.Message)
	case server.File != "" && !server.Up:
		r.invalid(record.CauseCrash, "the server never said that it was up")
	case l.Spoke:
		s.judge(&r)
	default:
		r.invalid(record.CauseClient, strings.TrimSuffix("the client printed no whole result; its log ends in: "+l.Last, "; its log ends in: "))
	}
	return r
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (s *settling) ofSaved(v Saved) Run {
	r := Run{Saved: v.File, Object: v.Object, Several: !v.Alone, Observation: record.Observation{
		Client: "vllm", Seed: v.Told.Seed, Metrics: v.Metrics, Ended: cmp.Or(v.Ended, s.f.Oldest),
		Load: record.Load{Rate: v.Told.Rate, Requests: v.Told.Requests, LetIn: v.Told.Concurrency},
	}}
	r.Started = r.Ended.Add(-seconds(v.Metrics.Seconds))
	s.judge(&r)
	return r
}

func (r *Run) invalid(c record.Cause, detail string) {
	r.Verdict, r.Cause, r.Detail = record.Invalid, c, detail
}

// judge by the rules of every other run: numbers of survivors are no answer, whatever the script took them for.
func (s *settling) judge(r *Run) {
	r.Verdict, r.Cause, r.Detail = search.Judge(record.Policy{LimitMS: s.LimitMS}, r.Metrics, r.Load.Requests)
}

// server is the log of a cell's server.
func (s *settling) server(at [2]int) Server {
	for _, v := range s.f.Servers {
		if v.Cell == at {
			return v
		}
	}
	return Server{}
}

// row is the script's answer for a cell; nil: it has none.
func (s *settling) row(at [2]int) *imports.Row {
	for i, r := range s.f.Result.Rows {
		if r.MaxNumSeqs == at[0] && r.MaxNumBatchedTokens == at[1] {
			return &s.f.Result.Rows[i]
		}
	}
	return nil
}
