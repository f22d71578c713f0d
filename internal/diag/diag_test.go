package diag

import (
	"errors"
	"fmt"
	"testing"
)

func TestAnErrorKeepsItsCodeAndHintsThroughWrapping(t *testing.T) {
	cause := errors.New("no partition")
	err := fmt.Errorf("submit: %w", Wrap(fmt.Errorf("probe: %w", cause), Scheduler, "ask sinfo"))
	if CodeOf(err) != Scheduler || !errors.Is(err, cause) || err.Error() != "submit: probe: no partition" {
		t.Errorf("code %d, %v", CodeOf(err), err)
	}
	if got := HintsOf(err); len(got) != 1 || got[0] != "ask sinfo" {
		t.Errorf("hints %q", got)
	}
	if got := HintsOf(errors.Join(errors.New("other"), err)); len(got) != 1 || CodeOf(errors.Join(errors.New("other"), err)) != Scheduler {
		t.Errorf("joined with another error: hints %q", got)
	}
	if CodeOf(cause) != Internal || CodeOf(nil) != OK || Wrap(nil, Usage) != nil {
		t.Error("an error without a code is internal, no error is ok")
	}
}

func TestProblemsAreReadInTheOrderOfTheFile(t *testing.T) {
	ps := Problems{
		{Pos: Pos{"s.yaml", 9, 1}, Path: "grid", What: "is empty"},
		{Pos: Pos{"s.yaml", 2, 8}, What: "is not a number", Hint: "write 5"},
		{Pos: Pos{"s.yaml", 2, 1}, Path: "model", What: "is missing"},
	}
	ps.Sort()
	want := "s.yaml:2:1: model: is missing\ns.yaml:2:8: is not a number\ns.yaml:9:1: grid: is empty"
	if got := ps.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if CodeOf(ps) != Spec || HintsOf(fmt.Errorf("x: %w", ps))[0] != "write 5" || Problems(nil).Err() != nil {
		t.Error("problems are a spec error with their hints; none is no error")
	}
}

func TestExitCodesAreDistinct(t *testing.T) {
	seen := map[Code]bool{}
	for _, r := range ExitCodes() {
		if seen[r.Code] || r.What == "" {
			t.Errorf("code %d: %q", r.Code, r.What)
		}
		seen[r.Code] = true
	}
}
