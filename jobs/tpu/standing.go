package tpu

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"

	alpha "google.golang.org/api/tpu/v2alpha1"
)

// Standing is how a queued resource of the zone stands, whoever asked for it.
type Standing struct {
	ID, Word, Reason string // Word is the API's state
}

// Standing are all queued resources in the site's zone. Unlike List it needs no records; Explain knows what its error means.
func (s *Scheduler) Standing(ctx context.Context) (all []Standing, err error) {
	err = s.api.list(ctx, s.parent(), func(page *alpha.ListQueuedResourcesResponse) error {
		for _, q := range page.QueuedResources {
			_, reason := state(q, s.Now())
			all = append(all, Standing{path.Base(q.Name), word(q), reason})
		}
		return nil
	})
	return all, err
}

// Explain is an error of the API's client in words, and what may be done about it.
func Explain(err error) (what, remedy string) {
	const later = "ask again later, and see https://status.cloud.google.com"
	a, answered := read(err)
	if !answered {
		var u *url.Error
		if errors.As(err, &u) { // its URL says nothing to a person
			err = u.Err
		}
		return err.Error(), "see that tpu.googleapis.com can be reached from here (HTTPS_PROXY), or ask again later"
	}
	key := cmp.Or(a.key(), "see site.project and site.zone")
	switch {
	case a.quota():
		return a.words(), a.remedy()
	case a.status == noLogin:
		return a.words(), "log in with gcloud auth application-default login"
	case a.passing():
		return a.words(), later
	case a.http == http.StatusForbidden && !a.reason(disabled):
		return a.words(), "give the account roles/tpu.admin on site.project; or " + key
	}
	return a.words(), key
}
