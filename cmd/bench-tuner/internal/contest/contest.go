// Package contest lets tuning methods loose on a scenario and says what their answers are worth. The methods of vtune ask
// internal/search and internal/verdict exactly what the agent and the collector ask them.
package contest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/cmd/bench-tuner/internal/world"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/sim"
)

// Methods in the order of the table. The first is what the others are compared with.
var Methods = []string{
	AutoTune, Doubling,
	"columns-none", "columns-bound", "columns-model",
	"cells-none", "cells-bound", "cells-model",
}

// The methods that others have; those of vtune are named by plan and pruning.
const (
	AutoTune = "auto_tune" // the script's procedure
	Doubling = "doubling"  // rates doubled, then bisected, on 300 prompts each
)

// Load is one run, for the record.
type Load struct {
	Cell     string         `json:"cell"`
	Load     record.Load    `json:"load"`
	Emulated bool           `json:"emulated,omitempty"`
	Verdict  record.Verdict `json:"verdict"`
	Requests int            `json:"requests"`
	Seconds  float64        `json:"seconds"`
	Reason   string         `json:"reason,omitempty"`
}

// Result is one method's tuning of one scenario.
type Result struct {
	Method   string        `json:"method"`
	Cell     string        `json:"cell,omitempty"` // the answer; empty: none
	Rate     float64       `json:"request_rate"`   // that it is said to hold
	Seconds  float64       `json:"accelerator_s"`  // times the GPUs of a server
	Wall     [2]float64    `json:"wall_s"`         // on 1 and on 8 slots
	Starts   int           `json:"starts"`
	Runs     int           `json:"runs"`
	Ledger   record.Ledger `json:"ledger_s"`
	Regret   float64       `json:"regret"`             // of the best truth, relative; 1 without an answer
	Share    float64       `json:"share_beyond"`       // of the answer in the long run
	False    bool          `json:"false_accept"`       // Share is above 1.5 %
	Reported float64       `json:"reported,omitempty"` // of the rivals: the throughput that their answer reports
	Short    bool          `json:"short,omitempty"`    // even at that rate, where it is below Rate, the share is above 1.5 %
	Feasible bool          `json:"feasible"`           // there is something to find
	Trouble  string        `json:"trouble,omitempty"`  // the method broke its own rules, or the search does not end
	Jobs     []world.Job   `json:"jobs,omitempty"`
	Loads    []Load        `json:"loads,omitempty"`
	Trace    []string      `json:"-"`
}

// FalseAccept is the share of requests beyond the limit from which an answer is wrong: half as many again as a P99 allows.
const FalseAccept = 0.015

// Play tunes a scenario by a method. The oracle judges the answer.
func Play(s scenario.Scenario, o *world.Oracle, method string, verbose bool) (Result, error) {
	t := &tuning{scenario: s, site: world.NewSite(s), verbose: verbose}
	t.result.Method = method
	var err error
	switch plan, prune, _ := strings.Cut(method, "-"); {
	case method == AutoTune:
		err = t.autoTune()
	case method == Doubling:
		err = t.doubling()
	case plan == "columns":
		err = t.columns(record.Prune(prune))
	case plan == "cells":
		err = t.cells(record.Prune(prune))
	default:
		err = fmt.Errorf("no method is called %q: there is %s", method, strings.Join(Methods, ", "))
	}
	if errors.Is(err, errNoServer) {
		err = nil
	}
	if err != nil {
		return Result{}, fmt.Errorf("scenario %s, %s: %w", s.ID, method, err)
	}
	return t.result, t.close(o)
}

// tuning is one that goes on.
type tuning struct {
	scenario scenario.Scenario
	site     *world.Site
	policy   record.Policy
	jobs     []*world.Job
	verbose  bool
	lowered  map[string]float64 // utilization by cell, where memory ran out under load
	util     float64            // of the probe
	numbers  map[string]int     // runs by cell
	result   Result
	score    float64 // of the answer so far, by the method's own measure
	rival    float64 // what other cells are measured against
}

var errNoServer = errors.New("no server starts")

func (t *tuning) tracef(format string, args ...any) {
	if t.verbose {
		t.result.Trace = append(t.result.Trace, fmt.Sprintf(format, args...))
	}
}

// job opens one that waits for others.
func (t *tuning) job(name string, after ...int) *world.Job {
	j := &world.Job{Name: name, After: after}
	t.jobs = append(t.jobs, j)
	t.tracef("  job %s", name)
	return j
}

// answer takes a cell for the best if its score is strictly the greatest.
func (t *tuning) answer(c record.Cell, rate, score float64) bool {
	if score <= t.score {
		return false
	}
	t.score, t.result.Cell, t.result.Rate = score, c.ID, rate
	return true
}

// close adds up and lets the oracle judge.
func (t *tuning) close(o *world.Oracle) error {
	r := &t.result
	r.Ledger = record.Ledger{}
	for _, j := range t.jobs {
		r.Jobs = append(r.Jobs, *j)
		r.Seconds += j.Seconds * float64(t.scenario.TP)
		r.Starts, r.Runs = r.Starts+j.Starts, r.Runs+j.Runs
		for k, v := range j.Ledger {
			r.Ledger[k] += v
		}
	}
	r.Wall = [2]float64{world.Wall(r.Jobs, 1), world.Wall(r.Jobs, 8)}
	best := o.Truth.Best
	r.Feasible = best > 0
	if r.Feasible {
		r.Regret = 1
	}
	at := slices.IndexFunc(t.scenario.Cells, func(c record.Cell) bool { return c.ID == r.Cell })
	if at < 0 {
		return nil
	}
	holds := o.Truth.Cells[r.Cell]
	if t.scenario.LimitMS == 0 {
		r.Regret = 1 - holds/best
		return nil
	}
	if r.Feasible {
		r.Regret = 1 - min(r.Rate, holds)/best
	}
	var err error
	if r.Share, err = o.Share(t.scenario.Cells[at], r.Rate, FalseAccept); err != nil {
		return err
	}
	r.False = r.Share > FalseAccept
	if r.Short = r.False; r.Reported > 0 && r.Reported < r.Rate {
		share, err := o.Share(t.scenario.Cells[at], r.Reported, FalseAccept)
		r.Short = share > FalseAccept
		return err
	}
	return nil
}

// session is a server of a job, with what becomes of it.
type session struct {
	t       *tuning
	job     *world.Job
	cell    record.Cell
	server  *world.Server
	explore bool // it answers for a column
	polled  bool // as auto_tune.sh sees starts
}

// probe searches for the utilization and leaves the server up.
func (t *tuning) probe(s *session) error {
	var starts []record.Start
	for {
		d := search.NextProbe(t.policy, starts)
		switch d.Action {
		case search.Try:
			boot, err := s.start(d.Utilization)
			if err != nil {
				return err
			}
			start := record.Start{Utilization: d.Utilization, OK: boot.Err == nil, Seconds: boot.Seconds}
			if boot.Err != nil {
				start.Cause, start.Message, start.Free = record.CauseOOM, boot.Err.Error(), free(boot.Err)
			}
			starts = append(starts, start)
		case search.Accept:
			t.util = d.Utilization
			return nil
		default:
			t.tracef("    probe: %s", d.Reason)
			return errNoServer
		}
	}
}

// free is the share of memory that a failed start names, as internal/vllm reads it.
func free(err error) float64 {
	var free, total float64
	_, text, _ := strings.Cut(err.Error(), "Free memory on device cuda:0 (")
	if n, _ := fmt.Sscanf(text, "%f/%f GiB)", &free, &total); n < 2 {
		return 0
	}
	return free / total
}

// start starts the session's server at a utilization.
func (s *session) start(utilization float64) (world.Boot, error) {
	server, boot, err := s.t.site.Start(s.cell, utilization)
	if err != nil {
		return boot, err
	}
	s.job.Starts++
	spent := boot.Seconds
	if s.polled {
		spent = world.Polled(spent)
	}
	s.job.Spend(record.SpendStarting, spent)
	s.server = server
	s.t.tracef("    start %-12s util %.2f %6.1f s cold=%v %v", s.cell.ID, utilization, spent, boot.Cold, errorText(boot.Err))
	return boot, nil
}

// utilization at which a cell's servers start.
func (t *tuning) utilization(c record.Cell) float64 {
	if u, is := t.lowered[c.ID]; is {
		return u
	}
	return t.util
}

// up starts the session's server at what is known of the cell's memory, lower where that does not do.
func (s *session) up() error {
	for {
		boot, err := s.start(s.t.utilization(s.cell))
		if err != nil || boot.Err == nil {
			return err
		}
		if !s.t.lower(s.cell) {
			return errNoServer
		}
	}
}

// lower the utilization of a cell by two hundredths; false: it is as low as it may be.
func (t *tuning) lower(c record.Cell) bool {
	u := math.Round(t.utilization(c)*100-2) / 100
	if u < world.Lowest {
		return false
	}
	if t.lowered == nil {
		t.lowered = map[string]float64{}
	}
	t.lowered[c.ID] = u
	return true
}

func (s *session) stop() {
	if s.server != nil {
		s.job.Spend(record.SpendStopping, world.Stop)
		s.server = nil
	}
}

// number counts a cell's runs, which is what their seeds hang on.
func (t *tuning) number(c record.Cell) int {
	if t.numbers == nil {
		t.numbers = map[string]int{}
	}
	t.numbers[c.ID]++
	return t.numbers[c.ID]
}

// died reports whether a run ended with the server, for lack of memory.
func died(err error) bool {
	var oom *sim.StartError
	return errors.As(err, &oom)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	text, _, _ := strings.Cut(err.Error(), ". ")
	return text
}
