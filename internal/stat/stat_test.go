package stat

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The expected values are numpy.percentile's.
func TestPercentilesAreNumpys(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		p, want float64
	}{
		{nil, 50, 0},
		{[]float64{7}, 99, 7},
		{[]float64{1, 2, 3, 4}, 50, 2.5},
		{[]float64{1, 2, 3, 4}, 99, 3.97},
		{[]float64{1, 10, 100}, 25, 5.5},
		{[]float64{1, 10, 100}, 0, 1},
		{[]float64{1, 10, 100}, 100, 100},
	} {
		if got := Percentile(c.values, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("percentile %g of %v: %g, want %g", c.p, c.values, got, c.want)
		}
	}
}

func TestAPercentileLiesWithinTheValuesAndGrowsWithP(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 50).Draw(t, "values")
		slices.Sort(values)
		p, q := rapid.Float64Range(0, 100).Draw(t, "p"), rapid.Float64Range(0, 100).Draw(t, "q")
		a, b := Percentile(values, min(p, q)), Percentile(values, max(p, q))
		const rounding = 1e-6
		if a > b+rounding || a < values[0]-rounding || b > values[len(values)-1]+rounding {
			t.Fatalf("percentiles %g and %g of %v", a, b, values)
		}
	})
}
