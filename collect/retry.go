package collect

import (
	"fmt"
	"slices"

	"vtune/internal/record"
)

// policy is what follows when an attempt ended for a cause.
type policy int

const (
	final     policy = iota // another attempt would end the same way
	again                   // as it was
	elsewhere               // as it was, but not on that node
	goOn                    // planned or progress: goes on from the observations, held against nobody
)

// budget is how many attempts may end for causes of one family without having observed anything. An attempt that made progress is
// not held against the work.
type budget struct {
	family string
	most   int
}

var (
	ofServer     = budget{"the server's own", 2} // once may be chance, twice is an answer
	ofSite       = budget{"the cluster's", 4}    // somebody else's fault, but not for ever
	ofPreemption = budget{"preemptions", 10}     // on a partition that lends its nodes they are the rule
)

// maxAttempts of any kind: a site whose time limit never suffices for one load ends here.
const maxAttempts = 50

// rule is the whole policy: what follows from each cause, and how often.
func rule(c record.Cause) (policy, budget) {
	switch c {
	case record.CauseCrash, record.CauseTimeout, record.CauseClient, record.CausePort, record.CauseAgent, record.CauseHostOOM:
		return again, ofServer
	case record.CauseTimeLimit, record.CauseLost, record.CauseStopped:
		return again, ofSite
	case record.CausePreempted, record.CauseRestart: // nothing is wrong with the node
		return again, ofPreemption
	case record.CauseNode, record.CauseLaunch:
		return elsewhere, ofSite
	case record.CauseRateLater, record.CauseUnbegun:
		return goOn, budget{}
	case record.CauseProbe:
		return goOn, budget{} // never started, because the first probe attempt was lost; the probe's own phase decides whether it may now
	}
	return final, budget{}
}

// after puts a unit of work where it stands when its last attempt is over.
func after(w *record.WorkState, jobs []JobRecord) {
	last := jobs[len(jobs)-1]
	cause, message := causeOf(last)
	w.Phase, w.Cause, w.Message = record.WorkFailed, cause, message
	if r := last.Result; r != nil {
		switch r.Outcome {
		case record.OutcomeDone:
			w.Phase, w.Cause, w.Message = record.WorkDone, record.CauseNone, ""
			return
		case record.OutcomeSkipped:
			w.Phase = record.WorkSkipped
			return
		}
	}
	if last.Ended != nil && last.Ended.Cause == record.CauseStopped {
		w.Cause, w.Message = record.CauseStopped, "cancelled at the scheduler: "+last.Ended.State
		return
	}
	p, b := rule(cause)
	if p == final {
		return
	}
	if b.most > 0 {
		w.Failures, w.MostFailures = fruitless(jobs, b), b.most
	}
	if p != goOn && w.Failures >= b.most || len(jobs) >= maxAttempts {
		w.Message = fmt.Sprintf("%s (after %d attempts)", message, len(jobs))
		return
	}
	w.Phase = record.WorkFollowUp
}

// fruitless are the attempts that ended for a cause of the budget's family and had observed nothing.
func fruitless(jobs []JobRecord, b budget) (n int) {
	for _, j := range jobs {
		cause, _ := causeOf(j)
		if _, of := rule(cause); of == b && len(j.Observations) == 0 {
			n++
		}
	}
	return n
}

// avoid are the nodes that attempts of the run had bad luck with: what failed under one cell will fail under the next. And those that
// cells are repeated for.
func avoid(s Snapshot) []string {
	var nodes []string
	for _, j := range s.Jobs {
		cause, _ := causeOf(j)
		if p, _ := rule(cause); p != elsewhere || j.Ended == nil {
			continue
		}
		node := j.Ended.Node
		if node == "" && j.Claim != nil {
			node = j.Claim.Node
		}
		if node != "" && !slices.Contains(nodes, node) {
			nodes = append(nodes, node)
		}
	}
	for _, r := range s.Repeats {
		nodes = append(nodes, r.Avoid...)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
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
