package consent

import (
	"io"
	"math"
	"testing"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
)

// A cap below 0, or that is no number, was no cap and no question: the worst case was agreed to by nobody.
func TestACapOnWhatIsSpentIsANumber(t *testing.T) {
	for _, hours := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if err := Agree(&tuning.Tuning{}, tuning.Request{ChipHours: hours}, nil, io.Discard); diag.CodeOf(err) != diag.Usage {
			t.Errorf("%g: %v", hours, err)
		}
	}
	if err := Agree(&tuning.Tuning{}, tuning.Request{}, nil, io.Discard); err != nil {
		t.Error(err)
	}
}
