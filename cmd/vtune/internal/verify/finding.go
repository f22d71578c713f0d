package verify

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"vtune/cmd/vtune/internal/caller"
	"vtune/cmd/vtune/internal/ending"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/verdict"
)

// Outcome of a check.
type Outcome string

const (
	Holds      Outcome = "holds"
	HoldsNot   Outcome = "does not hold"
	Undecided  Outcome = "could not be decided"
	NotKnown   Outcome = "could not be measured"
	Unfinished Outcome = "is not decided yet"
)

// Finding is what one long load says of a claim, beside what the claim rested on.
type Finding struct {
	Outcome Outcome             `json:"outcome"`
	Claim   string              `json:"claim"`
	Why     string              `json:"why"`
	Of      string              `json:"run"`          // whose claim it is
	Run     string              `json:"verification"` // the run that checked it
	Verify  record.Verification `json:"verify"`
	Cell    record.Cell         `json:"cell"`
	Then    record.Observation  `json:"then"`          // by which the winner won
	Now     *record.Observation `json:"now,omitempty"` // nil: nothing was measured to its end

	nodes [2]string // then and now
	dir   string
	code  diag.Code
	log   string
}

// Find is what a run found that checks the claim; place is what people call it, dir where its files are.
func (c *Claim) Find(place, dir string, st record.State) Finding {
	f := Finding{
		Claim: c.words(), Of: cmp.Or(c.run.Run.Bucket, string(c.run.Dir)), Run: place, Verify: c.verify, Cell: c.best.Cell, Then: c.best.Observation,
		dir: dir, code: ending.Code(st), log: ending.Log(st),
	}
	cell := record.CellState{}
	if len(st.Cells) > 0 {
		cell = st.Cells[0]
	}
	f.Now, f.Why = longRun(cell), cell.Message
	f.nodes = [2]string{node(c.run.State, f.Then), ""}
	if f.Now != nil {
		f.Why, f.nodes[1] = f.Now.Detail, node(st, *f.Now)
		f.Now.Histograms = nil // which are for programs that read the run's records
	}
	f.Then.Histograms = nil
	f.judge(st)
	return f
}

// longRun is the load that decided, if there is one.
func longRun(c record.CellState) *record.Observation {
	for _, o := range c.Observations {
		if o.Load.Purpose == record.Verify && o.Verdict != record.Invalid {
			return &o
		}
	}
	return nil
}

func node(st record.State, o record.Observation) string {
	for _, c := range st.Cells {
		for _, a := range c.Attempts {
			if c.ID == o.Cell && a.Attempt == o.Attempt {
				return a.Node
			}
		}
	}
	return ""
}

func (f *Finding) judge(st record.State) {
	switch {
	case f.Now == nil && st.Phase != record.PhaseOver:
		f.Outcome, f.Why = Unfinished, string(st.Phase)
	case f.Now == nil:
		f.Outcome, f.Why = NotKnown, cmp.Or(f.Why, "nothing was measured")
	case f.Now.Verdict == record.Pass:
		f.Outcome, f.code = Holds, diag.OK
	case f.Now.Verdict == record.Miss:
		f.Outcome, f.code = HoldsNot, diag.Worse
	default:
		f.Outcome, f.code = Undecided, diag.NoAnswer
	}
}

// Exit is the outcome as an exit code, with what to do about it.
func (f Finding) Exit() error {
	err := caller.Exit(f.code)
	switch {
	case f.Outcome == Undecided:
		return diag.Wrap(err, f.code, f.longer())
	case f.Outcome == NotKnown && f.log != "":
		return diag.Wrap(err, f.code, "the last words are in "+filepath.Join(f.dir, f.log))
	}
	return err
}

// longer is how long a load must be beside the time in which a queue forgets. What it sees of a tail takes no less.
func (f Finding) longer() string {
	need := 1.5 * verdict.Relaxed(f.Verify.Rate, f.Now.Load.Capacity) / f.Verify.Rate
	if need = max(need, 2*f.Verify.Seconds); f.Now.Load.Rate.IsInf() || need > 24*3600 {
		return "a longer --duration may decide it, or a lower --rate"
	}
	return fmt.Sprintf("--duration %s may decide it, or a lower --rate", short(time.Duration(math.Ceil(need/60))*time.Minute))
}

// Print is the claim and the finding side by side, for a person.
func (f Finding) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "claim  %s\n\n", f.Claim)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "\twhen it won\tnow\n")
	now := record.Observation{}
	if f.Now != nil {
		now = *f.Now
	}
	for _, r := range rows(f.Then, now, f.nodes) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", r[0], cmp.Or(plain(r[1]), "-"), cmp.Or(plain(r[2]), "-"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nthe claim %s: %s\n", f.Outcome, plain(f.Why))
	fmt.Fprintf(&b, "run    %s\nlogs   %s\n", f.Run, filepath.Join(f.dir, "cells", f.Cell.ID))
	_, err := io.WriteString(w, b.String())
	return err
}

// plain has nothing in it that moves a cursor: servers and nodes have their say in records.
func plain(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }), " ")
}

// rows of the comparison: what, then, now.
func rows(then, now record.Observation, nodes [2]string) [][3]string {
	of := func(name string, text func(record.Observation) string) [3]string {
		row := [3]string{name, text(then), ""}
		if now.Complete {
			row[2] = text(now)
		}
		return row
	}
	all := [][3]string{
		of("request rate", func(o record.Observation) string { return o.Load.Rate.String() + " req/s" }),
		of("throughput", throughput),
	}
	for i, l := range longest(then, now) {
		if l.Metric != record.Goodput { // which has no latency of its own
			all = append(all, of(l.Limit.String(), func(o record.Observation) string { return latency(o, i, l.Limit) }))
		}
		all = append(all, of(fmt.Sprintf("beyond, %.4g %% allowed", 100*l.Limit.Share()), func(o record.Observation) string { return share(o, i) }))
	}
	all = append(all,
		of("requests", func(o record.Observation) string { return fmt.Sprint(o.Metrics.Completed) }),
		of("under load", func(o record.Observation) string { return fmt.Sprintf("%.0f s", o.Metrics.Seconds) }),
		[3]string{"node", nodes[0], nodes[1]},
	)
	return all
}

// longest are the standings of the observation that has them: what the script's client measured has none.
func longest(then, now record.Observation) []record.Standing {
	if len(now.Standings) > 0 {
		return now.Standings
	}
	return then.Standings
}

func throughput(o record.Observation) string {
	if o.Steady == nil {
		return fmt.Sprintf("%.4g req/s", o.Metrics.RequestThroughput)
	}
	return fmt.Sprintf("%.4g req/s (%.4g to %.4g)", o.Steady.Throughput.Value, o.Steady.Throughput.Low, o.Steady.Throughput.High)
}

func latency(o record.Observation, i int, l record.Limit) string {
	switch {
	case i < len(o.Standings) && o.Standings[i].At.Value > 0:
		at := o.Standings[i].At
		return fmt.Sprintf("%.1f ms (%.1f to %.1f)", at.Value, at.Low, at.High)
	case l.Metric == record.E2EL && l.Percentile == 99:
		return fmt.Sprintf("%.1f ms", o.Metrics.E2EL.P99)
	}
	return ""
}

func share(o record.Observation, i int) string {
	if i >= len(o.Standings) {
		return ""
	}
	s := o.Standings[i].Share
	return fmt.Sprintf("%.2f %% (%.2f to %.2f)", 100*s.Value, 100*s.Low, 100*s.High)
}
