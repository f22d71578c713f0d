package folder

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"vtune/internal/diag"
	"vtune/internal/record"
)

// Wish is what a person says; it goes before what files say. Zero is nothing said.
type Wish struct {
	Model, System                   string
	TensorParallel, MaxModelLen     int
	InputLen, OutputLen             int
	MaxNumSeqs, MaxNumBatchedTokens int // of results that do not tell their cell
	LimitMS                         float64
}

// Tuning is what a folder tells of a tuning.
type Tuning struct {
	Script         bool
	Model, System  string // System is empty where nothing tells it
	TensorParallel int    // this and what follows: 0 where nothing tells it
	MaxModelLen    int
	Workload       record.Workload
	LimitMS        float64 // 0: none
	Seed           int64
	Version        string // of the server
	Utilization    float64
	Node           string
	Created        time.Time
	Seqs, Tokens   []int // the axes
	Cells          []Cell
	Probe          Probe
	Traces         int

	Warnings []string // what a reader of the numbers must know: where files contradict each other, or say nothing
	Notes    []string // what was assumed
}

// Probe is the script's search for a memory utilization.
type Probe struct {
	Logs    []Server // in the order in which they were started
	Failed  bool     // none survived: nothing was measured
	Cause   record.Cause
	Message string
}

// Cell is what was measured of one, and what came of it.
type Cell struct {
	record.Cell
	Runs    []Run
	Server  string // log
	Outcome record.Outcome
	Cause   record.Cause
	Message string
}

// Run is one run of the load client. File names are relative to the folder.
type Run struct {
	record.Observation // without its place in the run
	Log                string
	Saved              string // with the number of the object in it, if it holds several
	Object             int
	Several            bool
}

// settling is a Tuning in the making.
type settling struct {
	Tuning
	f    Folder
	wish Wish
	ps   diag.Problems
}

// Settle says what a folder tells. The error is diag.Problems: what must be known and is told by nothing, each with the flag that says it.
func Settle(f Folder, w Wish) (Tuning, error) {
	s := &settling{f: f, wish: w}
	s.Script, s.Traces, s.f.Saved = f.Script, f.Traces, distinct(f.Saved)
	if !f.Script && len(f.Saved) == 0 {
		return s.Tuning, diag.Problems{{
			What: "nothing to import: neither a result.txt of auto_tune.sh nor a result that `vllm bench serve --save-result` saved",
			Hint: "name the folder that holds them; each run of auto_tune.sh has one of its own below auto-benchmark/",
		}}
	}
	s.tell()
	s.limit()
	s.cells()
	if s.Script || len(s.Cells) > 0 { // else there is no mean to be taken, and something else is asked for
		s.workload()
	}
	s.times()
	if err := s.ps.Err(); err != nil {
		return s.Tuning, err
	}
	return s.Tuning, nil
}

func (s *settling) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

func (s *settling) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

func (s *settling) missing(flag, format string, args ...any) {
	s.ps = append(s.ps, diag.Problem{What: fmt.Sprintf(format, args...), Hint: "say it with " + flag})
}

// one is the value that a person said, or the only one that files say; the first of several, which are a problem: what was measured
// under different conditions is no tuning.
func one[T cmp.Ordered](s *settling, wish T, flag, what string, said map[T]bool) (value T) {
	var none T
	delete(said, none)
	if wish != none {
		return wish
	}
	all := slices.Sorted(maps.Keys(said))
	if len(all) == 0 {
		return none
	}
	if len(all) > 1 {
		s.ps = append(s.ps, diag.Problem{What: fmt.Sprintf("results of several %ss: %v", what, all), Hint: "put what belongs together into a folder of its own, or say which it is with " + flag})
	}
	return all[0]
}

// tell finds what the programs were told. A client knows the model and its own load, a server the rest.
func (s *settling) tell() {
	models, parallel, lengths := map[string]bool{}, map[int]bool{}, map[int]bool{}
	system, seeds := map[string]bool{}, map[int64]bool{}
	hosts := map[string]bool{}
	for _, l := range s.f.Logs {
		models[l.Told.Model], seeds[l.Told.Seed], hosts[node(l.Told.Host)] = true, true, true
	}
	for _, r := range s.f.Saved {
		models[r.Told.Model], seeds[r.Told.Seed] = true, true
		parallel[r.Told.TensorParallel], lengths[r.Told.MaxModelLen] = true, true
		s.Utilization = max(s.Utilization, r.Told.Utilization)
	}
	delete(models, "")
	silent := len(models) == 0
	for _, v := range s.f.Servers {
		if silent {
			models[v.Told.Model] = true
		}
		if v.Told.Model != "" { // it says all that is not the default
			parallel[max(v.Told.TensorParallel, 1)] = true
		}
		lengths[v.Told.MaxModelLen], system[v.System] = true, true
		s.Version = cmp.Or(s.Version, v.Version)
		if v.Cell != [2]int{} {
			s.Utilization = cmp.Or(v.Told.Utilization, s.Utilization)
		}
	}
	s.Version = cmp.Or(s.Version, s.f.Result.Hash) // of the checkout: the next best word for what was tuned
	s.Model = one(s, s.wish.Model, "--model", "model", models)
	s.TensorParallel = one(s, s.wish.TensorParallel, "--tensor-parallel", "tensor parallel size", parallel)
	s.MaxModelLen = one(s, s.wish.MaxModelLen, "--max-model-len", "max-model-len", lengths)
	s.System = one(s, s.wish.System, "--system", "system", system)
	if all := slices.Sorted(maps.Keys(seeds)); len(all) > 0 {
		s.Seed = all[0]
	}
	if delete(hosts, ""); len(hosts) == 1 {
		s.Node = slices.Collect(maps.Keys(hosts))[0]
	}
	if s.Model == "" {
		s.missing("--model NAME", "no file tells the model")
	}
	for _, unknown := range []struct {
		known       bool
		what, taken string
	}{
		{s.TensorParallel > 0, "tensor_parallel", "1"},
		{s.MaxModelLen > 0, "max_model_len", "the tokens of a request, rounded up to 1024s"},
		{s.System != "", "system", "GPU"},
	} {
		if !unknown.known {
			s.note("%s is not told by any file: %s is taken", unknown.what, unknown.taken)
		}
	}
}

// node is a host's name, where it is one that others would know it by.
func node(host string) string {
	switch host {
	case "localhost", "127.0.0.1", "0.0.0.0", "::1", "::":
		return ""
	}
	return host
}

// noLimit and above is how the script's users say that there is none: it is 116 days.
const noLimit = 1e10

// limit is the script's, which its rows and its clients tell, or a person's. What the script decided stands, so a person cannot say
// another one than it had.
func (s *settling) limit() {
	said := s.f.Result.LimitMS
	for _, l := range s.f.Logs {
		said = cmp.Or(said, l.Told.LimitMS)
	}
	if said > 0 && s.wish.LimitMS > 0 && said != s.wish.LimitMS {
		s.ps = append(s.ps, diag.Problem{What: fmt.Sprintf("the folder's own limit is %g ms, and its answers were decided by it", said), Hint: "leave --p99-e2el-ms out"})
	}
	switch s.LimitMS = cmp.Or(s.wish.LimitMS, said); {
	case s.LimitMS >= noLimit:
		s.LimitMS = 0
	case s.LimitMS == 0 && s.Script:
		s.note("no row and no log tells a limit: none is taken (--p99-e2el-ms says one)")
	case s.LimitMS == 0:
		s.note("no limit on P99 E2EL is known: the highest throughput is the answer (--p99-e2el-ms says one)")
	}
}

// workload is that of the client's arguments; where no file has them, the mean of what it counted.
func (s *settling) workload() {
	inputs, prefixes, outputs := map[int]bool{}, map[int]bool{}, map[int]bool{}
	for _, l := range s.f.Logs {
		inputs[l.Told.InputLen+l.Told.PrefixLen], prefixes[l.Told.PrefixLen], outputs[l.Told.OutputLen] = true, true, true
	}
	for _, r := range s.f.Saved {
		inputs[r.Told.InputLen+r.Told.PrefixLen], prefixes[r.Told.PrefixLen], outputs[r.Told.OutputLen] = true, true, true
	}
	w := record.Workload{
		InputLen:  one(s, s.wish.InputLen, "--input-len", "input length", inputs),
		OutputLen: one(s, s.wish.OutputLen, "--output-len", "output length", outputs),
	}
	in, out := s.means()
	if w.InputLen == 0 && in > 0 {
		w.InputLen = in
		s.note("workload.input_len is the mean of what was counted: %d tokens", in)
	}
	if w.OutputLen == 0 && out > 0 {
		w.OutputLen = out
		s.note("workload.output_len is the mean of what was counted: %d tokens", out)
	}
	if w.InputLen == 0 || w.OutputLen == 0 {
		s.missing("--input-len N --output-len N", "no file tells the tokens of a request")
		return
	}
	prefix := one(s, 0, "--input-len", "prefix length", prefixes)
	for w.CacheHitPct = 100 * prefix / w.InputLen; w.CacheHitPct < 100 && w.PrefixLen() < prefix; {
		w.CacheHitPct++
	}
	if w.PrefixLen() != prefix {
		s.note("workload.cache_hit_pct is about that of a prefix of %d tokens", prefix)
	}
	s.Workload = w
}

// means are the tokens in and out of a completed request.
func (s *settling) means() (in, out int) {
	var completed, inputs, outputs int
	for _, c := range s.Cells {
		for _, r := range c.Runs {
			m := r.Metrics
			completed, inputs, outputs = completed+m.Completed, inputs+m.TotalInputTokens, outputs+m.TotalOutputTokens
		}
	}
	if completed == 0 {
		return 0, 0
	}
	return (inputs + completed/2) / completed, (outputs + completed/2) / completed
}

// times: a run is as old as its folder's name or its results say, and as its files are where nothing does.
func (s *settling) times() {
	s.Created = s.f.Begun
	if s.Created.IsZero() {
		for _, r := range s.f.Saved {
			if at := r.Ended; !at.IsZero() && (s.Created.IsZero() || at.Before(s.Created)) {
				s.Created = at
			}
		}
	}
	if s.Created.IsZero() {
		s.Created = s.f.Oldest
	}
}
