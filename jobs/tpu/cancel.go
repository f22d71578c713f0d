package tpu

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// idForm is what may be deleted: one resource, and nothing that reads as a path or a pattern.
var idForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// deletions is how often one is asked for before it is left for later.
const deletions = 4

// Cancel implements jobs.Scheduler: it deletes the resources with their nodes. What one of them comes to is no reason not to delete the
// others. How each stood is written down first, because the API will not tell it any more.
func (s *Scheduler) Cancel(ctx context.Context, handles []jobs.Handle) error {
	if len(handles) == 0 {
		return nil
	}
	if err := s.scan(); err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	var problems []error
	for _, h := range handles {
		if err := s.remove(ctx, h); err != nil {
			problems = append(problems, fmt.Errorf("cancel %s: %w", h.ID, err))
		}
	}
	return errors.Join(problems...)
}

func (s *Scheduler) remove(ctx context.Context, h jobs.Handle) error {
	if !idForm.MatchString(h.ID) {
		return fmt.Errorf("%q is no id of a resource", h.ID)
	}
	parent := s.parent()
	if h.Cluster != "" && h.Cluster != s.place() {
		project, zone, ok := strings.Cut(h.Cluster, "/")
		if !ok || !projectForm.MatchString(project) || !zoneForm.MatchString(zone) {
			return fmt.Errorf("%q is no project/zone", h.Cluster)
		}
		parent = "projects/" + project + "/locations/" + zone
	}
	name := parent + "/queuedResources/" + h.ID
	for try := 1; ; try++ {
		later, err := s.try(ctx, name, h)
		if later == "" || err != nil {
			return err
		}
		if try == deletions {
			return fmt.Errorf("%w: not deleted yet; once it is accepted this command does it: %s", jobs.ErrUnavailable, later)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: not deleted yet: %s: %w", jobs.ErrUnavailable, later, ctx.Err())
		case <-time.After(s.pause): // the pause between two requests, not a wait for a condition
		}
	}
}

// try asks for a deletion once; later says why it was not accepted now.
func (s *Scheduler) try(ctx context.Context, name string, h jobs.Handle) (later string, err error) {
	q, err := s.api.get(ctx, name)
	if a, answered := read(err); answered && a.status == notFound {
		return "", nil
	}
	if err != nil {
		return "", unreached(err)
	}
	if word(q) == "DELETING" {
		return "", nil
	}
	if err := s.note(q, h); err != nil {
		return "", err
	}
	// While nodes are going, force would have them deleted a second time, which the API then does not come to an end with.
	force := word(q) != "SUSPENDING"
	// A new request id each time: under one that was used the API gives the old answer, also where that deletion failed later on.
	err = s.api.remove(ctx, name, uuid.NewString(), force)
	if err == nil {
		return "", nil
	}
	a, answered := read(err)
	switch {
	case answered && a.status == notFound:
		return "", nil
	case answered && (a.status == precondition || a.status == exists || a.http == 409):
		return word(q) + ", " + a.words(), nil
	}
	return "", unreached(err)
}

// note writes down how a unit's resource stands. An earlier note is of a deletion that was not accepted, or it would be going.
func (s *Scheduler) note(q *alpha.QueuedResource, h jobs.Handle) error {
	unit, ours := s.units[h.ID]
	if !ours || h.Cluster != "" && h.Cluster != s.place() {
		return nil // an orphan: its run's records are elsewhere
	}
	st, err := s.status(q, h.ID, "", unit)
	if err != nil {
		return err
	}
	if !st.State.Ended() {
		st.State = jobs.Cancelled
	}
	return fsx.PublishJSON(s.Dir.Deleted(unit), record.Deletion{
		Schema: record.Schema, ID: h.ID, State: string(st.State), Word: st.Word, Reason: st.Reason, ExitCode: st.ExitCode, At: s.Now(),
	})
}
