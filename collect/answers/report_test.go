package answers

import (
	"os"
	"strings"
	"testing"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// demo is a copy of the finished run's small files, and its state.
func demo(t *testing.T) (record.Dir, record.Run, record.State) {
	t.Helper()
	from, to := record.Dir("../../testdata/runs/demo"), record.Dir(t.TempDir())
	var run record.Run
	var st record.State
	for path, v := range map[string]any{from.Run(): &run, from.State(): &st} {
		if err := fsx.ReadJSON(path, v); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(from.Effective())
	if err == nil {
		err = os.WriteFile(to.Effective(), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to, run, st
}

// A page is large, and a run of ten thousand cells has ten thousand passes.
func TestThePageOfALargeRunIsWrittenAFewTimes(t *testing.T) {
	_, run, st := demo(t)
	st.Phase, st.Cells = record.PhaseMeasuring, make([]record.CellState, 10_000)
	stamps := map[string]bool{}
	for i := range st.Cells {
		stamps[stamp(st, nil)] = true
		st.Cells[i].Phase = record.WorkDone
	}
	if len(stamps) > looks {
		t.Errorf("a page of %s is written %d times", run.ID, len(stamps))
	}
	st.Cells = st.Cells[:4]
	for i := range st.Cells {
		st.Cells[i].Phase = record.WorkRunning
	}
	before := stamp(st, nil)
	st.Cells[0].Phase = record.WorkFailed
	if stamp(st, nil) == before {
		t.Error("a small run's page does not wait for another cell")
	}
}

func TestThePageIsWrittenWithItsRunsNewsAndNotWithout(t *testing.T) {
	dir, run, st := demo(t)
	serves := 0
	publish := func() string {
		t.Helper()
		if err := Publish(dir, run, st, func(record.State) (string, error) { serves++; return "vllm serve it", nil }); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(dir.Report())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := publish()
	if publish() != first || serves != 1 || !strings.Contains(first, "vllm serve it") || !strings.Contains(first, "output_len: 64") {
		t.Errorf("the same state made %d pages", serves)
	}
	st.Warnings = []string{"something else"} // over, and then repeated
	if second := publish(); serves != 2 || !strings.Contains(second, "something else") {
		t.Errorf("another state made no page (%d)", serves)
	}
	if err := os.Remove(dir.Report()); err != nil {
		t.Fatal(err)
	}
	if publish(); serves != 3 {
		t.Error("a page that was deleted does not come back")
	}
}
