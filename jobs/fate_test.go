package jobs

import (
	"testing"
	"time"

	"vtune/internal/record"
)

// How a job of a crew fares is the allocation's standing and the crew's word together.
func TestAJobOfACrewIsSeenByTheCrewsWordAndTheAllocations(t *testing.T) {
	now := time.Now()
	under := &record.Step{Begun: now}
	ended := func(exit string) *record.Step { return &record.Step{Begun: now, Ended: now, ExitCode: exit} }
	cut := &record.Step{Begun: now, Ended: now, ExitCode: "0:9", Cause: record.CauseRestart}
	running, pending := Fate{Word: "RUNNING"}, Fate{Word: "PENDING"}
	over := func(c record.Cause) Fate { return Fate{Over: true, Cause: c, Word: "OVER"} }
	for _, c := range []struct {
		name                    string
		allocation              Fate
		step                    *record.Step
		begun, claimed, stopped bool
		over                    bool
		cause                   record.Cause
		word                    string
	}{
		{name: "queues", allocation: pending, word: "PENDING"},
		{name: "waits for its turn", allocation: running, begun: true, word: Waiting},
		{name: "runs", allocation: running, step: under, begun: true, claimed: true, word: "RUNNING"},
		{name: "ended by itself", allocation: running, step: ended("0:0"), begun: true, claimed: true, over: true, word: StepOver},
		{name: "its agent was killed", allocation: running, step: ended("0:9"), begun: true, claimed: true, over: true, cause: record.CauseAgent, word: StepOver},
		{name: "its agent never began", allocation: running, step: ended("1:0"), begun: true, over: true, cause: record.CauseLaunch, word: StepOver},
		{name: "told to end, nobody knows why yet", allocation: running, step: ended("0:0"), begun: true, claimed: true, stopped: true, word: "RUNNING"},
		{name: "its machine was started again", allocation: running, step: cut, begun: true, claimed: true, over: true, cause: record.CauseRestart, word: StepOver},
		{name: "told to end by its machine, which was started again", allocation: running, step: cut, begun: true, claimed: true, stopped: true, over: true, cause: record.CauseRestart, word: StepOver},
		{name: "its machine was started again, and taken away", allocation: over(record.CausePreempted), step: cut, begun: true, claimed: true, over: true, cause: record.CausePreempted, word: "OVER"},
		{name: "unwanted", allocation: running, step: &record.Step{Ended: now, Cancelled: true}, begun: true, over: true, cause: record.CauseStopped, word: "CANCELLED"},
		{name: "unwanted, and cut off", allocation: running, step: &record.Step{Begun: now, Ended: now, Cancelled: true}, begun: true, claimed: true, stopped: true, over: true, cause: record.CauseStopped, word: "CANCELLED"},
		{name: "its node failed", allocation: over(record.CauseNode), step: under, begun: true, claimed: true, over: true, cause: record.CauseNode, word: "OVER"},
		{name: "its node failed, says its step 0", allocation: over(record.CauseNode), step: ended("0:0"), begun: true, claimed: true, over: true, cause: record.CauseNode, word: "OVER"},
		{name: "preempted", allocation: over(record.CausePreempted), step: ended("0:0"), begun: true, claimed: true, stopped: true, over: true, cause: record.CausePreempted, word: "OVER"},
		{name: "its turn never came", allocation: over(record.CauseNode), begun: true, over: true, cause: record.CauseUnbegun, word: Unbegun},
		{name: "its turn never came in an allocation that a person ended", allocation: over(record.CauseStopped), begun: true, over: true, cause: record.CauseStopped, word: "OVER"},
		{name: "its crew never began", allocation: over(record.CauseLaunch), over: true, cause: record.CauseLaunch, word: "OVER"},
	} {
		got := c.allocation.InCrew(c.step, c.begun, c.claimed, c.stopped)
		if got.Over != c.over || got.Cause != c.cause || got.Word != c.word {
			t.Errorf("%s: over %t for %q, %s; want %t for %q, %s", c.name, got.Over, got.Cause, got.Word, c.over, c.cause, c.word)
		}
	}
}
