package reading_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/reading"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/record"
)

var world = tuning.World{Now: time.Now, Program: "vtune", Err: io.Discard}

func TestARunThatIsOverIsReadWithoutItsScheduler(t *testing.T) {
	r, err := reading.Open(t.Context(), world, "../../../../testdata/runs/demo")
	if err != nil {
		t.Fatal(err)
	}
	serve, err := r.ServeCommand()
	if err != nil || r.State.Phase != record.PhaseOver || r.State.Best == nil || !strings.Contains(serve, "--max-num-seqs 16") {
		t.Errorf("%s, best %+v, %q, %v", r.State.Phase, r.State.Best, serve, err)
	}
}

func TestWhatIsNoRunIsAUsageError(t *testing.T) {
	if _, err := reading.Open(t.Context(), world, t.TempDir()); diag.CodeOf(err) != diag.Usage || errors.Unwrap(err) == nil {
		t.Errorf("%v", err)
	}
}
