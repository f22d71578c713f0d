package search

import (
	"cmp"
	"fmt"
	"math"

	"vtune/internal/record"
)

// The probe's values in hundredths: in floating point 0.98-0.01-0.01 is not 0.96.
const (
	highestPercent = 98
	lowestPercent  = 90
	lowestShared   = 50 // vtune: with less, somebody else holds the accelerator, and no number of it is worth having
)

const (
	portTries   = 3 // somebody else took the port between its choice and its use; each try has a new one
	failedTries = 2 // a crash or a hang may be chance once
)

// NextProbe is the next step of the search for the highest gpu-memory-utilization at which the server starts: from 0.98 down. Only
// memory leads to the next step, since nothing else is cured by asking for less of it. Flags that the server refuses end the
// search at once, since every start would end there; the script takes them for memory too, nine times.
//
// auto_tune goes down by 0.01 to 0.90, as the script does, and takes a start for proof enough (D12). vtune goes to the share that
// a failed start named as free, so that the second start is the last in the common case, and puts the server under load at once.
func NextProbe(p record.Policy, starts []record.Start) ProbeDecision {
	tried := map[int][]record.Start{}
	for _, s := range starts {
		percent := int(math.Round(s.Utilization * 100))
		tried[percent] = append(tried[percent], s)
	}
	lowest := lowestPercent
	if p.Method == Vtune {
		lowest = lowestShared
	}
	var d ProbeDecision
	for percent := highestPercent; percent >= lowest; {
		if d = value(percent, tried[percent]); d.Cause != record.CauseOOM {
			return d
		}
		next := percent - 1
		if free := named(tried[percent]); p.Method == Vtune && free > 0 {
			next = min(next, int(free*100))
		}
		percent = next
	}
	d.Reason = fmt.Sprintf("no gpu-memory-utilization from %.2f down to %.2f fits: %s",
		float64(highestPercent)/100, float64(lowest)/100, d.Reason)
	return d
}

// named is the share of free memory that a failed start named last; 0: none did.
func named(starts []record.Start) float64 {
	free := 0.0
	for _, s := range starts {
		if s.Free > 0 {
			free = s.Free
		}
	}
	return free
}

// value is what to do about one utilization on its own: to give up for memory means to go on with the next.
func value(percent int, starts []record.Start) ProbeDecision {
	utilization := float64(percent) / 100
	failed := map[record.Cause][]record.Start{}
	for _, s := range starts {
		if s.OK {
			return ProbeDecision{Action: Accept, Utilization: utilization}
		}
		kind := s.Cause
		if kind != record.CauseFlags && kind != record.CauseOOM && kind != record.CausePort {
			kind = record.CauseCrash
		}
		failed[kind] = append(failed[kind], s)
	}
	for _, bound := range []struct {
		kind  record.Cause
		tries int
	}{
		{record.CauseFlags, 1},
		{record.CauseOOM, 1},
		{record.CausePort, portTries},
		{record.CauseCrash, failedTries},
	} {
		if of := failed[bound.kind]; len(of) >= bound.tries {
			last := of[len(of)-1]
			cause := cmp.Or(last.Cause, record.CauseCrash)
			return ProbeDecision{Action: GiveUp, Cause: cause, Reason: cmp.Or(last.Message, string(cause))}
		}
	}
	return ProbeDecision{Action: Try, Utilization: utilization}
}
