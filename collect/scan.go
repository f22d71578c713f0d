// Package collect watches a run's directory: it scans the records, derives the state (pure), decides what follows (pure), and
// has that done through the functions its caller hands it. It renders no script and talks to no scheduler by itself; what it
// writes are the run's answers: state.json, result.txt, result.json, the script's log names.
package collect

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"vtune/collect/chain"
	"vtune/collect/fleet"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Snapshot is everything the records of a run say at one moment.
type Snapshot struct {
	Run       record.Run
	Plan      record.Plan
	Cancelled bool
	Units     []UnitRecord // the plan's, in its order, then follow-ups by name
	Jobs      []JobRecord  // of all units, in unit order
	Repeats   fleet.Repeats
	Links     []chain.Link // of the chain that collects without a person, by number; they are in neither of the above
}

// UnitRecord is what is known of a unit's submission.
type UnitRecord struct {
	record.Unit
	Planned   bool              // part of plan.json: submitted by the submitter, not decided by a collector
	Submitted *record.Submitted // nil: not acknowledged
}

// JobRecord is what is known of one job.
type JobRecord struct {
	record.Job
	Unit         string
	Rider        bool            // its work is done inside the unit's first job, whose scheduler id and fate it shares
	Task         int             // index in the unit's array, -1 for a single job
	SchedulerID  string          // empty: not submitted
	SubmittedAt  time.Time       // of its unit
	Claim        *record.Attempt // the attempt's directory was claimed: it started
	Health       *record.Health  // of its node; nil: nothing was learned
	Observations []record.Observation
	Result       *record.Result
	Ended        *record.Ended
	ServerLog    string // relative to the run; empty: no server was started
}

// Over reports whether the job can add nothing more.
func (j JobRecord) Over() bool { return j.Result != nil || j.Ended != nil }

// Scanner reads a run directory again and again. Records of attempts that are over cannot change, so they are read once.
type Scanner struct {
	Dir  record.Dir
	over map[string]JobRecord
}

// Scan reads the directory. A record that does not parse is treated as not there yet: its writer publishes it whole, so the
// reader is seeing a stale or torn view and will see better the next time.
func (s *Scanner) Scan() (Snapshot, error) {
	var snap Snapshot
	if err := fsx.ReadJSON(s.Dir.Run(), &snap.Run); err != nil {
		return snap, err
	}
	if err := fsx.ReadJSON(s.Dir.Plan(), &snap.Plan); err != nil {
		return snap, err
	}
	_, err := os.Stat(s.Dir.Cancelled())
	snap.Cancelled = err == nil
	snap.Repeats = fleet.Read(s.Dir)
	if s.over == nil {
		s.over = map[string]JobRecord{}
	}
	if snap.Units, snap.Links, err = s.units(snap.Plan); err != nil {
		return snap, err
	}
	for _, u := range snap.Units {
		carrier := len(snap.Jobs)
		for i, j := range u.Jobs {
			snap.Jobs = append(snap.Jobs, s.job(u, i, j))
		}
		for _, j := range u.Riders {
			r := s.job(u, 0, j)
			r.Rider = true
			if r.Claim != nil && r.ServerLog == "" {
				r.ServerLog = lastServer(snap.Jobs[carrier].Result)
			}
			snap.Jobs = append(snap.Jobs, r)
		}
	}
	return snap, nil
}

// lastServer is the log of the server that a job left up.
func lastServer(r *record.Result) string {
	if r == nil || len(r.Starts) == 0 || !r.Starts[len(r.Starts)-1].OK {
		return ""
	}
	return lastLog(r)
}

func lastLog(r *record.Result) string {
	if r == nil || len(r.Starts) == 0 {
		return ""
	}
	return r.Starts[len(r.Starts)-1].LogFile
}

func (s *Scanner) units(p record.Plan) (units []UnitRecord, links []chain.Link, err error) {
	planned := map[string]bool{}
	add := func(u record.Unit, isPlanned bool) {
		r := UnitRecord{Unit: u, Planned: isPlanned}
		var out record.Submitted
		if fsx.ReadJSON(s.Dir.Submitted(u.ID), &out) == nil {
			r.Submitted = &out
		}
		units = append(units, r)
	}
	for _, u := range p.Units {
		planned[u.ID] = true
		add(u, true)
		for _, j := range u.Jobs {
			planned[j.ID] = true
		}
		for _, j := range u.Riders {
			planned[j.ID] = true
		}
	}
	entries, err := os.ReadDir(s.Dir.Jobs())
	if err != nil {
		return nil, nil, fmt.Errorf("scan the run: %w", err)
	}
	for _, e := range entries {
		var in record.Intent
		if planned[e.Name()] || fsx.ReadJSON(s.Dir.Intent(e.Name()), &in) != nil || len(in.Unit.Jobs) == 0 {
			continue
		}
		if in.Unit.Jobs[0].Kind == record.KindCollect {
			links = append(links, chain.Read(s.Dir, in.Unit))
			continue
		}
		add(in.Unit, false)
	}
	chain.Sort(links)
	return units, links, nil
}

func (s *Scanner) job(u UnitRecord, task int, j record.Job) JobRecord {
	if r, ok := s.over[j.ID]; ok {
		return r
	}
	r := JobRecord{Job: j, Unit: u.ID, Task: -1}
	if u.Submitted != nil {
		r.SchedulerID, r.SubmittedAt = u.Submitted.ID, u.Submitted.At
	}
	if u.Array() {
		r.Task = task
		if r.SchedulerID != "" {
			r.SchedulerID += fmt.Sprintf("_%d", task)
		}
	}
	return s.attempt(s.Dir.Attempt(j.Kind, j.Cell, j.Attempt), r)
}

func (s *Scanner) attempt(dir record.AttemptDir, r JobRecord) JobRecord {
	var end record.Ended
	if fsx.ReadJSON(s.Dir.Ended(r.ID), &end) == nil {
		r.Ended = &end
	}
	// The result is published after the last observation, and still a reader may see it first: on a shared file system each directory
	// is as old as the reader's own cache of it. It is not there before all that it counts is.
	var res record.Result
	if fsx.ReadJSON(dir.Result(), &res) == nil && res.Complete {
		r.Result = &res
	}
	var a record.Attempt
	if fsx.ReadJSON(dir.Attempt(), &a) == nil {
		r.Claim = &a
	}
	var h record.Health
	if r.Claim != nil && fsx.ReadJSON(dir.Health(), &h) == nil {
		r.Health = &h
	}
	r.Observations = readObservations(dir)
	if r.Result != nil && len(r.Observations) < r.Result.Observations {
		r.Result = nil
	}
	// A log may be where its job ran and nowhere else: a mirror of a bucket has it when somebody wishes to read it.
	log := s.Dir.Rel(dir.ServerLog())
	if _, err := os.Stat(dir.ServerLog()); err == nil || lastLog(r.Result) == log {
		r.ServerLog = log
	}
	if settled(r) {
		s.over[r.ID] = r
	}
	return r
}

// settled reports whether nothing about the job can change any more. A job without a result is read again even after its end
// was noted: on a shared file system its result may become visible late.
// So is one of which the claim, or the log of the server that it started, cannot be seen yet.
func settled(j JobRecord) bool {
	return j.Result != nil && (j.Ended != nil || j.Result.Cause != record.CauseStopped) &&
		j.Claim != nil && (j.ServerLog != "" || len(j.Result.Starts) == 0)
}

// readObservations are those up to the first that cannot be seen yet. What was observed later may be seen sooner, and without what led to
// it, it means something else.
func readObservations(dir record.AttemptDir) []record.Observation {
	entries, err := os.ReadDir(dir.Observations())
	if err != nil {
		return nil
	}
	var obs []record.Observation
	for _, e := range entries {
		var o record.Observation
		if !fsx.Temporary(e.Name()) && fsx.ReadJSON(filepath.Join(dir.Observations(), e.Name()), &o) == nil && o.Complete {
			o.Histograms = nil // most of a record's size, and nothing is decided by them: they stay where they were written
			obs = append(obs, o)
		}
	}
	slices.SortFunc(obs, func(a, b record.Observation) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, o := range obs {
		if o.Seq != i+1 {
			return obs[:i]
		}
	}
	return obs
}
