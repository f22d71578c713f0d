package scenario

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func generate(t *testing.T, seed uint64, number int) Scenario {
	t.Helper()
	s, err := Generate(seed, number, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAScenarioIsItsSeedAndNumber(t *testing.T) {
	hidden := cmpopts.IgnoreUnexported(Scenario{})
	for n := range 5 {
		if diff := cmp.Diff(generate(t, 7, n), generate(t, 7, n), hidden); diff != "" {
			t.Errorf("the same again (-first +second):\n%s", diff)
		}
	}
	if cmp.Equal(generate(t, 7, 1), generate(t, 8, 1), hidden) || cmp.Equal(generate(t, 7, 1), generate(t, 7, 2), hidden) {
		t.Error("another seed or number gives the same scenario")
	}
}

func TestScenariosCoverWhatIsTuned(t *testing.T) {
	kinds, models, hardware, grids := map[Kind]int{}, map[string]int{}, map[string]int{}, map[int]int{}
	held, prefix := 0, 0
	for n := range 120 {
		s := generate(t, 1, n)
		kinds[s.Kind]++
		models[s.Model]++
		hardware[s.Hardware]++
		grids[len(s.Cells)]++
		if s.HeldGiB > 0 {
			held++
		}
		if s.Workload.CacheHitPct > 0 {
			prefix++
		}
		if s.Saturated < slowest || s.Saturated > fastest {
			t.Errorf("%s saturates at %.3g req/s", s.ID, s.Saturated)
		}
		if (s.LimitMS == 0) != (s.Kind == NoLimit) || s.Kind == Infeasible && s.LimitMS >= s.UnloadedMS || s.Kind == Strict && s.LimitMS < 1.2*s.UnloadedMS {
			t.Errorf("%s: a limit of %.0f ms is %s, a request alone takes %.0f ms", s.ID, s.LimitMS, s.Kind, s.UnloadedMS)
		}
		for i, c := range s.Cells {
			if c.MaxNumBatchedTokens < c.MaxNumSeqs {
				t.Errorf("%s: cell %s", s.ID, c.ID)
			}
			if l := s.Largest(); c.MaxNumSeqs > l.MaxNumSeqs || c.MaxNumBatchedTokens > l.MaxNumBatchedTokens {
				t.Errorf("%s: cell %d, %s, is larger than the last, %s", s.ID, i, c.ID, l.ID)
			}
		}
	}
	if len(kinds) != 5 || len(models) != 3 || len(hardware) != 3 || len(grids) < 4 || held == 0 || prefix == 0 {
		t.Errorf("kinds %v, models %v, hardware %v, grids %v, %d with memory held, %d with a shared prefix", kinds, models, hardware, grids, held, prefix)
	}
	if n := kinds[NoLimit]; n < 12 || n > 36 {
		t.Errorf("%d of 120 have no limit, want about a fifth", n)
	}
}
