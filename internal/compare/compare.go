// Package compare says what differs between two runs of the same question, and whether B is worse than A beyond noise. It is pure: two
// runs' records in, a Comparison out.
//
// What is a sample here? A run measures a cell once or a few times, and the requests of one measurement share a queue; so requests are no
// sample, and neither are raw counts. What a run has are estimates with intervals that take this into account, made by internal/verdict from
// batch means and from counts of independent requests. From them come three quantities, as log estimates with a variance:
//
//   - the throughput when all requests come at once: Student's interval of batch means;
//   - the latency (the percentile that has a limit) at a rate in the middle of those that both runs measured: from a straight line of log
//     latency against log rate through the cell's runs, which uses what the search spent on exploring too;
//   - the request rate that a cell was shown to hold. It is as far below the truth as budget and chance put it, by 10 to 30 %, in steps, and
//     no interval says how far; so one cell's is shown and not tested. Rejected: the rate at which the line reaches the limit. Its rise is so
//     little known that in simulations most cells had no such rate, and of the others 20 % differed at p < 0.05 between equal runs.
//
// Assumptions: estimates are normal on a log scale; each start of a server has a speed of its own with a deviation of 1.5 % (see
// startNoise); the curve of a cell is nearly straight over the rates that both have; runs are independent of each other. Where a quantity
// has no interval (those of method auto_tune, and rates), only all cells together can say something: by the scatter of their ratios.
//
// Two-sided tests; Welch's for one cell, the paired one for all cells. Rejected: benchmath's tests, which want samples of whole repetitions
// (four at least, of each cell, which nobody pays for); the rank tests, for the same reason; overlapping intervals, which see half of
// what is there; a test of all requests as if they were independent, which sees differences in every queue.
//
// What decides, and so makes a Comparison Worse, is one family of tests under Holm's correction: the cells that won in either run, and all
// cells together. Other cells are shown, in a family of their own, and decide nothing: a gate that asks 10,000 questions has no power left for the one
// that matters, and nobody serves the cell that lost.
package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/report"
	"vtune/internal/search"
	"vtune/internal/spec"
)

// Side is one run.
type Side struct {
	Run   record.Run
	Spec  *spec.Spec
	State record.State
}

// Options of a comparison.
type Options struct {
	Alpha     float64 // probability of calling equal runs different, over all tests that decide
	Tolerance Share   // a smaller change is never a failure
	Format    string  // of Print
	Metric    Metric  // only this; empty: all
	Force     bool    // compare what is not comparable, and say so
}

// Check is a usage error where an option has a value that it cannot have.
func (o Options) Check() error {
	switch {
	case !(o.Alpha > 0 && o.Alpha < 1):
		return diag.Errorf(diag.Usage, "--alpha is %v: it is a probability above 0 and below 1", o.Alpha)
	case !(o.Tolerance >= 0 && o.Tolerance < 1):
		return diag.Errorf(diag.Usage, "--tolerance is %v: it is a share from 0 to below 1", o.Tolerance)
	case o.Metric != "" && !slices.Contains(Metrics, o.Metric):
		return diag.Errorf(diag.Usage, "--metric is %q: there is throughput, rate and latency", o.Metric)
	case !slices.Contains(Formats, o.Format):
		return diag.Errorf(diag.Usage, "--format is %q: there is text, markdown and json", o.Format)
	}
	return nil
}

// Metric is what is compared.
type Metric string

const (
	Throughput Metric = "throughput" // requests/s when all come at once
	Rate       Metric = "rate"       // requests/s that a cell was shown to hold
	Latency    Metric = "latency"    // ms at a rate that both runs measured
)

// Metrics are all there are.
var Metrics = []Metric{Throughput, Rate, Latency}

// Outcome is what a comparison, or one row of it, says of B.
type Outcome string

const (
	Worse  Outcome = "worse"
	Better Outcome = "better"
	Noise  Outcome = "~" // no difference beyond noise
)

// Comparison is what `compare --format json` prints. Rates in requests/s, latencies in ms, changes relative (0.1 is 10 % more), intervals at
// 1 - Alpha. It holds no time of its own: the same runs give the same bytes.
type Comparison struct {
	Schema    int     `json:"schema"`
	Outcome   Outcome `json:"outcome"`
	A         Run     `json:"a"`
	B         Run     `json:"b"`
	Alpha     float64 `json:"alpha"`
	Tolerance Share   `json:"tolerance"`
	// Reasons are why the outcome is not noise, one sentence each.
	Reasons  []string     `json:"reasons"`
	Changed  []Change     `json:"changed"`            // what is not the same, beside what was measured
	Answers  []CellChange `json:"answers"`            // cells of which the runs say something else
	Rows     []Row        `json:"rows"`               // those that decide come first
	Forced   []string     `json:"forced,omitempty"`   // what should have been the same, and was not
	Warnings []string     `json:"warnings,omitempty"` // what a reader must know
}

// Run is one side's answer.
type Run struct {
	ID     string  `json:"id"`
	Phase  string  `json:"phase"`
	Server string  `json:"server_version,omitempty"`
	Winner string  `json:"winner,omitempty"` // cell; empty: none
	Shown  float64 `json:"shown,omitempty"`  // requests/s that the winner was shown to hold
	Likely float64 `json:"likely,omitempty"` // requests/s that it is likely to hold
	Cells  int     `json:"cells"`
}

// Change is one thing that is not the same.
type Change struct {
	What string `json:"what"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// CellChange is a cell that has another answer.
type CellChange struct {
	Cell string        `json:"cell"`
	A    report.Answer `json:"a"`
	B    report.Answer `json:"b"`
	Why  string        `json:"why,omitempty"` // of B
}

// Row is one quantity.
type Row struct {
	Metric Metric `json:"metric"`
	What   string `json:"what"` // in words, with what it is a latency of
	Unit   string `json:"unit"`
	// Cell is whose; empty for all cells together, whose A and B are null.
	Cell  string  `json:"cell,omitempty"`
	Cells int     `json:"cells,omitempty"`        // of all together: how many
	At    float64 `json:"request_rate,omitempty"` // of a latency
	A     *Value  `json:"a"`
	B     *Value  `json:"b"`
	// The change is null where one side is not known; its interval and p where it cannot be tested, and then Why says why.
	Change  *float64 `json:"change"`
	Low     *float64 `json:"change_low"`
	High    *float64 `json:"change_high"`
	P       *float64 `json:"p"`      // of no change, two-sided
	Holm    *float64 `json:"p_holm"` // the same, adjusted for all tests of its family: this is compared with alpha
	Decides bool     `json:"decides"`
	Outcome Outcome  `json:"outcome"`
	Why     string   `json:"why,omitempty"`
}

// Value of a quantity in one run.
type Value struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low,omitempty"` // of its interval, without the noise between starts; 0: none is known
	High  float64 `json:"high,omitempty"`
	N     int     `json:"n"` // batches of a throughput; else runs at a rate
}

// Compare is B against A. The error is Incomparable where the two do not answer the same question, or where nothing that would decide was
// measured in both: a gate must not open for want of data.
func Compare(a, b Side, o Options) (Comparison, error) {
	c := Comparison{
		Schema: record.Schema, Outcome: Noise, A: runOf(a), B: runOf(b), Alpha: o.Alpha, Tolerance: o.Tolerance,
		Reasons: []string{}, Changed: changes(a, b), Answers: answers(a.State, b.State), Rows: []Row{},
	}
	if c.Forced = apart(a, b, o.Metric); len(c.Forced) > 0 && !o.Force {
		return c, incomparable(Incomparable{c.Forced, true, o.Metric != Throughput && len(apart(a, b, Throughput)) == 0})
	}
	for _, s := range []struct {
		name string
		Side
	}{{"A", a}, {"B", b}} {
		if !s.State.Phase.Over() || s.State.Phase == record.PhaseCancelled {
			c.warn("%s is %s: what it measured so far is compared", s.name, report.Standing(s.State))
		}
		for _, w := range s.State.Warnings {
			c.warn("%s: %s", s.name, report.OneLine(w))
		}
	}
	t := table{a: a.State, b: b.State, o: o}
	t.build()
	c.Rows = t.rows
	c.judge(a.State, b.State)
	if !c.decided() && c.Outcome == Noise {
		return c, incomparable(Incomparable{Why: append([]string{"nothing that decides was measured in both"}, t.reasons()...)})
	}
	c.resolution()
	return c, nil
}

func (c *Comparison) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// Incomparable is why two runs cannot be compared.
type Incomparable struct {
	Why        []string
	Asked      bool // they answer different questions; else too little was measured
	Throughput bool // their throughputs can be compared
}

func (e Incomparable) Error() string {
	return "the runs cannot be compared: " + strings.Join(e.Why, "; ")
}

// incomparable is a usage error with what can be done about it.
func incomparable(e Incomparable) error {
	var hints []string
	switch {
	case e.Throughput:
		hints = append(hints, "--metric throughput compares what no limit has a part in")
	case !e.Asked:
		hints = append(hints, "method vtune measures intervals; prune: none measures every cell to its end")
	}
	if e.Asked {
		hints = append(hints, "--force compares them all the same")
	}
	return diag.Wrap(e, diag.Usage, hints...)
}

func runOf(s Side) Run {
	r := Run{ID: s.Run.ID, Phase: string(s.State.Phase), Server: s.State.ServerVersion, Cells: len(s.State.Cells)}
	if b := s.State.Best; b != nil {
		r.Winner, r.Shown, r.Likely = b.Cell.ID, search.Objective(b.Observation), search.Rival(b.Observation)
	}
	return r
}

// judge gives each row its outcome, and the comparison its own.
func (c *Comparison) judge(a, b record.State) {
	for _, decides := range []bool{true, false} {
		var at []int
		var ps []float64
		for i, r := range c.Rows {
			if r.Decides == decides && r.P != nil {
				at, ps = append(at, i), append(ps, *r.P)
			}
		}
		for k, p := range holm(ps) {
			c.Rows[at[k]].judge(p, c.Alpha)
		}
	}
	worse, better := []string{}, []string{}
	for _, r := range c.Rows {
		switch {
		case !r.Decides || r.Outcome == Noise || math.Abs(*r.Change) <= float64(c.Tolerance):
		case r.Outcome == Worse:
			worse = append(worse, r.sentence())
		default:
			better = append(better, r.sentence())
		}
	}
	switch {
	case a.Best != nil && b.Best == nil && b.Phase == record.PhaseOver:
		worse = append(worse, "B has no winner: "+report.NoWinner(b))
	case a.Best != nil && b.Best != nil && b.Phase == record.PhaseOver:
		// Who serves with A's answer would not serve any more: no test is needed for that.
		if lost, ok := byID(b)[a.Best.Cell.ID]; ok {
			if report.AnswerOf(lost, b.Policy) == report.AnswerFailed {
				worse = append(worse, fmt.Sprintf("A's winner %s failed in B: %s", report.OneLine(lost.ID), report.WhyNot(b, lost)))
			}
		}
	case a.Best == nil && b.Best != nil && a.Phase == record.PhaseOver:
		better = append(better, "A has no winner, B has "+report.OneLine(b.Best.Cell.ID))
	}
	switch {
	case len(worse) > 0: // also where something else is better: that is for a person to weigh
		c.Outcome, c.Reasons = Worse, worse
	case len(better) > 0:
		c.Outcome, c.Reasons = Better, better
	}
}

func (r *Row) judge(holm, alpha float64) {
	r.Holm = &holm
	if holm >= alpha {
		return
	}
	r.Outcome = Better
	if (*r.Change < 0) == (r.Metric != Latency) {
		r.Outcome = Worse
	}
}

func (r Row) sentence() string {
	return fmt.Sprintf("%s of %s: %+.1f %% (p%s)", r.What, r.whose(), 100**r.Change, pText(*r.Holm))
}

// whose it is, in words.
func (r Row) whose() string {
	if r.Cell == "" {
		return fmt.Sprintf("all %d cells", r.Cells)
	}
	return report.OneLine(r.Cell)
}

func (c *Comparison) decided() bool {
	return slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Decides && r.P != nil })
}

// resolution warns where the tests that decide could not have seen what a person would call a regression.
func (c *Comparison) resolution() {
	finest := math.Inf(1)
	for _, r := range c.Rows {
		if r.Decides && r.P != nil {
			finest = min(finest, (*r.High-*r.Low)/2)
		}
	}
	if !math.IsInf(finest, 1) && finest > coarse {
		c.warn("the finest test that decides has an interval of ± %.0f %%: a smaller change cannot be seen. A greater test.max_requests makes it finer", 100*finest)
	}
	for _, r := range c.Rows {
		if r.Decides && r.Why != "" {
			c.warn("the %s of %s was not tested: %s", r.What, r.whose(), r.Why)
		}
	}
}

// coarse is what a test's interval should be narrower than, relative.
const coarse = 0.1
