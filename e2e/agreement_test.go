//go:build e2e || e2ecompare

package e2e

import (
	"testing"

	"vtune/internal/record"
)

// Clients that differ by a tenth are found out, and those that differ by less than they do from themselves are not.
func TestADisagreementIsMoreThanNoise(t *testing.T) {
	clients := func(by float64) *agreement {
		var a agreement
		for _, noise := range []float64{0.98, 1, 1.02} {
			for which, factor := range []float64{1, by} {
				a.add(which, record.Metrics{RequestThroughput: 10 * noise, E2EL: record.Latency{P50: 500 * noise * factor, P99: 900 * noise}})
			}
		}
		return &a
	}
	if d := clients(1.02).disagreements(); len(d) != 0 {
		t.Errorf("2 %% apart, each 4 %% from itself: %q", d)
	}
	if d := clients(1.1).disagreements(); len(d) != 1 {
		t.Errorf("P50 is 10 %% apart: %q", d)
	}
}
