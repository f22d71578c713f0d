package search

import (
	"cmp"
	"slices"

	"vtune/internal/record"
)

// imported is the answer that runs made elsewhere hold: nothing more is measured, so what there is decides. Of several runs at one load
// the one with the median P99 E2EL speaks for it, of an even number the worse of the two in the middle: the best of several would be
// what chance made of them. Of the loads that pass, the answer is the one with the greatest throughput, which is the script's objective.
func imported(observed []record.Observation) Decision {
	type load struct {
		rate  record.Rate
		letIn int
	}
	runs := map[load][]record.Observation{}
	for _, o := range distinct(observed) {
		if (o.Verdict == record.Pass || o.Verdict == record.Miss) && positive(o.Metrics.RequestThroughput) {
			at := load{o.Load.Rate, o.Load.LetIn}
			runs[at] = append(runs[at], o)
		}
	}
	var best *record.Observation
	for _, at := range runs {
		slices.SortStableFunc(at, func(a, b record.Observation) int { return cmp.Compare(a.Metrics.E2EL.P99, b.Metrics.E2EL.P99) })
		o := at[len(at)/2]
		if o.Verdict == record.Pass && (best == nil || better(o, *best)) {
			best = &o
		}
	}
	if best == nil {
		return Decision{Action: Leave, Reason: "imported: nothing more is measured"}
	}
	return Decision{Action: Accept, Best: best}
}

// better orders answers, so that the same one is found whatever the order in which loads are looked at.
func better(a, b record.Observation) bool {
	return cmp.Or(cmp.Compare(a.Metrics.RequestThroughput, b.Metrics.RequestThroughput), cmp.Compare(a.Load.Rate, b.Load.Rate),
		cmp.Compare(a.Load.LetIn, b.Load.LetIn)) > 0
}
