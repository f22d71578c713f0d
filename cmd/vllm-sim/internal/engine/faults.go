package engine

import (
	"fmt"
	"strconv"
	"strings"
)

// Faults are failures on demand.
type Faults struct {
	CrashAtStart bool
	HangAtStart  bool
	CrashAfter   int     // finished requests; 0: never
	Drop         float64 // share of requests answered with 500
	OOMUnderLoad bool
}

// ParseFaults reads VLLM_SIM_FAIL, a comma-separated list of
//
//	crash-at-start    the engine dies before it is ready
//	hang-at-start     it never becomes ready
//	crash-after=N     it dies when N requests are finished
//	drop=SHARE        a share of the requests fails, 0 to 1
//	oom-under-load    the first step runs out of memory
func ParseFaults(text string) (Faults, error) {
	var f Faults
	if text == "" {
		return f, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		var err error
		switch name {
		case "crash-at-start":
			f.CrashAtStart = true
		case "hang-at-start":
			f.HangAtStart = true
		case "oom-under-load":
			f.OOMUnderLoad = true
		case "crash-after":
			f.CrashAfter, err = strconv.Atoi(value)
			if err == nil && f.CrashAfter < 1 {
				err = fmt.Errorf("%d is not positive", f.CrashAfter)
			}
		case "drop":
			f.Drop, err = strconv.ParseFloat(value, 64)
			if err == nil && !(f.Drop >= 0 && f.Drop <= 1) {
				err = fmt.Errorf("%v is not a share", f.Drop)
			}
		default:
			err = fmt.Errorf("no such fault")
		}
		if err != nil {
			return Faults{}, fmt.Errorf("VLLM_SIM_FAIL: %q: %w", word, err)
		}
	}
	return f, nil
}

// Drops decides for the n-th request, spread evenly: with a share of 0.25 it
// is every fourth one.
func (f Faults) Drops(n int) bool {
	return int(float64(n+1)*f.Drop) > int(float64(n)*f.Drop)
}
