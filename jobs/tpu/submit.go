package tpu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/jobs"
)

// Submit implements jobs.Scheduler. The operation that creates the resource is not waited for: how it goes on is in the listing.
//
// A later call for the same job sends the same request under the same request id, even where the site or the script have changed since,
// until it is refused for good. So a call whose answer was lost costs no second resource; nor would it otherwise, because the
// resource's id is the job's.
func (s *Scheduler) Submit(ctx context.Context, r jobs.Request) (jobs.Handle, error) {
	h, err := s.submit(ctx, r)
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("submit %s: %w", r.Name, err)
	}
	return h, nil
}

func (s *Scheduler) submit(ctx context.Context, r jobs.Request) (jobs.Handle, error) {
	o, err := s.order(r)
	if err != nil {
		return jobs.Handle{}, fmt.Errorf("%w: %w", jobs.ErrRefused, err)
	}
	requestID, o, err := s.persist(o)
	if err != nil {
		return jobs.Handle{}, err
	}
	err = s.create(ctx, o, requestID)
	if errors.Is(err, jobs.ErrRefused) {
		// Nothing was made, and what is asked for next may be another request.
		if err := os.Remove(s.Dir.RequestID(o.unit)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return jobs.Handle{}, err
		}
	}
	if err != nil {
		return jobs.Handle{}, err
	}
	return jobs.Handle{ID: o.id, Cluster: s.place()}, nil
}

func (s *Scheduler) create(ctx context.Context, o order, requestID string) error {
	watched, sent := watch(ctx)
	op, err := s.api.create(watched, s.parent(), o.id, requestID, o.body)
	a, answered := read(err)
	switch {
	case err == nil && op.Error == nil:
		return nil
	case err == nil:
		a = ofStatus(op.Error)
	case !answered && sent.Load():
		return fmt.Errorf("%w: %w", jobs.ErrAmbiguous, err)
	case !answered:
		return fmt.Errorf("%w: %w", jobs.ErrUnavailable, err)
	}
	switch {
	case a.status == exists:
		return s.settle(ctx, o)
	case a.quota():
		return a.as(jobs.ErrBackpressure)
	case a.status == noLogin:
		return a.as(jobs.ErrUnavailable)
	case a.passing():
		return a.as(jobs.ErrAmbiguous)
	}
	return a.as(jobs.ErrRefused)
}

// settle finds out whose the resource is that has the id already: this job's, from a try whose answer was lost, or another's.
func (s *Scheduler) settle(ctx context.Context, o order) error {
	q, err := s.api.get(ctx, s.path(o.id))
	if err != nil {
		return fmt.Errorf("%w: there is a resource %s, and a look at it failed: %w", jobs.ErrAmbiguous, o.id, err)
	}
	if want, got := specHash(o.body), specHash(q); got != want {
		return fmt.Errorf("%w: there is a resource %s already, and it is not this job's: %s, this job's has %s %s (delete it if it is not needed)",
			jobs.ErrRefused, o.id, described(q, got), labelSpec, want)
	}
	return nil
}

// described tells a person whose resource this is.
func described(q *alpha.QueuedResource, hash string) string {
	run := ""
	if n := node(q); n != nil {
		run = n.Labels[labelRun]
	}
	if hash == "" {
		return "it was made " + q.CreateTime + " and carries no " + labelSpec
	}
	return "it was made " + q.CreateTime + " by run " + run + " with " + labelSpec + " " + hash
}

// path is a resource's name in the API.
func (s *Scheduler) path(id string) string { return s.parent() + "/queuedResources/" + id }
