package search

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"vtune/internal/record"
)

// elsewhere is a run that another program made, judged by a limit of 500 ms.
func elsewhere(seq int, rate record.Rate, throughput, p99 float64) record.Observation {
	o := record.Observation{
		Attempt: 1, Seq: seq, Load: record.Load{Rate: rate, Requests: 100}, Verdict: record.Pass,
		Metrics: record.Metrics{RequestThroughput: throughput, E2EL: record.Latency{P99: p99}},
	}
	if p99 > 500 {
		o.Verdict = record.Miss
	}
	return o
}

func TestTheAnswerOfImportedRunsIsTheMostThatPasses(t *testing.T) {
	invalid := elsewhere(9, 9, 9, 100)
	invalid.Verdict = record.Invalid
	for name, c := range map[string]struct {
		runs []record.Observation
		want int // number of the run, or 0
	}{
		"nothing":                     {nil, 0},
		"nothing within the limit":    {[]record.Observation{elsewhere(1, record.Inf, 9, 900), elsewhere(2, 4, 3.9, 501)}, 0},
		"nothing that is valid":       {[]record.Observation{invalid}, 0},
		"the script's one":            {[]record.Observation{elsewhere(1, record.Inf, 9, 900), elsewhere(2, 9, 8, 600), elsewhere(3, 8, 7.5, 480)}, 3},
		"the greatest of several":     {[]record.Observation{elsewhere(1, 2, 1.9, 100), elsewhere(2, 4, 3.9, 400), elsewhere(3, 8, 7.5, 900)}, 2},
		"the median of three":         {[]record.Observation{elsewhere(1, 4, 3.9, 400), elsewhere(2, 4, 3.8, 600), elsewhere(3, 4, 3.7, 480)}, 3},
		"the worse median of two":     {[]record.Observation{elsewhere(1, 4, 3.9, 400), elsewhere(2, 4, 3.8, 501)}, 0},
		"most runs miss, and one not": {[]record.Observation{elsewhere(1, 4, 3.9, 400), elsewhere(2, 4, 3.8, 600), elsewhere(3, 4, 3.7, 700)}, 0},
		"a rate beside a bad one":     {[]record.Observation{elsewhere(1, 4, 3.9, 400), invalid}, 1},
	} {
		d := Next(Question{Policy: record.Policy{Method: Imported, LimitMS: 500}, Observed: c.runs})
		got := 0
		if d.Action == Accept {
			got = d.Best.Seq
		}
		if got != c.want || (d.Action != Accept && d.Action != Leave) {
			t.Errorf("%s: %s %d, want %d", name, d.Action, got, c.want)
		}
	}
}

func TestTheAnswerOfImportedRunsDoesNotDependOnTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var runs []record.Observation
		for i := range rapid.IntRange(1, 12).Draw(t, "runs") {
			rate := record.Rate(rapid.IntRange(1, 4).Draw(t, "rate"))
			runs = append(runs, elsewhere(i+1, rate, rapid.Float64Range(1, 2).Draw(t, "throughput"), rapid.Float64Range(400, 600).Draw(t, "p99")))
		}
		first := imported(runs)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(runs), func(i, j int) { runs[i], runs[j] = runs[j], runs[i] })
		if again := imported(runs); again.Action != first.Action || again.Best != nil && again.Best.Seq != first.Best.Seq {
			t.Fatalf("%+v, then %+v", first.Best, again.Best)
		}
	})
}
