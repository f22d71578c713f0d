package tpu

import (
	"strings"
	"time"

	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/jobs"
)

// word is the API's for the state of a resource.
func word(q *alpha.QueuedResource) string {
	if q.State == nil {
		return ""
	}
	return q.State.State
}

// state reduces a resource to what a decision needs, without the machine's own word. now decides one thing only: whether the machine
// was taken away because its time was over.
func state(q *alpha.QueuedResource, now time.Time) (state jobs.JobState, reason string) {
	switch word(q) {
	case "CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING":
		return jobs.Pending, ""
	case "ACTIVE":
		// The list may show the node as it was asked for, without a state.
		switch n := node(q); {
		case n != nil && n.State == "PREEMPTED":
			return jobs.Preempted, "the node was preempted"
		case n != nil && n.State == "TERMINATED":
			return jobs.Preempted, "the node was terminated"
		}
		return jobs.Running, ""
	case "FAILED":
		return jobs.NoLaunch, failure(q)
	case "SUSPENDING", "SUSPENDED":
		switch {
		case q.State.StateInitiator == "USER":
			return jobs.Cancelled, "suspended by a user"
		case timeIsOver(q, now):
			return jobs.TimedOut, "the resource's run duration is over"
		}
		return jobs.Preempted, "the service took the node away"
	case "DELETING":
		return jobs.Cancelled, ""
	}
	return jobs.Unknown, ""
}

// timeIsOver reports whether a resource's time must have run out. Where the API does not say when that is, it is taken to have where
// it may have, as long as nothing else takes such machines away.
func timeIsOver(q *alpha.QueuedResource, now time.Time) bool {
	if q.RunDuration == nil {
		return false
	}
	if end, err := time.Parse(time.RFC3339, q.RunDuration.TerminationTime); err == nil {
		return !end.After(now)
	}
	created, err := time.Parse(time.RFC3339, q.CreateTime)
	if err != nil || q.Spot != nil {
		return false
	}
	most, err := time.ParseDuration(q.RunDuration.MaxRunDuration)
	return err == nil && !created.Add(most).After(now)
}

// failure is why a request came to nothing. That it waited for too long the API says in words of its own, or in none.
func failure(q *alpha.QueuedResource) string {
	var a answer
	if d := q.State.FailedData; d != nil && d.Error != nil {
		a = ofStatus(d.Error)
	}
	text := strings.ToLower(a.message)
	expired := a.status == "DEADLINE_EXCEEDED" || strings.Contains(text, "expired") || strings.Contains(text, "valid until") || strings.Contains(text, "valid_until")
	switch p := q.QueueingPolicy; {
	case expired && p != nil && p.ValidUntilDuration != "":
		return "no room within site.valid_until (" + p.ValidUntilDuration + "): " + a.words()
	case a.status == "" && a.message == "":
		return "the API does not say why"
	}
	return a.words()
}
