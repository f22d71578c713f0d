package collect

import (
	"context"
	"fmt"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Seen is what the scheduler says of one job.
type Seen struct {
	Job    string // the run's job id
	Over   bool
	Stuck  bool // pending for ever: a dependency that cannot be satisfied, or held after a failed launch
	Cause  record.Cause
	Word   string // the scheduler's own word for the state
	Reason string
	Exit   string
	Node   string
}

// sighting is since when a job that owes a result has been over or missing at the scheduler. The time is the reader's own.
type sighting struct {
	Since time.Time `json:"since"`
	Word  string    `json:"word"`
}

// look asks the scheduler once about the whole run and notes the end of jobs that will not publish a result any more. A job
// whose end was just seen may still have its result on the way through a shared file system, and a job that the scheduler does
// not list may be in its hands all the same; so both are given cfg.Grace. A failed query says nothing about any job.
func (c *Collector) look(ctx context.Context, s Snapshot) (noted int, err error) {
	seen, err := c.cfg.Look(ctx)
	if err != nil {
		return 0, fmt.Errorf("ask the scheduler: %w", err)
	}
	byJob := make(map[string]Seen, len(seen))
	for _, v := range seen {
		byJob[v.Job] = v
	}
	before := map[string]sighting{}
	_ = fsx.ReadJSON(c.sightings(), &before) // absent or torn: the grace begins anew
	now := map[string]sighting{}
	for _, j := range s.Jobs {
		if j.SchedulerID == "" || j.Ended != nil || j.Result != nil && j.Result.Cause != record.CauseStopped {
			continue
		}
		v, listed := byJob[j.ID]
		switch {
		case listed && v.Stuck:
			if err := c.cfg.Cancel(ctx, []string{j.ID}); err != nil {
				return noted, fmt.Errorf("cancel %s, which can never start: %w", j.ID, err)
			}
			if v.Cause == record.CauseNone {
				v.Cause = record.CauseProbe
			}
		case listed && !v.Over:
			continue
		case !listed:
			v = Seen{Cause: record.CauseLost, Word: "not listed", Reason: "the scheduler does not know the job and it left no result"}
		}
		sg := sighting{c.cfg.Now(), v.Word}
		if b, ok := before[j.ID]; ok && b.Word == v.Word {
			sg.Since = b.Since
		}
		if never := j.Rider && j.Claim == nil; never && (v.Cause == record.CauseAgent || v.Cause == record.CauseNone) {
			// Its carrier's exit code is not about it.
			v.Cause, v.Reason = record.CauseProbe, "the job that was to go on with it ended without it"
		}
		stopped := j.Result != nil && listed
		if !v.Stuck && !stopped && c.cfg.Now().Sub(sg.Since) < c.cfg.Grace {
			now[j.ID] = sg
			continue
		}
		if err := c.note(j, v); err != nil {
			return noted, err
		}
		noted++
	}
	if len(now)+len(before) > 0 {
		return noted, fsx.PublishJSON(c.sightings(), now)
	}
	return noted, nil
}

func (c *Collector) note(j JobRecord, v Seen) error {
	cause := v.Cause
	if cause == record.CauseNone {
		cause, v.Reason = record.CauseLost, "the job ended and left no result"
	}
	return fsx.PublishJSON(c.cfg.Dir.Ended(j.ID), record.Ended{
		Schema: record.Schema, Job: j.ID, Cause: cause, State: v.Word, Reason: v.Reason, ExitCode: v.Exit, Node: v.Node, At: c.cfg.Now(),
	})
}
