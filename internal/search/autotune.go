package search

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"vtune/internal/record"
)

const (
	// triesPerLoad is how often a load is observed when nothing valid comes of it: once may be chance.
	triesPerLoad = 2
	// spoiledInARow rates without a valid observation end a walk. A finite rate is a lighter load than the inf run before it,
	// so what goes on failing there does not fail for its load, and no lower rate will cure it.
	spoiledInARow = 3
)

// autoTune is the script's procedure: the inf run, then integer rates downwards from int(T_inf)+1 to 1; the first accepted
// run is the cell's answer. The numbers are those of facts' defect table:
//
//   - D1, D2, D3 mended: only a valid observation passes, see Judge. A server that failed has none.
//   - D4 mended: an inf run that says nothing is repeated once, and then there is no throughput to walk from, so no walk.
//     Requests that failed at inf leave the throughput of the others; that is no answer, but a place to start from.
//   - D5 mended: a rate that says nothing is repeated once, and then counts as a miss; three such in a row end the walk.
//   - D6, D7, D8, D9, D10 kept on purpose, since a method by this name gives this answer: integer rates only (below 1 req/s
//     nothing is accepted), one by one and not by bisection, one run of RateRequests decides, its throughput holds the drain
//     tail and is compared with that of inf runs of InfRequests, and the best achieved throughput wins.
//
// The script reads numbers as its benchmark prints them, with two decimals. So does this method, see printed.
func autoTune(p record.Policy, observed []record.Observation) Decision {
	known := byLoad(observed)
	inf := record.Load{Rate: record.Inf, Requests: p.InfRequests}
	at := known[inf]
	switch {
	case at.undecided():
		return Decision{Action: Try, Load: inf}
	case at.passed():
		return Decision{Action: Accept, Best: at.valid}
	case firstRate(at.throughput()) == 0:
		return Decision{Action: GiveUp, Cause: at.cause(), Reason: "no valid inf run: " + at.detail()}
	}
	spoiled := 0
	for r := firstRate(at.throughput()); r >= 1; r-- {
		load := record.Load{Rate: record.Rate(r), Requests: p.RateRequests}
		at = known[load]
		switch {
		case at.undecided():
			return Decision{Action: Try, Load: load}
		case at.passed():
			return Decision{Action: Accept, Best: at.valid}
		case at.valid != nil:
			spoiled = 0
		default:
			spoiled++
		}
		if spoiled == spoiledInARow {
			return Decision{Action: GiveUp, Cause: at.cause(),
				Reason: fmt.Sprintf("no valid run at %d rates in a row, the last at %d req/s: %s", spoiled, r, at.detail())}
		}
	}
	if spoiled > 0 {
		return Decision{Action: GiveUp, Cause: at.cause(), Reason: "no valid run at 1 req/s: " + at.detail()}
	}
	return Decision{Action: GiveUp, Reason: "misses the limit at every rate, down to 1 req/s"}
}

// firstRate is where a walk begins, or 0 when the throughput is none to begin with.
func firstRate(throughput float64) int {
	if !positive(throughput) || throughput > math.MaxInt32 {
		return 0
	}
	return int(printed(throughput)) + 1
}

// unknownBelow counts the rates from r down to 1 that nothing is known about.
func unknownBelow(p record.Policy, observed []record.Observation, r int) int {
	known := byLoad(observed)
	n := r
	for load, at := range known {
		if rate := float64(load.Rate); load.Requests == p.RateRequests && rate == math.Trunc(rate) && rate >= 1 && rate <= float64(r) && !at.undecided() {
			n--
		}
	}
	return n
}

// knowledge is what a cell's observations say about one load.
type knowledge struct {
	valid   *record.Observation  // the first valid one: the script measures a load once
	invalid []record.Observation // in the order they were made
}

func (k knowledge) undecided() bool { return k.valid == nil && len(k.invalid) < triesPerLoad }
func (k knowledge) passed() bool    { return k.valid != nil && k.valid.Verdict == record.Pass }

// throughput is the valid observation's; where requests failed it is the best that survivors reached.
func (k knowledge) throughput() float64 {
	if k.valid != nil {
		return k.valid.Metrics.RequestThroughput
	}
	best := 0.0
	for _, o := range k.invalid {
		if t := o.Metrics.RequestThroughput; o.Cause == record.CauseRequests && positive(t) {
			best = max(best, t)
		}
	}
	return best
}

func (k knowledge) cause() record.Cause {
	if len(k.invalid) == 0 {
		return record.CauseClient
	}
	return cmp.Or(k.invalid[len(k.invalid)-1].Cause, record.CauseClient)
}

func (k knowledge) detail() string {
	if len(k.invalid) == 0 {
		return "its throughput is no number to begin with"
	}
	return cmp.Or(k.invalid[len(k.invalid)-1].Detail, string(k.cause()))
}

// byLoad sorts observations into loads, oldest first, each once.
func byLoad(observed []record.Observation) map[record.Load]knowledge {
	sorted := slices.Clone(observed)
	slices.SortStableFunc(sorted, older)
	known := map[record.Load]knowledge{}
	for i, o := range sorted {
		if i > 0 && sorted[i-1].Attempt == o.Attempt && sorted[i-1].Seq == o.Seq {
			continue
		}
		k := known[o.Load]
		switch {
		case o.Verdict != record.Pass && o.Verdict != record.Miss:
			k.invalid = append(k.invalid, o)
		case k.valid == nil:
			k.valid = &o
		}
		known[o.Load] = k
	}
	return known
}

// older orders observations by their identity; an attempt is never reused, so nothing else is needed.
func older(a, b record.Observation) int {
	return cmp.Or(cmp.Compare(a.Attempt, b.Attempt), cmp.Compare(a.Seq, b.Seq))
}

// Best is the cell with the strictly greatest request throughput; of equals, as result.txt prints them, the first in grid
// order. Nil when no cell was accepted.
func Best(p record.Policy, cells []record.CellState) *record.Best {
	var best *record.Best
	for _, c := range cells {
		if c.Accepted == nil || c.Accepted.Verdict != record.Pass || !positive(c.Accepted.Metrics.RequestThroughput) {
			continue
		}
		if best == nil || printed(c.Accepted.Metrics.RequestThroughput) > printed(best.Observation.Metrics.RequestThroughput) {
			best = &record.Best{Cell: c.Cell, Observation: *c.Accepted}
		}
	}
	return best
}
