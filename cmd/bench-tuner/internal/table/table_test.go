package table

import (
	"slices"
	"strings"
	"testing"

	"vtune/cmd/bench-tuner/internal/contest"
	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/internal/record"
)

// rows are scenarios in which columns-bound costs cheap[i] of auto_tune's time and has regret[i].
func rows(limitMS float64, cheap, regret []float64, wrong int) []Row {
	var out []Row
	for i := range cheap {
		out = append(out, Row{
			Scenario: scenario.Scenario{LimitMS: limitMS, TP: 2},
			Results: []contest.Result{
				{
					Method: contest.AutoTune, Cell: "a", Seconds: 1000, Wall: [2]float64{500, 100}, Feasible: true, False: true, Reported: 3, Short: i == 0,
					Ledger: record.Ledger{record.SpendStarting: 100, record.SpendMeasured: 400},
				},
				{Method: "columns-bound", Cell: "a", Seconds: 1000 * cheap[i], Wall: [2]float64{250, 100}, Feasible: true, Regret: regret[i], False: i < wrong},
			},
		})
	}
	return out
}

func TestLinesAreOfTheSameScenario(t *testing.T) {
	lines := summarize(rows(500, []float64{0.1, 0.3, 0.2}, []float64{0, 0.01, 0.5}, 1), limited)
	l := lines[1]
	if l.ratio[0] != 0.2 || l.wall != [2]float64{0.5, 1} || l.near != 2.0/3 || l.wrong != 1 || l.answers != 3 || l.found != 3 || l.feasible != 3 {
		t.Errorf("got %+v", l)
	}
	if a := lines[0]; percent(a.spent[0]) != "20.0 %" || percent(a.spent[1]) != "80.0 %" || a.reports != 3 || a.short != 1 {
		t.Errorf("got %+v", a)
	}
}

func TestGoalsCanFail(t *testing.T) {
	few := []float64{0.09, 0.09, 0.09}
	for _, tc := range []struct {
		name   string
		rows   []Row
		failed []string
	}{
		{"all is well", rows(500, few, []float64{0, 0, 0}, 0), nil},
		{"too slow", rows(500, []float64{0.11, 0.11, 0.5}, []float64{0, 0, 0}, 0), []string{"at the median", "at P95"}},
		{"wrong cells", rows(500, few, []float64{0, 0.3, 0}, 0), []string{"regret"}},
		{"wrong rates", rows(500, few, []float64{0, 0, 0}, 1), []string{"false accepts"}},
		{"wrong cells without a limit", rows(0, few, []float64{0, 0.3, 0}, 0), []string{"regret"}},
	} {
		failed := slices.DeleteFunc(Goals(tc.rows), func(g string) bool { return !strings.HasPrefix(g, "FAIL") })
		if len(failed) != len(tc.failed) {
			t.Errorf("%s: failed are %q, want %q", tc.name, failed, tc.failed)
			continue
		}
		for i, f := range failed {
			if !strings.Contains(f, tc.failed[i]) {
				t.Errorf("%s: %q does not say %q", tc.name, f, tc.failed[i])
			}
		}
	}
}
