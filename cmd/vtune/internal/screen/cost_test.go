package screen

import (
	"strings"
	"testing"
	"time"
)

func TestTheWorstCaseIsToldInChipHours(t *testing.T) {
	for _, c := range []struct {
		resources, chips int
		life             time.Duration
		want             string
	}{
		{3, 8, 4 * time.Hour, "worst case: 3 resources x 8 chips x 4 h = 96 chip-hours (spot v6e-8 in us-east5-a; what a chip-hour costs stands in your price list)\n"},
		{1, 4, 90 * time.Minute, "worst case: 1 resource x 4 chips x 1.5 h = 6 chip-hours (spot v6e-8 in us-east5-a; what a chip-hour costs stands in your price list)\n"},
		{2, 1, 10 * time.Minute, "worst case: 2 resources x 1 chip x 0.17 h = 0.34 chip-hours (spot v6e-8 in us-east5-a; what a chip-hour costs stands in your price list)\n"},
	} {
		var b strings.Builder
		if err := WorstCase(&b, c.resources, c.chips, c.life, "spot v6e-8 in us-east5-a"); err != nil || b.String() != c.want {
			t.Errorf("%v\ngot  %swant %s", err, b.String(), c.want)
		}
	}
}
