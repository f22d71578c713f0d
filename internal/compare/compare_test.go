package compare

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/collect"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var usual = Options{Alpha: 0.05, Tolerance: 0.02, Format: "text"}

// recorded is a run in testdata/runs.
func recorded(t *testing.T, name string) Side {
	t.Helper()
	dir := record.Dir("../../testdata/runs/" + name)
	var s Side
	if err := fsx.ReadJSON(dir.Run(), &s.Run); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.Spec, err = spec.Load(dir.Effective()); err != nil {
		t.Fatal(err)
	}
	scan := collect.Scanner{Dir: dir}
	snap, err := scan.Scan()
	if err != nil {
		t.Fatal(err)
	}
	s.State = collect.Derive(snap)
	return s
}

func TestASlowerMachineIsWorseInEveryFormat(t *testing.T) {
	c, err := Compare(recorded(t, "demo-again"), recorded(t, "demo-slower"), usual)
	if err != nil || c.Outcome != Worse {
		t.Fatalf("%s, %v", c.Outcome, err)
	}
	for format, ending := range map[string]string{"text": "txt", "markdown": "md", "json": "json"} {
		var text strings.Builder
		if err := c.Print(&text, format); err != nil {
			t.Fatal(err)
		}
		golden(t, "slower."+ending, text.String())
	}
}

func TestTheSameMachineAgainIsNoise(t *testing.T) {
	c, err := Compare(recorded(t, "demo"), recorded(t, "demo-again"), usual)
	if err != nil || c.Outcome != Noise {
		t.Fatalf("%s %v, %v", c.Outcome, c.Reasons, err)
	}
	golden(t, "again.txt", c.Text())
}

// world is a machine that is tuned: every cell has a capacity, a latency that rises as a queue's, and starts of its own speed.
type world struct {
	rng      *rand.Rand
	pace     float64 // how many times as long everything takes
	cells    int
	noise    float64 // between starts
	node     float64 // what all cells of a run share
	late     float64 // how many times as long an idle server's latency is
	limit    float64
	script   bool // method auto_tune: no intervals
	noLimits bool
}

func (w world) state() record.State {
	l := record.Limit{Metric: record.E2EL, Percentile: 99, MS: w.limit}
	st := record.State{Phase: record.PhaseOver, Policy: record.Policy{Method: "vtune", Limits: []record.Limit{l}}}
	if w.noLimits {
		st.Policy.Limits = nil
	}
	shared := w.pace * math.Exp(w.node*w.rng.NormFloat64())
	for i := range w.cells {
		c := record.CellState{Cell: record.Cell{ID: record.CellID(8<<i, 2048)}}
		c.Phase = record.WorkDone
		c.Attempts = []record.AttemptState{{Attempt: 1, Node: "n1", Observed: 9}}
		pace := shared * math.Exp(w.noise*w.rng.NormFloat64())
		capacity, unloaded := (10+float64(i))/pace, 400*pace*max(w.late, 1)
		c.Observations = append(c.Observations, w.bound(capacity))
		boundary := capacity * (1 - 400*pace/w.limit)
		for k := range 7 {
			rate := boundary * (0.82 + 0.05*float64(k) + 0.03*w.rng.Float64())
			c.Observations = append(c.Observations, w.at(l, rate, unloaded/(1-rate/capacity), k+2))
		}
		c.Accepted = &c.Observations[1]
		if w.noLimits {
			c.Accepted = &c.Observations[0]
		}
		st.Cells = append(st.Cells, c)
	}
	last := st.Cells[w.cells-1]
	st.Best = &record.Best{Cell: last.Cell, Observation: *last.Accepted}
	return st
}

func (w world) bound(capacity float64) record.Observation {
	const batches, spread, t99 = 20, 0.04, 2.861
	mean, square := 0.0, 0.0
	var x [batches]float64
	for i := range x {
		x[i] = capacity * (1 + spread*w.rng.NormFloat64())
		mean += x[i] / batches
	}
	for _, v := range x {
		square += (v - mean) * (v - mean) / (batches - 1)
	}
	half := t99 * math.Sqrt(square/batches)
	o := record.Observation{Attempt: 1, Seq: 1, Load: record.Load{Rate: record.Inf}, Verdict: record.Pass, Metrics: record.Metrics{RequestThroughput: mean}}
	if !w.script {
		o.Steady = &record.Steady{Effective: batches, Throughput: record.Interval{Value: mean, Low: mean - half, High: mean + half}}
	}
	return o
}

func (w world) at(l record.Limit, rate, p99 float64, seq int) record.Observation {
	se := 0.03 + 0.05*w.rng.Float64()
	p99 *= math.Exp(se * w.rng.NormFloat64())
	o := record.Observation{Attempt: 1, Seq: seq, Load: record.Load{Rate: record.Rate(rate)}, Verdict: record.Pass}
	if !w.script {
		o.Steady = &record.Steady{}
		o.Standings = []record.Standing{{Limit: l, At: record.Interval{Value: p99, Low: p99 * math.Exp(-2.576*se), High: p99 * math.Exp(2.576*se)}}}
	}
	return o
}

func side(st record.State) Side { return Side{Spec: &spec.Spec{}, State: st} }

// worse counts how often B is called worse, and better, in so many pairs.
func called(t *testing.T, pairs int, pace float64, w world) (worse, better int) {
	t.Helper()
	w.rng = rand.New(rand.NewPCG(7, uint64(w.cells)))
	w.limit = 1200
	for range pairs {
		a, b := w, w
		a.pace, b.pace = 1, pace
		c, err := Compare(side(a.state()), side(b.state()), usual)
		if err != nil {
			t.Fatal(err)
		}
		switch c.Outcome {
		case Worse:
			worse++
		case Better:
			better++
		}
	}
	return worse, better
}

var worlds = map[string]world{
	"one cell": {cells: 1, noise: 0.015}, "four cells": {cells: 4, noise: 0.015}, "six cells": {cells: 6, noise: 0.01}, "without limits": {cells: 4, noise: 0.015, noLimits: true},
	"auto_tune": {cells: 6, noise: 0.015, script: true},
	// What is the same in all cells of a run is no scatter between them.
	"one node": {cells: 8, noise: 0.005, node: 0.015, script: true},
}

// Alpha is kept over all tests of a comparison together: of 200 pairs 5 % are 10, and 4 deviations above that is chance no more.
func TestEqualRunsAreCalledDifferentInAtMostAlphaOfCases(t *testing.T) {
	const pairs = 200
	most := int(usual.Alpha*pairs + 4*math.Sqrt(usual.Alpha*(1-usual.Alpha)*pairs))
	equal := maps.Clone(worlds)
	equal["auto_tune on starts of nobody knows what speed"] = world{cells: 5, noise: 0.06, script: true}
	for name, w := range equal {
		if worse, better := called(t, pairs, 1, w); worse+better > most {
			t.Errorf("%s: %d worse and %d better of %d, at most %d may be", name, worse, better, pairs, most)
		}
	}
}

func TestARegressionOfAnEighthIsFound(t *testing.T) {
	const pairs = 40
	for name, w := range worlds {
		if worse, better := called(t, pairs, 1.14, w); worse < 36 || better > 0 {
			t.Errorf("%s: %d worse and %d better of %d", name, worse, better, pairs)
		}
	}
}

// Nothing but longer latencies is worse too, and no throughput says so.
func TestLongerLatenciesAreWorse(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: 1, limit: 1200}
	a := w.state()
	w.late = 1.3
	c, err := Compare(side(a), side(w.state()), usual)
	if err != nil || c.Outcome != Worse || len(c.Reasons) != 1 || !strings.HasPrefix(c.Reasons[0], "P99 E2EL of s8-t2048: +") {
		t.Fatalf("%s %v, %v", c.Outcome, c.Reasons, err)
	}
}

// What was measured on another cell's server, beside nobody, or wrongly, has no part in it.
func TestOnlyObservationsOfTheCellsOwnServerCount(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: 1, limit: 1200}
	a, b := w.state(), w.state()
	want, err := Compare(side(a), side(b), usual)
	if err != nil {
		t.Fatal(err)
	}
	w.pace = 3
	for i, mark := range []func(o *record.Observation){
		func(o *record.Observation) { o.Emulated = true }, func(o *record.Observation) { o.Alone = true }, func(o *record.Observation) { o.Verdict = record.Invalid },
	} {
		c := b.Cells[0]
		for _, o := range w.state().Cells[0].Observations {
			mark(&o)
			c.Observations = append(slices.Clone(c.Observations), o)
		}
		changed := b
		changed.Cells = []record.CellState{c}
		got, err := Compare(side(a), side(changed), usual)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%d: %v (-want +got):\n%s", i, err, diff)
		}
	}
}

// What is worse one way round is better the other way, by the same numbers.
func TestTheOtherWayRoundIsTheOtherAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{
			rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), pace: 1, cells: rapid.IntRange(1, 6).Draw(t, "cells"), noise: 0.02, limit: 1200,
			script: rapid.Bool().Draw(t, "auto_tune"),
		}
		a := w.state()
		w.pace = rapid.Float64Range(0.8, 1.25).Draw(t, "pace")
		b := w.state()
		if rapid.Bool().Draw(t, "another winner") {
			b.Best = &record.Best{Cell: b.Cells[0].Cell, Observation: *b.Cells[0].Accepted}
		}
		ab, errAB := Compare(side(a), side(b), usual)
		ba, errBA := Compare(side(b), side(a), usual)
		if (errAB == nil) != (errBA == nil) || len(ab.Rows) != len(ba.Rows) {
			t.Fatalf("%v and %v, %d and %d rows", errAB, errBA, len(ab.Rows), len(ba.Rows))
		}
		for i, r := range ab.Rows {
			s := ba.Rows[i]
			if r.Change == nil {
				continue
			}
			if d := (1+*r.Change)*(1+*s.Change) - 1; math.Abs(d) > 1e-9 || r.Decides != s.Decides || (r.Outcome == Noise) != (s.Outcome == Noise) {
				t.Fatalf("%+v\n%+v", r, s)
			}
			if r.P != nil && math.Abs(*r.P-*s.P) > 1e-6 || r.Outcome != Noise && r.Outcome == s.Outcome {
				t.Fatalf("p %v and %v, %s and %s", *r.P, *s.P, r.Outcome, s.Outcome)
			}
		}
	})
}

func TestASmallChangeIsNeverAFailure(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: 1, limit: 1200}
	a := w.state()
	w.pace = 1.2
	b := w.state()
	for tolerance, want := range map[Share]Outcome{0.02: Worse, 0.99: Noise} {
		c, err := Compare(side(a), side(b), Options{Alpha: 0.05, Tolerance: tolerance})
		if err != nil || c.Outcome != want {
			t.Errorf("tolerance %v: %s %v, %v", tolerance, c.Outcome, c.Reasons, err)
		}
	}
}

// Cells that lost are shown and decide nothing.
func TestOnlyWhatWonDecides(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: 3, limit: 1200}
	a, b := w.state(), w.state()
	w.pace = 1.5
	b.Cells[0] = w.state().Cells[0]
	c, err := Compare(side(a), side(b), usual)
	if err != nil || c.Outcome != Noise {
		t.Fatalf("%s %v, %v", c.Outcome, c.Reasons, err)
	}
	if !slices.ContainsFunc(c.Rows, func(r Row) bool { return r.Cell == "s8-t2048" && !r.Decides && r.Outcome == Worse }) {
		t.Errorf("the loser's change is not shown: %s", c.Text())
	}
}

// Of a large grid a person sees what decides and what differs.
func TestOfManyCellsThoseThatDifferAreShown(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: 12, limit: 1200}
	a, b := w.state(), w.state()
	w.pace = 2
	b.Cells[0] = w.state().Cells[0]
	c, err := Compare(side(a), side(b), usual)
	if err != nil {
		t.Fatal(err)
	}
	text := c.Text()
	if len(c.Rows) < 36 || strings.Count(text, "s8-t2048") < 1 || strings.Contains(text, "s16-t2048") || !strings.Contains(text, "rows of other cells without a change") || !strings.Contains(text, "* all 12 cells") {
		t.Errorf("%d rows\n%s", len(c.Rows), text)
	}
}

func TestForeignWordsMoveNoCursorAndAreNoMarkdown(t *testing.T) {
	a, b := recorded(t, "demo"), recorded(t, "demo-again")
	const words = "x\n\x1b[2J\u202e|<b>`@all"
	b.Run.ID, b.State.ServerVersion, b.State.Warnings = words, words, []string{words}
	b.Spec.Server.Environment[words] = words
	b.State.Nodes[0].GPUs = []string{words}
	b.State.Cells[2].Cell.ID, b.State.Best.Cell.ID = words, words
	a.State.Cells[2].Cell.ID, a.State.Best.Cell.ID = words, words
	c, err := Compare(a, b, usual)
	if err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(c.Text(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%q", c.Text()[i:])
	}
	if text := c.Markdown(); strings.ContainsAny(strings.ReplaceAll(strings.ReplaceAll(text, "<!-- -->", ""), "<details><summary>", ""), "`@") || strings.Contains(text, "<b>") {
		t.Error(text)
	}
}

func TestAWinnerThatIsLostIsWorse(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: 2, limit: 1200}
	a := w.state()
	failed := w.state()
	failed.Cells[1].Phase, failed.Cells[1].Cause, failed.Cells[1].Accepted = record.WorkFailed, record.CauseOOM, nil
	failed.Best = &record.Best{Cell: failed.Cells[0].Cell, Observation: *failed.Cells[0].Accepted}
	none := w.state()
	none.Best = nil
	for reason, b := range map[string]record.State{"A's winner s16-t2048 failed in B: out of memory": failed, "B has no winner": none} {
		c, err := Compare(side(a), side(b), usual)
		if err != nil || c.Outcome != Worse || !strings.Contains(strings.Join(c.Reasons, "\n"), reason) {
			t.Errorf("want %q, got %s %v, %v", reason, c.Outcome, c.Reasons, err)
		}
	}
}

func TestRunsOfDifferentQuestionsAreNotCompared(t *testing.T) {
	a := recorded(t, "demo")
	for what, change := range map[string]func(*spec.Spec){
		"model is":              func(s *spec.Spec) { s.Model = "other/model" },
		"tensor_parallel is":    func(s *spec.Spec) { s.TensorParallel = 2 },
		"workload.input_len is": func(s *spec.Spec) { s.Workload.InputLen = 5 },
		"limits is":             func(s *spec.Spec) { s.Limits = []spec.Limit{{Metric: "ttft", Percentile: 99, MS: 9}} },
		"method is":             func(s *spec.Spec) { s.Method = "auto_tune" },
	} {
		b := recorded(t, "demo-again")
		change(b.Spec)
		_, err := Compare(a, b, usual)
		if what == "limits is" && !strings.Contains(fmt.Sprint(err), "limits is P99 E2EL <= 7000 ms and P99 TTFT <= 9 ms") {
			t.Errorf("limits in no words of a person: %v", err)
		}
		var e Incomparable
		if !errors.As(err, &e) || !strings.Contains(err.Error(), what) || diag.CodeOf(err) != diag.Usage || len(diag.HintsOf(err)) == 0 {
			t.Errorf("%s: %v", what, err)
		}
		forced := usual
		forced.Force = true
		if c, err := Compare(a, b, forced); err != nil || len(c.Forced) != 1 {
			t.Errorf("%s, forced: %v, %v", what, c.Forced, err)
		}
		narrow := usual
		narrow.Metric = Throughput
		if _, err := Compare(a, b, narrow); (err == nil) != (what == "limits is") {
			t.Errorf("%s, throughput only: %v", what, err)
		}
	}
	for what, change := range map[string]func(*spec.Spec){
		"server.flags": func(s *spec.Spec) { s.Server.Flags = []string{"--enforce-eager"} }, "grid.max_num_seqs": func(s *spec.Spec) { s.Grid.MaxNumSeqs = []int{16} },
		"server.environment.X": func(s *spec.Spec) { s.Server.Environment["X"] = "1" },
	} {
		b := recorded(t, "demo-again")
		change(b.Spec)
		c, err := Compare(a, b, usual)
		if err != nil || !slices.ContainsFunc(c.Changed, func(c Change) bool { return c.What == what }) {
			t.Errorf("%s: %v, %v", what, c.Changed, err)
		}
	}
}

// A gate does not open for want of data.
func TestNothingToTestIsAnError(t *testing.T) {
	w := world{rng: rand.New(rand.NewPCG(1, 1)), pace: 1, cells: fewestPairs - 1, limit: 1200, script: true}
	_, err := Compare(side(w.state()), side(w.state()), usual)
	var e Incomparable
	if !errors.As(err, &e) || e.Asked || !strings.Contains(err.Error(), "no interval") {
		t.Errorf("%v", err)
	}
}

func TestQuantilesAreTheTables(t *testing.T) {
	for _, c := range []struct{ p, df, want float64 }{{0.975, 1, 12.7062}, {0.995, 19, 2.8609}, {0.975, 2, 4.3027}, {0.995, 4, 4.6041}, {0.975, 1e4, 1.9602}} {
		if got := quantile(c.p, c.df); math.Abs(got-c.want) > 1e-4 {
			t.Errorf("%v of %v degrees: %v, want %v", c.p, c.df, got, c.want)
		}
	}
}

func TestHolmIsTheTextbooks(t *testing.T) {
	got := holm([]float64{0.01, 0.04, 0.03, 0.005})
	for i, want := range []float64{0.03, 0.06, 0.06, 0.02} {
		if math.Abs(got[i]-want) > 1e-12 {
			t.Errorf("%d: %v, want %v", i, got[i], want)
		}
	}
}

func TestAShareIsReadInBothForms(t *testing.T) {
	for text, want := range map[string]float64{"2%": 0.02, "0.02": 0.02, " 0.5 % ": 0.005, "0": 0} {
		var got, again Share
		if err := got.Set(text); err != nil || math.Abs(float64(got)-want) > 1e-12 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if err := again.Set(got.String()); err != nil || again != got {
			t.Errorf("%s is read as %s, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "x", "-1%", "100%", "NaN", "2"} {
		if err := new(Share).Set(text); err == nil {
			t.Errorf("%q is a share", text)
		}
	}
}

func TestAnOptionThatCannotBeIsAUsageError(t *testing.T) {
	if err := usual.Check(); err != nil {
		t.Error(err)
	}
	for name, o := range map[string]Options{
		"--alpha": {Alpha: 1, Format: "json"}, "--tolerance": {Alpha: 0.05, Tolerance: 1, Format: "text"}, "--metric": {Alpha: 0.05, Metric: "x", Format: "text"}, "--format": {Alpha: 0.05, Format: "csv"},
	} {
		if err := o.Check(); diag.CodeOf(err) != diag.Usage || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
