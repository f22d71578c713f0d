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
	Again  bool // the site put it back into the queue by itself
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
	var ends []ended
	for _, j := range s.Jobs {
		if j.SchedulerID == "" || j.Ended != nil || j.Result != nil && j.Result.Cause != record.CauseStopped {
			continue
		}
		e := sight(j, byJob)
		if e == nil {
			continue
		}
		sg := sighting{c.cfg.Now(), e.seen.Word}
		if b, ok := before[j.ID]; ok && b.Word == e.seen.Word {
			sg.Since = b.Since
		}
		if !e.atOnce && c.cfg.Now().Sub(sg.Since) < c.cfg.Grace {
			now[j.ID] = sg
			continue
		}
		ends = append(ends, *e)
	}
	if err := c.cancelFirst(ctx, ends); err != nil {
		return 0, err
	}
	for _, e := range ends {
		if err := c.note(e.job, e.seen); err != nil {
			return noted, err
		}
		noted++
	}
	if len(now)+len(before) > 0 {
		return noted, fsx.PublishJSON(c.sightings(), now)
	}
	return noted, nil
}

// ended is a job that will publish no result any more.
type ended struct {
	job    JobRecord
	seen   Seen
	cancel bool // the scheduler still has it, for nothing
	atOnce bool // there is nothing to wait for
}

// sight is what the scheduler's word means for a job that owes a result; nil: it lives.
func sight(j JobRecord, byJob map[string]Seen) *ended {
	v, listed := byJob[j.ID]
	e := &ended{job: j}
	switch {
	case !listed:
		v = Seen{Cause: record.CauseLost, Word: "not listed", Reason: "the scheduler does not know the job and it left no result"}
	case v.Stuck:
		e.cancel, e.atOnce = true, true
		if v.Cause == record.CauseNone || v.Cause == record.CauseProbe {
			v.Cause, v.Reason = record.CauseProbe, "what it waited for failed, so it could never start ("+v.Reason+")"
		}
	case v.Again && j.Claim != nil:
		// --no-requeue was asked for, and the site does it all the same. The attempt has begun and is over; a second execution of it
		// would only find that out.
		e.cancel, e.atOnce = !v.Over, true
		v.Cause, v.Reason = record.CauseRestart, "the site put the job back into the queue"
	case !v.Over:
		return nil
	default:
		e.atOnce = j.Result != nil
	}
	if never := j.Rider && j.Claim == nil; never && (v.Cause == record.CauseAgent || v.Cause == record.CauseNone) {
		// Its carrier's exit code is not about it.
		v.Cause, v.Reason = record.CauseProbe, "the job that was to go on with it ended without it"
	}
	e.seen = v
	return e
}

// cancelFirst takes jobs out of the queue before their end is noted: what is noted is never looked at again.
func (c *Collector) cancelFirst(ctx context.Context, ends []ended) error {
	var ids []string
	for _, e := range ends {
		if e.cancel {
			ids = append(ids, e.job.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := c.cfg.Cancel(ctx, ids); err != nil {
		return fmt.Errorf("cancel %d jobs that can never do their work: %w", len(ids), err)
	}
	return nil
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
