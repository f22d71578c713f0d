package search

import (
	"cmp"
	"slices"

	"vtune/internal/record"
)

// triesPerLoad is how often a load is observed when nothing valid comes of it: once may be chance.
const triesPerLoad = 2

// knowledge is what a cell's observations say about one load.
type knowledge struct {
	valid   *record.Observation  // the first valid one: the script measures a load once
	invalid []record.Observation // oldest first
}

func (k knowledge) undecided() bool { return k.valid == nil && len(k.invalid) < triesPerLoad }
func (k knowledge) passed() bool    { return k.valid != nil && k.valid.Verdict == record.Pass }
func (k knowledge) missed() bool    { return k.valid != nil && k.valid.Verdict == record.Miss }

// throughput in requests per second, or 0 when it is not known. Where requests failed it is the best that survivors reached.
func (k knowledge) throughput() float64 {
	if k.valid != nil {
		return k.valid.Metrics.RequestThroughput
	}
	best := 0.0
	for _, o := range k.invalid {
		if o.Cause == record.CauseRequests && positive(o.Metrics.RequestThroughput) {
			best = max(best, o.Metrics.RequestThroughput)
		}
	}
	return best
}

// spoilt is the cause and the sentence of the last invalid observation.
func (k knowledge) spoilt() (record.Cause, string) {
	if len(k.invalid) == 0 {
		return record.CauseNone, ""
	}
	last := k.invalid[len(k.invalid)-1]
	cause := cmp.Or(last.Cause, record.CauseClient)
	return cause, cmp.Or(last.Detail, string(cause))
}

// byLoad sorts observations into their loads, each once. A verdict that is neither pass nor miss, or has no throughput, says
// nothing about the SLO, whoever wrote it.
func byLoad(observed []record.Observation) map[record.Load]knowledge {
	known := map[record.Load]knowledge{}
	for _, o := range distinct(observed) {
		k := known[o.Load]
		switch {
		case o.Verdict != record.Pass && o.Verdict != record.Miss, !positive(o.Metrics.RequestThroughput):
			k.invalid = append(k.invalid, o)
		case k.valid == nil:
			k.valid = &o
		}
		known[o.Load] = k
	}
	return known
}

// distinct observations, in the order they were made.
func distinct(observed []record.Observation) []record.Observation {
	sorted := slices.Clone(observed)
	slices.SortStableFunc(sorted, func(a, b record.Observation) int {
		return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Seq, b.Seq))
	})
	type identity struct {
		load         record.Load
		attempt, seq int
	}
	seen := map[identity]bool{}
	return slices.DeleteFunc(sorted, func(o record.Observation) bool {
		id := identity{o.Load, o.Attempt, o.Seq}
		before := seen[id]
		seen[id] = true
		return before
	})
}
