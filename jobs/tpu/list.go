package tpu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// Gone is the word for a resource that the API does not list any more, where only the machine's own word is left.
const Gone = "GONE"

// List implements jobs.Scheduler. What the API has forgotten is listed by the records: a resource that was deleted as it stood then,
// one whose machine has said that it is done by that.
func (s *Scheduler) List(ctx context.Context, run string) ([]jobs.Status, error) {
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("list the jobs of %s: %w", run, err)
	}
	var all []jobs.Status
	listed := map[string]bool{}
	err := s.each(ctx, func(q *alpha.QueuedResource) error {
		id := path.Base(q.Name)
		name := s.nameOf(q, id, run)
		if name == "" {
			return nil
		}
		listed[id] = true
		st, err := s.status(q, id, name, strings.TrimPrefix(name, record.NamePrefix(run)))
		all = append(all, st)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the jobs of %s: %w", run, err)
	}
	var forgotten []string
	for id, unit := range s.units {
		if !listed[id] && ResourceID(record.JobName(run, unit)) == id {
			forgotten = append(forgotten, unit)
		}
	}
	slices.Sort(forgotten)
	for _, unit := range forgotten {
		st, known, err := s.recorded(run, unit)
		if err != nil {
			return nil, fmt.Errorf("list the jobs of %s: %w", run, err)
		}
		if known {
			all = append(all, st)
		}
	}
	return all, nil
}

// each calls f for every queued resource of the zone. A list that some location is missing from is none: whoever is not on it would
// count as gone.
func (s *Scheduler) each(ctx context.Context, f func(*alpha.QueuedResource) error) error {
	var own error
	err := s.api.list(ctx, s.parent(), func(page *alpha.ListQueuedResourcesResponse) error {
		if len(page.Unreachable) > 0 {
			own = fmt.Errorf("%w: the list lacks %s", jobs.ErrUnavailable, strings.Join(page.Unreachable, ", "))
			return own
		}
		for _, q := range page.QueuedResources {
			if own = f(q); own != nil {
				return own
			}
		}
		return nil
	})
	if own != nil || err == nil {
		return own
	}
	return unreached(err)
}

// nameOf is the job's name of a resource that is the run's, else "". It is in the metadata of the node, or, should the API not tell
// that in a list, known by the records here.
func (s *Scheduler) nameOf(q *alpha.QueuedResource, id, run string) string {
	n := node(q)
	if n == nil {
		return ""
	}
	name := n.Metadata[metaName]
	if ResourceID(name) != id {
		if name = record.JobName(run, s.units[id]); ResourceID(name) != id {
			return ""
		}
	}
	if of := n.Labels[labelRun]; !strings.HasPrefix(name, record.NamePrefix(run)) || of != "" && of != labelValue(run) {
		return ""
	}
	return name
}

// scan finds the units that may have been asked for. They only become more, so each is looked at once.
func (s *Scheduler) scan() error {
	entries, err := os.ReadDir(s.Dir.Jobs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		unit := e.Name()
		if s.seen[unit] {
			continue
		}
		if _, err := os.Stat(s.Dir.RequestID(unit)); err != nil {
			continue // not asked for, or not yet
		}
		q := new(alpha.QueuedResource)
		if err := fsx.ReadJSON(s.Dir.Request(unit), q); errors.Is(err, fs.ErrNotExist) {
			continue // a mirror brings files in any order
		} else if err != nil {
			return err
		}
		s.seen[unit] = true
		if n := node(q); n != nil {
			s.units[q.Tpu.NodeSpec[0].NodeId] = unit
		}
	}
	return nil
}

// status of a resource in the list.
func (s *Scheduler) status(q *alpha.QueuedResource, id, name, unit string) (jobs.Status, error) {
	st := jobs.Status{Handle: jobs.Handle{ID: id, Cluster: s.place()}, Name: name, Task: -1, Word: word(q)}
	st.State, st.Reason = state(q, s.Now())
	switch st.State {
	case jobs.Pending:
		return st, nil
	case jobs.NoLaunch:
	default:
		st.Node = q.Tpu.NodeSpec[0].NodeId
	}
	if st.Word == "DELETING" {
		d, deleted, err := s.deletion(unit)
		if err != nil {
			return st, err
		}
		if deleted {
			st.State, st.Reason, st.ExitCode = jobs.JobState(d.State), d.Reason, d.ExitCode
			return st, nil
		}
	}
	return s.withDone(st, unit)
}

// withDone is st as the machine's own word makes it, if there is one: it had done its work, whatever became of it then.
func (s *Scheduler) withDone(st jobs.Status, unit string) (jobs.Status, error) {
	var d record.Done
	err := fsx.ReadJSON(s.Dir.Done(unit), &d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return st, nil
	case err != nil:
		return st, err
	case d.ExitCode == "0:0":
		st.State = jobs.Completed
	default:
		st.State = jobs.Failed
	}
	st.ExitCode, st.Reason = d.ExitCode, d.Message
	return st, nil
}

// recorded is the status of a unit whose resource the API does not list, if there is a record of its end.
func (s *Scheduler) recorded(run, unit string) (st jobs.Status, known bool, err error) {
	name := record.JobName(run, unit)
	id := ResourceID(name)
	st = jobs.Status{Handle: jobs.Handle{ID: id, Cluster: s.place()}, Name: name, Task: -1, Word: Gone, Node: id}
	d, deleted, err := s.deletion(unit)
	if err != nil {
		return st, false, err
	}
	if deleted {
		st.State, st.Word, st.Reason, st.ExitCode = jobs.JobState(d.State), d.Word, d.Reason, d.ExitCode
		return st, true, nil
	}
	st, err = s.withDone(st, unit)
	return st, st.State != "", err
}

func (s *Scheduler) deletion(unit string) (d record.Deletion, deleted bool, err error) {
	err = fsx.ReadJSON(s.Dir.Deleted(unit), &d)
	if errors.Is(err, fs.ErrNotExist) {
		return d, false, nil
	}
	return d, err == nil, err
}

// Orphan is a resource that a run made, wherever its records are.
type Orphan struct {
	jobs.Handle
	Run     string // as its label has it
	Name    string // of the job, where the API tells it
	Word    string // the API's state
	Created time.Time
}

// Orphans are the resources in the site's zone that carry the run's label, or, where they have no label, that are one of its jobs by
// name. An empty run stands for any that the label names. That an id begins as the run's do is not enough: so may those of a run whose
// id goes on where this one's ends, and what is listed here is going to be deleted.
func (s *Scheduler) Orphans(ctx context.Context, run string) ([]Orphan, error) {
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("look for queued resources: %w", err)
	}
	var all []Orphan
	err := s.each(ctx, func(q *alpha.QueuedResource) error {
		n, id := node(q), path.Base(q.Name)
		if n == nil {
			return nil
		}
		of := n.Labels[labelRun]
		switch {
		case of == "" && (run == "" || s.nameOf(q, id, run) == ""), of != "" && run != "" && of != labelValue(run):
			return nil
		}
		created, err := time.Parse(time.RFC3339, q.CreateTime)
		if err != nil {
			created = time.Time{} // it says nothing that a deletion depends on
		}
		all = append(all, Orphan{
			Handle: jobs.Handle{ID: id, Cluster: s.place()}, Run: of, Name: n.Metadata[metaName], Word: word(q), Created: created,
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for queued resources: %w", err)
	}
	return all, nil
}
