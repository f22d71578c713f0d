package live

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/collect"
	"vtune/collect/doorbell"
	"vtune/internal/record"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	time.Local = time.UTC
	flag.Parse()
	os.Exit(m.Run())
}

// halfway is a copy of the recorded run as it was while its winner was being confirmed.
func halfway(t testing.TB) record.Dir {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../../../testdata/runs/demo")); err != nil {
		t.Fatal(err)
	}
	late := []string{
		"result.json", "result.txt", "state.json", "cells/s16-t2048/2/result.json", "cells/s16-t2048/2/observations/00[6-9].json",
		"events/s16-t2048-2.01[5-9]*",
	}
	for _, pattern := range late {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return record.Dir(dir)
}

// modelOf is what a view knows that has looked at a run's directory.
func modelOf(t testing.TB, dir record.Dir) *model {
	t.Helper()
	scan := collect.Scanner{Dir: dir}
	snap, err := scan.Scan()
	if err != nil {
		t.Fatal(err)
	}
	m := &model{place: "/scratch/demo/auto-benchmark/2026_11_30_19_55", since: snap.Run.Created, glyphs: unicodeGlyphs}
	m.pass(collect.Derive(snap), nil)
	events := doorbell.Reader{Dir: dir.Events()}
	for _, e := range events.Fresh() {
		m.event(e)
	}
	return m
}

// now is shortly after the last event that a model has seen.
func (m *model) now() time.Time {
	at := m.since
	for _, n := range m.news {
		if n.at.After(at) {
			at = n.at
		}
	}
	return at.Add(7 * time.Second)
}

func (m *model) text(width, height int) string {
	m.width, m.height = width, height
	var b strings.Builder
	for _, l := range m.frame(m.now()) {
		b.WriteString(l.text() + "\n")
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// large is a run of rows times columns cells in every state.
func large(rows, columns int) record.State {
	st := record.State{Run: "r", Phase: record.PhaseMeasuring, Policy: record.Policy{Method: "vtune", Limits: []record.Limit{{Metric: record.TTFT, Percentile: 99, MS: 300}, {Metric: record.TPOT, Percentile: 90, MS: 25}}}}
	for r := range rows {
		for c := range columns {
			i := r*columns + c
			one := record.CellState{Cell: record.Cell{MaxNumSeqs: 8 * (r + 1), MaxNumBatchedTokens: 256 * (c + 1)}}
			one.ID = record.CellID(one.MaxNumSeqs, one.MaxNumBatchedTokens)
			one.Phase = record.WorkWaiting
			attempt := record.AttemptState{Job: one.ID + "-1", Attempt: 1, Submitted: fmt.Sprintf("4711_%d", i), Node: fmt.Sprintf("node%d", i%17), Started: true, Seconds: 600}
			obs := []record.Observation{}
			for n := range 1 + i%7 {
				o := record.Observation{Verdict: record.Pass, Load: record.Load{Rate: record.Rate(n + 1), Purpose: record.Confirm}}
				o.Metrics.RequestThroughput = float64(n+1) + float64(i%100)/100
				o.Metrics.TTFT.P99, o.Metrics.TPOT.P90, o.Metrics.E2EL.P99 = float64(60*(n+1)), float64(3*n), 900
				if o.Metrics.TTFT.P99 > 300 {
					o.Verdict = record.Miss
				}
				obs = append(obs, o)
			}
			switch {
			case i < rows*columns/2 && i%13 == 5:
				one.Phase, one.Cause, one.Message, one.Attempts = record.WorkFailed, record.CauseOOM, "CUDA out of memory", []record.AttemptState{attempt}
			case i < rows*columns/2 && i%11 == 3:
				one.Phase, one.Left, one.Bound, one.Message = record.WorkDone, true, 2.5, "below 2.50 req/s"
			case i < rows*columns/2:
				one.Phase, one.Observations, one.Attempts = record.WorkDone, obs, []record.AttemptState{attempt}
				one.Accepted = &obs[0]
			case i < rows*columns/2+9:
				one.Phase, one.Observations, one.Attempts = record.WorkRunning, obs, []record.AttemptState{attempt}
			case i < rows*columns/2+11:
				one.Phase, one.Attempts = record.WorkFollowUp, []record.AttemptState{attempt}
			}
			st.Cells = append(st.Cells, one)
		}
	}
	st.Best = &record.Best{Cell: st.Cells[2].Cell, Observation: *st.Cells[2].Accepted}
	return st
}

func TestTheViewOfARunThatGoesOn(t *testing.T) {
	m := modelOf(t, halfway(t))
	m.selected = 2
	for _, size := range [][2]int{{80, 24}, {120, 40}, {60, 15}} {
		golden(t, fmt.Sprintf("halfway-%dx%d", size[0], size[1]), m.text(size[0], size[1]))
	}
	m.glyphs = asciiGlyphs
	golden(t, "halfway-ascii", m.text(80, 24))
	m.page = help
	golden(t, "help", m.text(80, 24))
}

func TestTheViewOfARunThatIsOver(t *testing.T) {
	golden(t, "over", modelOf(t, "../../../../testdata/runs/demo").text(80, 24))
}

func TestTheViewOfNothingYet(t *testing.T) {
	m := &model{place: "gs://bucket/a/very/long/prefix/of/a/run/that/does/not/fit/the/line/auto-benchmark/2026_11_30_19_55", glyphs: unicodeGlyphs}
	m.warn(time.Unix(1e9, 0), "the scheduler does not answer: slurm_load_jobs error: Unable to contact slurm controller (going on)")
	golden(t, "nothing", m.text(80, 24))
}

func TestTheViewOfTenThousandCells(t *testing.T) {
	m := &model{place: "/scratch/auto-benchmark/2026_11_30_19_55", glyphs: unicodeGlyphs}
	m.pass(large(100, 100), nil)
	golden(t, "10000", m.text(80, 24))
	m.selected = 5051
	m.event(record.Event{Job: m.rows[5051].Job, Kind: record.KindCell, Cell: m.rows[5051].Cell.ID, What: "load", Detail: "confirm at 3.2 req/s", At: time.Unix(1e9, 0)})
	golden(t, "10000-selected", m.text(120, 40))
}

func TestTheViewOfAGridThatFits(t *testing.T) {
	m := &model{place: "/scratch/auto-benchmark/2026_11_30_19_55", glyphs: unicodeGlyphs}
	m.pass(large(6, 6), nil)
	m.selected = 5
	golden(t, "36", m.text(80, 24))
}
