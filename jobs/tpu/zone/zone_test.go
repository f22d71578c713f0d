package zone_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/spec"
	"vtune/jobs/tpu"
	"vtune/jobs/tpu/zone"
)

// served is a zone of an API that answers a path, with its page's token, by a text.
func served(t *testing.T, answers map[string]string) *zone.Zone {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, known := answers[strings.TrimPrefix(r.URL.Path, "/v2/projects/p")+r.URL.Query().Get("pageToken")]
		if !known {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	z, err := zone.Of(tpu.Config{HTTP: server.Client(), Endpoint: server.URL + "/", Site: spec.TPU{Project: "p", Zone: "z"}})
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func well() map[string]string {
	return map[string]string{
		"/locations/z/acceleratorTypes":  `{"acceleratorTypes":[{"type":"v6e-4","acceleratorConfigs":[{"type":"V6E","topology":"2x2"}]}],"nextPageToken":"2"}`,
		"/locations/z/acceleratorTypes2": `{"acceleratorTypes":[{"type":"v6e-8","acceleratorConfigs":[{"type":"V6E","topology":"2x4"}]},{"type":"v9"}]}`,
		"/locations/z/runtimeVersions":   `{"runtimeVersions":[{"version":"a"}],"nextPageToken":"2"}`,
		"/locations/z/runtimeVersions2":  `{"runtimeVersions":[{"version":"b"}]}`,
		"/locations":                     `{"locations":[{"name":"projects/p/locations/z"}],"nextPageToken":"2"}`,
		"/locations2":                    `{"locations":[{"name":"projects/p/locations/y"}]}`,
	}
}

func TestWhatAZoneHasIsReadToItsLastPage(t *testing.T) {
	z := served(t, well())
	got, err := z.Offers(t.Context())
	want := zone.Offer{Types: []string{"v6e-4", "v6e-8", "v9"}, Topologies: []string{"V6E 2x2", "V6E 2x4"}, Runtimes: []string{"a", "b"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
	others, err := z.Others(t.Context())
	if diff := cmp.Diff([]string{"z", "y"}, others); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// A type that is not on half a list is not one that the zone has not.
func TestHalfAListIsNone(t *testing.T) {
	for path, text := range map[string]string{
		"/locations/z/acceleratorTypes2": `{"acceleratorTypes":[],"unreachable":["us-z"]}`,
		"/locations/z/runtimeVersions2":  `{"runtimeVersions":[],"unreachable":["us-z"]}`,
	} {
		answers := well()
		answers[path] = text
		if got, err := served(t, answers).Offers(t.Context()); err == nil || !strings.Contains(err.Error(), "lacks us-z") || got.Types != nil {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	answers := well()
	delete(answers, "/locations/z/runtimeVersions2")
	if got, err := served(t, answers).Offers(t.Context()); err == nil || got.Types != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
