package verify_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/cmd/vtune/internal/verify"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
)

var world = tuning.World{Now: time.Now, Program: "vtune", Err: io.Discard}

// demo is a copy of the recorded run, whose effective spec is changed.
func demo(t *testing.T, change ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a [1]*", "auto-benchmark", "2026_01_01_10_00")
	if err := os.CopyFS(dir, os.DirFS("../../../../testdata/runs/demo")); err != nil {
		t.Fatal(err)
	}
	effective := record.Dir(dir).Effective()
	text, err := os.ReadFile(effective)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(effective, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func of(t *testing.T, dir string, w verify.Wish) *verify.Claim {
	t.Helper()
	c, err := verify.Of(t.Context(), world, dir, w)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAClaimsSpecIsTheRunsWithTheWinnerAlone(t *testing.T) {
	dir := demo(t, "scheduler: local", "scheduler: slurm", "shape: jobs", "shape: one-job", "gpus_per_node: 0", "gpus_per_node: 8", "  nodes: 1", "  nodes: 3", "seed: 0", "seed: 4294967295")
	c := of(t, dir, verify.Wish{Duration: 90 * time.Minute})
	s, err := spec.Load(c.SpecFile)
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Verify; v.Rate != 1.092 || v.Duration != "1h30m" || v.Utilization != 0.98 {
		t.Errorf("%+v", v)
	}
	if s.Base != filepath.Dir(filepath.Dir(dir)) || s.Seed != 0 || s.Profile.With != "none" || s.Site.Shape != "jobs" || s.Site.Nodes != 1 || len(s.Limits) != 1 ||
		s.Grid.MaxNumSeqs[0] != 16 || s.Grid.MaxNumBatchedTokens[0] != 2048 || s.Server.Environment["VLLM_SIM_HARDWARE"] != "a10-like" {
		t.Errorf("%+v", s)
	}
	if filepath.Base(c.SpecFile) != "1.092-1h30m.yaml" || c.Templates() != "" {
		t.Errorf("%s, templates in %q", c.SpecFile, c.Templates())
	}
	before, err := os.ReadFile(c.SpecFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	again := of(t, dir, verify.Wish{Rate: 1.092, Duration: 90 * time.Minute})
	if after, err := os.ReadFile(again.SpecFile); err != nil || string(after) != string(before) || again.Templates() == "" {
		t.Errorf("asked again it is another one: %v\n%s", err, after)
	}
	if _, over := again.Before(t.Context(), world); over {
		t.Error("a check is over that was never submitted")
	}
}

func TestACheckOnceMoreHasOtherDraws(t *testing.T) {
	dir := demo(t, "seed: 0", "seed: 4294967294")
	seeds := []int64{}
	for _, another := range []bool{false, false, true, true, false} {
		s, err := spec.Load(of(t, dir, verify.Wish{Duration: time.Hour, Another: another}).SpecFile)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, s.Seed)
	}
	if want := []int64{4294967295, 4294967295, 0, 1, 1}; !slices.Equal(seeds, want) {
		t.Errorf("seeds %v, want %v", seeds, want)
	}
}

func TestWhatCannotBeCheckedIsRefused(t *testing.T) {
	nothing := demo(t)
	if err := os.RemoveAll(record.Dir(nothing).Cells()); err != nil { // then no cell was measured, and the run is not over
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, dir string
		wish      verify.Wish
		code      diag.Code
		says      string
	}{
		{"no time", demo(t), verify.Wish{}, diag.Usage, "from 1s to 24h"},
		{"too long", demo(t), verify.Wish{Duration: 25 * time.Hour}, diag.Usage, "from 1s to 24h"},
		{"a rate below nothing", demo(t), verify.Wish{Rate: -1, Duration: time.Hour}, diag.Usage, "positive number"},
		{"no rate", demo(t), verify.Wish{Rate: math.NaN(), Duration: time.Hour}, diag.Usage, "positive number"},
		{"all at once", demo(t), verify.Wish{Rate: math.Inf(1), Duration: time.Hour}, diag.Usage, "positive number"},
		{"a load longer than its job", demo(t, `time: "" `, "time: \"20\""), verify.Wish{Duration: 20 * time.Minute}, diag.Usage, "does not fit into a job of 1200 s"},
		{"a run without a winner", nothing, verify.Wish{Duration: time.Hour}, diag.Unfinished, "no winner to verify"},
	} {
		if _, err := verify.Of(t.Context(), world, test.dir, test.wish); diag.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, exit code %d", test.name, err, diag.CodeOf(err))
		}
	}
}

// over is the state of a check whose long load had this verdict; none: no load was valid.
func over(v record.Verdict) record.State {
	st := record.State{Phase: record.PhaseOver, Cells: make([]record.CellState, 1)}
	c := &st.Cells[0]
	c.ID, c.Phase, c.Attempts = "s16-t2048", record.WorkDone, []record.AttemptState{{Attempt: 1, Node: "n\x1b[2J7"}}
	o := record.Observation{Cell: c.ID, Attempt: 1, Complete: true, Verdict: v, Detail: "as it\nwas \x1b[31m", Load: record.Load{Rate: 1.092, Purpose: record.Verify, Capacity: 1.2}}
	o.Standings = []record.Standing{{
		Limit: record.Limit{Metric: record.E2EL, Percentile: 99, MS: 7000},
		Share: record.Interval{Value: 0.02, Low: 0.01, High: 0.03}, At: record.Interval{Value: 7100, Low: 7000, High: 7200},
	}}
	if v == "" {
		o.Verdict, c.Phase, c.Cause, c.Message = record.Invalid, record.WorkFailed, record.CauseOOM, "no memory"
	}
	if c.Observations = []record.Observation{o}; v == record.Pass {
		c.Accepted = &o
		st.Best = &record.Best{Cell: c.Cell, Observation: o}
	}
	return st
}

func TestAFindingSaysWhatTheLongLoadSays(t *testing.T) {
	c := of(t, demo(t), verify.Wish{Duration: time.Hour})
	cancelled := over("")
	cancelled.Phase = record.PhaseCancelled
	for _, test := range []struct {
		st    record.State
		code  diag.Code
		words string
		hint  string
	}{
		{over(record.Pass), diag.OK, "the claim holds: as it was [31m\n", ""},
		{over(record.Miss), diag.Worse, "the claim does not hold: as it was", ""},
		{over(record.Unsure), diag.NoAnswer, "the claim could not be decided: as it was", "--duration 2h may decide it"},
		{over(""), diag.NoAnswer, "the claim could not be measured: no memory", ""},
		{cancelled, diag.Unfinished, "the claim is not decided yet: cancelled", ""},
	} {
		f := c.Find("/runs/x", "/runs/x", test.st)
		var b strings.Builder
		if err := f.Print(&b); err != nil {
			t.Fatal(err)
		}
		hints := strings.Join(diag.HintsOf(f.Exit()), "")
		if got := b.String(); diag.CodeOf(f.Exit()) != test.code || !strings.Contains(got, test.words) || !strings.Contains(hints, test.hint) || strings.Contains(got, "\x1b") {
			t.Errorf("exit code %d, hint %q:\n%s", diag.CodeOf(f.Exit()), hints, got)
		}
		if v := test.st.Cells[0].Observations[0].Verdict; v != record.Invalid && !strings.Contains(b.String(), "7100.0 ms (7000.0 to 7200.0)") {
			t.Errorf("no latency:\n%s", b.String())
		}
	}
}

// No file says on which site an imported run's server ran; the spec that is made of it says local, which is where somebody types this.
func TestAnImportedRunIsNotVerifiedOnWhateverMachineThisIs(t *testing.T) {
	dir := record.Dir(demo(t))
	var run record.Run
	if err := fsx.ReadJSON(dir.Run(), &run); err != nil {
		t.Fatal(err)
	}
	run.Scheduler = "imported"
	if err := fsx.PublishJSON(dir.Run(), run); err != nil {
		t.Fatal(err)
	}
	_, err := verify.Of(t.Context(), world, string(dir), verify.Wish{Duration: time.Hour})
	if diag.CodeOf(err) != diag.Usage || !strings.Contains(err.Error(), "was imported") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(string(dir), "verify")); err == nil {
		t.Error("a spec was written into it")
	}
}

// What was checked is found again by the check's spec, whatever the base is called.
func TestACheckThatIsOverIsToldAgain(t *testing.T) {
	dir := demo(t)
	c := of(t, dir, verify.Wish{Duration: time.Hour})
	if _, over := c.Before(t.Context(), world); over {
		t.Error("nothing was checked yet")
	}
	source, err := os.ReadFile(c.SpecFile)
	if err != nil {
		t.Fatal(err)
	}
	check := record.Dir(filepath.Join(filepath.Dir(dir), "2026_01_01_12_00"))
	if err := os.CopyFS(string(check), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := fsx.PublishJSON(check.Run(), record.Run{SpecSHA256: fmt.Sprintf("%x", sha256.Sum256(source)), Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if f, over := c.Before(t.Context(), world); !over || f.Run != string(check) {
		t.Errorf("%+v, %v", f, over)
	}
}
