package page

import (
	"fmt"
	"html/template"
	"strings"

	"vtune/internal/record"
	"vtune/internal/report"
)

// rows is the most that a table has which stands in the page from the start. Whoever wants more has them in the script's tables, a cell at a
// time, or in result.json: a hundred thousand rows open in no browser.
const rows = 1000

// view is the page's content, in its order.
type view struct {
	Policy                       string // Content-Security-Policy
	Style                        template.CSS
	Early, Library, Script, Data template.JS

	Input
	Title, Standing  string
	Simulated, Over  bool
	Final, Measured  int // cells with an answer; loads
	Winner           *winner
	NoWinner         string
	Sure             []fact
	Notes            []note
	Base             string
	Beside           *beside
	Spent            []spending
	Total, UnderLoad float64
	Unit             string
	Grid             grid
	Cells            []cell
	Lenses           []lens
	First            lens
	Marks, Front     []mark
	ShownMarks       []markRow
	MoreMarks        int
	FrontRows        []markRow
	Spreads          []spread
	Jobs             []job
	Lanes            []string
	ShownJobs        []job
	Provenance       []fact
	Nodes            []record.NodeState
}

type fact struct{ Name, Value string }

type note struct{ Kind, Text string }

type winner struct {
	record.Cell
	Name                     string // winner, or best yet
	Rate, Throughput, Tokens string
	Limits                   []gauge
	P99                      string // of E2EL, where no limit is on it
}

// gauge is how much of a limit is used.
type gauge struct {
	Name, Value, Limit string
	Used               float64 // % of the limit, at most 100
}

type spending struct {
	report.Spending
	Share float64 // of all
}

// beside compares the baseline's cell with the winner.
type beside struct {
	Cell, Rate, Throughput, Latency string
	Verdict                         string
	Gain                            string
}

func newView(in Input) *view {
	st := in.State
	v := &view{Input: in, Standing: report.Standing(st), Simulated: report.Simulated(st.ServerVersion), Over: st.Phase.Over(), Lenses: lenses(st.Policy)}
	v.First = v.Lenses[0]
	for i, c := range st.Cells {
		if c.Phase.Final() {
			v.Final++
		}
		v.Measured += len(c.Observations)
		for j := range c.Observations {
			o := &c.Observations[j]
			v.Marks = append(v.Marks, mark{i, j, o, v.First.of(*o)})
		}
	}
	v.Grid, v.Cells = newGrid(st)
	v.winner()
	v.sure()
	v.ledger()
	v.marks()
	v.Spreads = spreads(in.Histograms, v.Lenses)
	v.Jobs, v.Lanes = jobs(st)
	v.ShownJobs = v.Jobs[:min(len(v.Jobs), rows)]
	v.provenance()
	return v
}

func (v *view) winner() {
	st := v.State
	v.Title = "No winner"
	if v.Input.Run.ID != "" {
		v.Title = "vtune " + report.OneLine(v.Run.ID)
	}
	if st.Best == nil {
		v.NoWinner = report.NoWinner(st)
		return
	}
	o := st.Best.Observation
	w := &winner{Cell: st.Best.Cell, Name: "Winner", Rate: rate(o.Load.Rate), Throughput: sig(o.Metrics.RequestThroughput, 4), Tokens: sig(o.Metrics.OutputThroughput, 4)}
	if !v.Over || st.Phase == record.PhaseCancelled {
		w.Name = "Best yet"
	}
	for _, l := range v.Lenses {
		if l.MS > 0 {
			s := l.of(o)
			if all := (lens{l.Metric, l.Percent, 0, -1}).of(o); all.Value > 0 {
				s = all // of all requests, as result.txt has it; what the verdict rests on is said below
			}
			w.Limits = append(w.Limits, gauge{l.Name(), ms(s.Value), ms(l.MS), min(100, 100*s.Value/l.MS)})
		}
	}
	if e := (lens{record.E2EL, 99, 0, -1}).of(o); !hasE2EL99(v.Lenses) {
		w.P99 = ms(e.Value)
	}
	v.Winner = w
}

func hasE2EL99(ls []lens) bool {
	for _, l := range ls {
		if l.Metric == record.E2EL && l.Percent == 99 && l.MS > 0 {
			return true
		}
	}
	return false
}

// sure is how well the answer is known, and what else one must know to believe it.
func (v *view) sure() {
	st := v.State
	add := func(name, format string, args ...any) {
		v.Sure = append(v.Sure, fact{name, fmt.Sprintf(format, args...)})
	}
	if st.Best != nil {
		o := st.Best.Observation
		if s := o.Steady; s != nil {
			t := s.Throughput
			add("Throughput", "%s req/s, between %s and %s, in a steady state of %s with %d requests", sig(t.Value, 4), sig(t.Low, 4), sig(t.High, 4), clock(s.To-s.From), s.Requests)
		}
		for _, l := range o.Standings {
			add("Limit", "%s", report.StandingWords(l))
		}
		if s := o.Steady; s != nil && s.Reason != "" {
			add("Why it passed", "%s", report.OneLine(s.Reason))
		}
		if len(o.Standings) > 0 {
			t := st.Policy.Test
			add("The test", "a load with %g times the share that is allowed would pass in at most %g %% of cases, one with %g times it would miss in at most %g %%",
				1+t.Zone, 100*t.FalsePass, 1-t.Zone, 100*t.FalseMiss)
		}
		if o.Load.Likely > float64(o.Load.Rate) {
			add("Beyond it", "it may hold up to %s req/s, which could not be shown within the budget of a run", sig(o.Load.Likely, 4))
		}
		if o.Steady == nil && len(st.Policy.SLOs()) > 0 {
			add("The test", "one run of %d requests decides, as in auto_tune.sh; its P99 moves from run to run", o.Load.Requests)
		}
		if ties := report.Ties(st); len(ties) > 0 {
			var words []string
			for _, t := range ties[:min(len(ties), 8)] {
				words = append(words, t.String())
			}
			if more := len(ties) - 8; more > 0 {
				words = append(words, fmt.Sprintf("%d more", more))
			}
			add("Near ties", "%s", strings.Join(words, "; "))
		} else if st.Policy.Method == "vtune" && v.Over {
			add("Near ties", "none within the tolerance of %g %%", 100*st.Policy.Tolerance)
		}
	}
	for _, w := range st.Warnings {
		v.Notes = append(v.Notes, note{"Warning", report.OneLine(w)})
	}
	for _, b := range st.Packed {
		v.Notes = append(v.Notes, note{"Packed", report.OneLine(b.String())})
	}
	if n := report.Unaccounted(st); n > 0 {
		v.Notes = append(v.Notes, note{"Note", fmt.Sprintf("attempts that ended without a result: %d; the time spent there is in no table", n)})
	}
	v.baseline()
}

func (v *view) baseline() {
	st := v.State
	var i int
	if i, v.Base = baseline(st, v.Server); i < 0 {
		return
	}
	c := st.Cells[i]
	b := &beside{Cell: c.ID, Verdict: v.Cells[i].Words}
	if o := report.Feasible(st.Policy, c); o != nil {
		b.Rate, b.Throughput, b.Latency = rate(o.Load.Rate), sig(o.Metrics.RequestThroughput, 4), ms(v.First.of(*o).Value)
		if best := st.Best; best != nil && best.Cell != c.Cell && o.Metrics.RequestThroughput > 0 {
			b.Gain = fmt.Sprintf("%+.1f %%", 100*(best.Observation.Metrics.RequestThroughput/o.Metrics.RequestThroughput-1))
		}
	}
	v.Beside = b
}

func (v *view) ledger() {
	st := v.State
	each := float64(max(1, st.Accelerators))
	v.Unit = "s in jobs"
	if st.Accelerators > 0 {
		v.Unit = "accelerator-seconds"
	}
	for _, s := range report.Spendings(st.Ledger) {
		s.Seconds *= each
		v.Total += s.Seconds
		v.Spent = append(v.Spent, spending{Spending: s})
	}
	for i := range v.Spent {
		v.Spent[i].Share = v.Spent[i].Seconds / v.Total
		if v.Spent[i].Name == "under load" {
			v.UnderLoad = v.Spent[i].Share
		}
	}
}

// markRow is an observation in a table.
type markRow struct {
	Cell, Run, Rate, Purpose, Requests, Throughput, P50, Value, Interval, Verdict, Remarks string
}

func (v *view) row(m mark) markRow {
	r := markRow{
		Cell: v.State.Cells[m.Cell].ID, Run: fmt.Sprintf("%d.%d", m.Attempt, m.Seq), Rate: rate(m.Load.Rate), Purpose: string(m.Load.Purpose),
		Requests: fmt.Sprint(m.Metrics.Completed), Throughput: sig(m.Metrics.RequestThroughput, 4), P50: ms(m.P50), Value: ms(m.Value),
		Verdict: string(m.Verdict), Remarks: remarks(*m.Observation),
	}
	if m.High > 0 {
		r.Interval = ms(m.Low) + " to " + ms(m.High)
	}
	if m.Verdict == record.Invalid {
		r.Remarks = strings.Trim(report.Why(m.Cause, m.Detail)+", "+r.Remarks, ", ")
	}
	return r
}

// marks are the winner's first: its are looked for.
func (v *view) marks() {
	best := -1
	if v.State.Best != nil {
		for i, c := range v.State.Cells {
			if c.Cell == v.State.Best.Cell {
				best = i
			}
		}
	}
	for _, winners := range []bool{true, false} {
		for _, m := range v.Marks {
			if (m.Cell == best) == winners && len(v.ShownMarks) < rows {
				v.ShownMarks = append(v.ShownMarks, v.row(m))
			}
		}
	}
	v.MoreMarks = len(v.Marks) - len(v.ShownMarks)
	v.Front = front(v.Marks)
	for _, m := range v.Front {
		v.FrontRows = append(v.FrontRows, v.row(m))
	}
}

func (v *view) provenance() {
	run, st := v.Run, v.State
	add := func(name, value string) {
		if value != "" {
			v.Provenance = append(v.Provenance, fact{name, value})
		}
	}
	add("Run", run.ID)
	add("Bucket", run.Bucket)
	add("Created", at(run.Created)+" UTC")
	add("By", run.User+" on "+run.Host)
	add("Scheduler", run.Scheduler)
	add("vtune", run.Version)
	add("Agent, SHA-256", run.AgentSHA256)
	add("Spec, SHA-256", run.SpecSHA256)
	add("vLLM", st.ServerVersion)
	add("Model", v.Server.Model)
	if w := v.Workload; w.InputLen > 0 {
		add("Workload", fmt.Sprintf("%d tokens in, %d out, %d %% of the input shared as a prefix", w.InputLen, w.OutputLen, w.CacheHitPct))
	}
	if st.Utilization > 0 {
		add("GPU memory utilization", fmt.Sprintf("%.2f", st.Utilization))
	}
	add("Method", st.Policy.Method)
	add("Limits", st.Policy.LimitText())
	add("Flags", strings.Join(v.Server.Flags, " "))
	add("Server command", strings.Join(v.Server.Command, " "))
	v.Nodes = st.Nodes
}

// Finite reports whether a load had a rate.
func (v *view) Finite() bool { return finite(v.Marks) }

// Percent of all.
func (s spending) Percent() string { return percent(s.Share) }

// UnderLoadPercent of the time.
func (v *view) UnderLoadPercent() float64 { return 100 * v.UnderLoad }
