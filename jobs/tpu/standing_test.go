package tpu

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	alpha "google.golang.org/api/tpu/v2alpha1"
)

func TestAllResourcesOfTheZoneAreToldPageByPageWithWhy(t *testing.T) {
	z := &zone{resources: []*alpha.QueuedResource{
		{Name: "projects/p/locations/z/queuedResources/a", State: &alpha.QueuedResourceState{State: "ACTIVE"}},
		{Name: "projects/p/locations/z/queuedResources/b", State: &alpha.QueuedResourceState{State: "FAILED", FailedData: &alpha.FailedData{Error: &alpha.Status{Code: 8, Message: "no more"}}}},
		{Name: "projects/p/locations/z/queuedResources/c"},
	}}
	got, err := scheduler(t, v6e(), z.ServeHTTP).Standing(t.Context())
	want := []Standing{{"a", "ACTIVE", ""}, {"b", "FAILED", "RESOURCE_EXHAUSTED: no more"}, {ID: "c"}}
	if err != nil || !slices.Equal(got, want) || z.lists != 3 {
		t.Errorf("%+v, %v, %d lists", got, err, z.lists)
	}
}

// What the API answers is told in its own words, and each time there is something that can be done.
func TestWhatTheAPIAnswersIsExplained(t *testing.T) {
	for _, c := range []struct {
		name, body string
		code       int
		what       string
		remedy     string
	}{
		{"nobody is known", `{"error":{"status":"UNAUTHENTICATED","message":"no"}}`, 401, "UNAUTHENTICATED: no", "gcloud auth application-default login"},
		{"not enabled", `{"error":{"status":"PERMISSION_DENIED","message":"off","details":[{"reason":"SERVICE_DISABLED"}]}}`, 403, "PERMISSION_DENIED: off", "gcloud services enable tpu.googleapis.com"},
		{"no such zone", `{"error":{"status":"PERMISSION_DENIED","message":"Location z is not found or access is unauthorized."}}`, 403, "Location z", "roles/tpu.admin on site.project; or see site.zone"},
		{"no words", "", 403, "HTTP 403 Forbidden", "roles/tpu.admin on site.project; or see site.project and site.zone"},
		{"too much", `{"error":{"status":"RESOURCE_EXHAUSTED","message":"Quota metric 'requests' is exceeded"}}`, 429, "RESOURCE_EXHAUSTED", "quota requests is used up"},
		{"at fault", `{"error":{"status":"INTERNAL","message":"oh"}}`, 500, "INTERNAL: oh", "ask again later"},
	} {
		s := scheduler(t, v6e(), func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.code)
			w.Write([]byte(c.body))
		})
		_, err := s.Standing(t.Context())
		if what, remedy := Explain(err); !strings.Contains(what, c.what) || !strings.Contains(remedy, c.remedy) {
			t.Errorf("%s: %q, %q", c.name, what, remedy)
		}
	}
	if what, remedy := Explain(&url.Error{Op: "Get", URL: "http://x", Err: errors.New("refused")}); what != "refused" || !strings.Contains(remedy, "HTTPS_PROXY") {
		t.Errorf("%q, %q", what, remedy)
	}
}
