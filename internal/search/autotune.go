package search

import (
	"fmt"
	"math"
	"strconv"

	"vtune/internal/record"
)

// spoiltInARow rates without a valid observation end a walk. A finite rate is a lighter load than the inf run before it, so
// what goes on failing there does not fail for its load, and no lower rate will cure it.
const spoiltInARow = 3

// autoTune is the script's procedure: the inf run, then integer rates from int(T_inf)+1 down to 1; the first accepted run is
// the cell's answer. The script's defects, by their usual numbers:
//
//   - D1, D2, D3 mended: only a valid observation passes (see Judge), and a server that failed has none.
//   - D4 mended: an inf run that says nothing is repeated once, and then there is no throughput and so no walk. If it says
//     nothing because requests failed, the others' throughput is known: no answer, but a place to start a walk from.
//   - D5 mended: a rate that says nothing is repeated once and then counts as a miss; three in a row end the walk.
//   - D6 to D10 kept on purpose, because a method of this name must give the script's answer: integer rates, nothing below
//     1 req/s (D6), one by one from the top and not by bisection (D7), one run of RateRequests decides (D8), whose throughput
//     holds its drain tail and still is compared with that of an inf run of InfRequests (D9, D10).
func autoTune(p record.Policy, known map[record.Load]knowledge) Decision {
	inf := record.Load{Rate: record.Inf, Requests: p.InfRequests}
	at := known[inf]
	if at.undecided() {
		return Decision{Action: Try, Load: inf}
	}
	if at.passed() {
		return Decision{Action: Accept, Best: at.valid}
	}
	first := firstRate(at.throughput())
	if first == 0 {
		cause, detail := at.spoilt()
		return Decision{Action: GiveUp, Cause: cause, Reason: "no valid inf run: " + detail}
	}
	return walk(p, known, first)
}

// walk goes down from the rate first.
func walk(p record.Policy, known map[record.Load]knowledge, first int) Decision {
	spoilt := 0
	for rate := first; ; rate-- {
		load := record.Load{Rate: record.Rate(rate), Requests: p.RateRequests}
		at := known[load]
		if at.undecided() {
			return Decision{Action: Try, Load: load}
		}
		if at.passed() {
			return Decision{Action: Accept, Best: at.valid}
		}
		if spoilt++; at.missed() {
			spoilt = 0
		}
		cause, detail := at.spoilt()
		switch {
		case spoilt == spoiltInARow:
			return Decision{
				Action: GiveUp, Cause: cause,
				Reason: fmt.Sprintf("no valid run at %d rates in a row, down to %d req/s: %s", spoilt, rate, detail),
			}
		case rate == 1 && spoilt > 0:
			return Decision{Action: GiveUp, Cause: cause, Reason: "no valid run at 1 req/s: " + detail}
		case rate == 1:
			return Decision{Action: GiveUp, Reason: fmt.Sprintf("P99 E2EL is %.2f ms even at 1 req/s, the limit is %s ms",
				at.valid.Metrics.E2EL.P99, strconv.FormatFloat(p.LimitMS, 'f', -1, 64))}
		}
	}
}

// firstRate is where a walk begins, or 0 where no throughput is known.
func firstRate(throughput float64) int {
	if !positive(throughput) {
		return 0
	}
	return int(min(printed(throughput), math.MaxInt32-1)) + 1
}
