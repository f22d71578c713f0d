package fleet

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// checks of so many nodes, each with a noise, of which the slow ones take longer.
func checks(rng *rand.Rand, nodes, each int, noise float64, slow map[string]float64) map[string][]float64 {
	all := map[string][]float64{}
	for i := range nodes {
		name := fmt.Sprintf("n%d", i+1)
		for range each {
			all[name] = append(all[name], 33*(1+slow[name])*(1+noise*rng.NormFloat64()))
		}
	}
	return all
}

func TestEqualNodesAreNoOutliersAndASlowOneAlwaysIs(t *testing.T) {
	const runs = 1000
	rng := rand.New(rand.NewPCG(7, 11))
	for _, c := range []struct{ nodes, each, missed int }{
		{4, 10, 0},
		{16, 2, 0},
		{8, 1, 2},
		{3, 2, 10}, // two others, checked twice: their own difference hides it now and then
	} {
		wrong, missed := 0, 0
		for range runs {
			equal := checks(rng, c.nodes, c.each, 0.02, nil)
			if _, _, _, differ := apart(equal, floorTPOT); len(lags(equal, floorTPOT)) > 0 || differ {
				wrong++
			}
			by := 0.20
			if c.each == 1 {
				by = 0.35 // one check may be a bad moment: it must be clearer
			}
			slow := lags(checks(rng, c.nodes, c.each, 0.02, map[string]float64{"n2": by}), floorTPOT)
			if _, found := slow["n2"]; !found || len(slow) != 1 {
				missed++
			}
		}
		if wrong > 1 || missed > c.missed {
			t.Errorf("%d nodes x %d checks, %d runs: %d with an outlier that is none, %d in which the slow node was not found alone", c.nodes, c.each, runs, wrong, missed)
		}
	}
}

func TestOneOfTwoNodesIsNotToBlame(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	two := checks(rng, 2, 4, 0.01, map[string]float64{"n2": 0.3})
	slowest, fastest, l, differ := apart(two, floorTPOT)
	if len(lags(two, floorTPOT)) != 0 || !differ || slowest != "n2" || fastest != "n1" || l.share < 0.25 || l.share > 0.35 {
		t.Errorf("%v, %s and %s differ: %t, %+v", lags(two, floorTPOT), slowest, fastest, differ, l)
	}
	three := checks(rng, 3, 4, 0.01, map[string]float64{"n2": 0.3, "n3": 0.3})
	if _, _, _, differ := apart(three, floorTPOT); len(lags(three, floorTPOT)) != 0 || !differ {
		t.Errorf("one fast node of three: %v, %t", lags(three, floorTPOT), differ)
	}
}

// Where checks themselves are uneven, a node must stand out of that.
func TestWhatIsUsualInARunIsNoOutlier(t *testing.T) {
	even := map[string][]float64{"a": {30, 36}, "b": {36, 30}, "c": {31, 35}, "d": {37, 40}}
	if slow := lags(even, floorTPOT); len(slow) != 0 {
		t.Errorf("%v", slow)
	}
	even["d"] = []float64{70, 72}
	if slow := lags(even, floorTPOT); len(slow) != 1 || slow["d"].share < 1 {
		t.Errorf("%v", slow)
	}
}

// Of two checks one may meet a moment of trouble.
func TestOneBadCheckMakesNoOutlier(t *testing.T) {
	if slow := lags(map[string][]float64{"a": {33, 34}, "b": {33, 33}, "c": {34, 80}, "d": {33}}, floorTPOT); len(slow) != 0 {
		t.Errorf("%v", slow)
	}
	if slow := lags(map[string][]float64{"a": {33, 34}, "b": {33, 33}, "c": {34, 33}, "d": {39}}, floorTPOT); len(slow) != 0 {
		t.Errorf("%v", slow)
	}
	if slow := lags(map[string][]float64{"a": {33, 34}, "b": {33, 33}, "c": {45, 80}, "d": {33}}, floorTPOT); len(slow) != 1 {
		t.Errorf("%v", slow)
	}
}

// A unit of time, and the names of nodes, are nothing to the rule; faster than the others is never an outlier.
func TestTheRuleKnowsNoUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.MapOfN(rapid.StringMatching(`n[0-9]{1,3}`), rapid.SliceOfN(rapid.Float64Range(1, 100), 1, 4), 0, 6).Draw(t, "checks")
		unit := math.Ldexp(1, rapid.IntRange(-8, 8).Draw(t, "unit")) // a power of two rounds nothing
		scaled, fastest := map[string][]float64{}, ""
		for node, t := range times {
			for _, ms := range t {
				scaled[node] = append(scaled[node], ms*unit)
			}
			if fastest == "" || typical(t) < typical(times[fastest]) {
				fastest = node
			}
		}
		a, b := lags(times, floorTPOT), lags(scaled, floorTPOT)
		if !slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
			t.Fatalf("%v, and with another unit %v", a, b)
		}
		if _, found := a[fastest]; found {
			t.Fatalf("the fastest node is slow: %v", a)
		}
	})
}
