package search

import (
	"fmt"
	"math"
	"strings"

	"vtune/internal/record"
)

// The probe's steps in hundredths: integers, since 0.98-0.01-0.01 in floating point is not 0.96.
const (
	highestPercent = 98
	lowestPercent  = 90
)

const (
	portTries   = 3 // somebody else took the port between choosing and binding it; each try has a new one
	failedTries = 2 // a crash or a hang may be chance once
)

// NextProbe is the next step of the search for the highest gpu-memory-utilization, 0.98 down to 0.90 in steps of 0.01, at
// which the server starts. Only memory leads to the next step, since nothing else is cured by asking for less. Flags that the
// server refuses end it at once: every start would.
//
// The script takes any failure for memory and so spends up to nine time-outs on a wrong flag. Kept from it: a start is proof
// enough (D12), but with the largest axis values, not the last of their lists.
func NextProbe(starts []record.Start) ProbeDecision {
	var message string
	for percent := highestPercent; percent >= lowestPercent; percent-- {
		u := float64(percent) / 100
		d := step(u, at(starts, percent))
		if d.Action != "" {
			return d
		}
		for _, s := range at(starts, percent) {
			if s.Cause == record.CauseOOM {
				message = s.Message
			}
		}
	}
	reason := fmt.Sprintf("no gpu-memory-utilization from %.2f down to %.2f fits", highestPercent/100.0, lowestPercent/100.0)
	return ProbeDecision{Action: GiveUp, Cause: record.CauseOOM, Reason: join(reason, message)}
}

// step decides on one value; no action means that it does not fit.
func step(u float64, starts []record.Start) ProbeDecision {
	var ports, failures int
	var last record.Start
	fits := true
	for _, s := range starts {
		switch {
		case s.OK:
			return ProbeDecision{Action: Accept, Utilization: u}
		case s.Cause == record.CauseFlags:
			return ProbeDecision{Action: GiveUp, Cause: s.Cause, Reason: join("", s.Message)}
		case s.Cause == record.CauseOOM:
			fits = false
		case s.Cause == record.CausePort:
			ports, last = ports+1, s
		default:
			failures, last = failures+1, s
		}
	}
	switch {
	case !fits:
		return ProbeDecision{}
	case ports >= portTries || failures >= failedTries:
		return ProbeDecision{Action: GiveUp, Cause: last.Cause, Reason: join("", last.Message)}
	default:
		return ProbeDecision{Action: Try, Utilization: u}
	}
}

func at(starts []record.Start, percent int) []record.Start {
	var found []record.Start
	for _, s := range starts {
		if int(math.Round(s.Utilization*100)) == percent {
			found = append(found, s)
		}
	}
	return found
}

func join(parts ...string) string {
	var said []string
	for _, p := range parts {
		if p != "" {
			said = append(said, p)
		}
	}
	return strings.Join(said, ": ")
}
