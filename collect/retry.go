package collect

import (
	"fmt"

	"vtune/internal/record"
)

// Attempts that end for the same kind of reason are bounded; those that made progress are not held against the work.
const (
	maxServerFailures = 2  // the server crashed or hung: once may be chance, twice is an answer
	maxInfraFailures  = 4  // node, launch, lost: somebody else's fault, but not for ever
	maxAttempts       = 50 // of any kind; a site whose time limit never suffices for one load ends here
)

// policy is what follows when an attempt ended for a cause.
type policy int

const (
	final     policy = iota // another attempt would end the same way
	again                   // bounded by maxServerFailures
	elsewhere               // bounded by maxInfraFailures
	goOn                    // planned or progress: goes on from the observations
)

func policyOf(c record.Cause) policy {
	switch c {
	case record.CauseRateLater:
		return goOn
	case record.CauseCrash, record.CauseTimeout, record.CauseClient, record.CausePort, record.CauseAgent, record.CauseHostOOM:
		return again
	case record.CauseTimeLimit, record.CauseLost, record.CauseNode, record.CauseLaunch, record.CauseStopped, record.CauseRestart,
		record.CausePreempted:
		return elsewhere
	case record.CauseProbe:
		return goOn // never started, because the first probe attempt was lost; the probe's own phase decides whether it may now
	default:
		return final
	}
}

// after says where a unit of work stands when its last attempt is over.
func after(jobs []JobRecord) (record.WorkPhase, record.Cause, string) {
	last := jobs[len(jobs)-1]
	cause, message := causeOf(last)
	if r := last.Result; r != nil {
		switch r.Outcome {
		case record.OutcomeDone:
			return record.WorkDone, record.CauseNone, ""
		case record.OutcomeSkipped:
			return record.WorkSkipped, cause, message
		}
	}
	if last.Ended != nil && last.Ended.Cause == record.CauseStopped {
		return record.WorkFailed, record.CauseStopped, "cancelled at the scheduler: " + last.Ended.State
	}
	failures := map[policy]int{}
	for _, j := range jobs {
		if c, _ := causeOf(j); len(j.Observations) == 0 {
			failures[policyOf(c)]++
		}
	}
	p := policyOf(cause)
	switch {
	case p == final:
		return record.WorkFailed, cause, message
	case p == again && failures[again] >= maxServerFailures, p == elsewhere && failures[elsewhere] >= maxInfraFailures,
		len(jobs) >= maxAttempts:
		return record.WorkFailed, cause, fmt.Sprintf("%s (after %d attempts)", message, len(jobs))
	}
	return record.WorkFollowUp, cause, message
}

// causeOf is why an attempt ended. The agent's own result goes before the scheduler's word, except that only the scheduler
// knows why it told the agent to stop.
func causeOf(j JobRecord) (record.Cause, string) {
	if r := j.Result; r != nil && (r.Cause != record.CauseStopped || j.Ended == nil) {
		return r.Cause, r.Message
	}
	if e := j.Ended; e != nil {
		message := e.State
		if e.Reason != "" {
			message += ": " + e.Reason
		}
		return e.Cause, message
	}
	return record.CauseNone, ""
}
