package tpu

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

var update = flag.Bool("update", false, "rewrite the golden requests")

// order is what a golden request is for.
type golden struct {
	file        string
	site        func(*spec.TPU)
	reservation string
	seconds     int
}

func goldens() []golden {
	alphaAPI := func(s *spec.TPU) { s.API = "v2alpha1" }
	return []golden{
		{file: "v5e", site: func(s *spec.TPU) { s.AcceleratorType, s.RuntimeVersion = "v5litepod-8", "v2-alpha-tpuv5-lite" }},
		{file: "v6e", site: func(*spec.TPU) {}, seconds: 3600}, // v2 has no place for the time
		{file: "v6e-16", site: func(s *spec.TPU) { s.AcceleratorType = "v6e-16" }},
		{file: "topology", site: func(s *spec.TPU) { s.AcceleratorType, s.Accelerator, s.Topology = "", "V6E", "2x4" }},
		{file: "v4-topology", site: func(s *spec.TPU) {
			s.AcceleratorType, s.Accelerator, s.Topology, s.RuntimeVersion = "", "V4", "2x2x1", "v2-alpha-tpuv4"
		}},
		{file: "spot", site: func(s *spec.TPU) { s.Spot, s.MaxRunDuration = true, "4h" }},
		{file: "spot-alpha", site: func(s *spec.TPU) { alphaAPI(s); s.Spot, s.MaxRunDuration = true, "4h" }},
		{file: "guaranteed", site: func(s *spec.TPU) { s.Guaranteed = true }},
		{file: "reserved", site: func(s *spec.TPU) { s.Reserved = true }, reservation: "tuning"},
		{file: "reserved-elsewhere", site: func(s *spec.TPU) { s.Reserved = true }, reservation: "projects/other/locations/us-east5-b/reservations/tuning"},
		{file: "reserved-any", site: func(s *spec.TPU) { s.Reserved = true }},
		{file: "reserved-alpha", site: func(s *spec.TPU) { alphaAPI(s); s.Reserved, s.MaxRunDuration = true, "4h" }, reservation: "tuning"},
		{file: "reserved-any-alpha", site: func(s *spec.TPU) { alphaAPI(s); s.Reserved = true }},
		{file: "flex-start", site: func(s *spec.TPU) { alphaAPI(s); s.FlexStart, s.MaxRunDuration = true, "4h" }},
		{file: "flex-start-budget", site: func(s *spec.TPU) { alphaAPI(s); s.FlexStart, s.MaxRunDuration = true, "4h" }, seconds: 1800},
		{file: "on-demand-alpha", site: func(s *spec.TPU) { alphaAPI(s); s.AcceleratorType, s.Accelerator, s.Topology = "", "V5LITE_POD", "2x4" }},
		{file: "everything", site: func(s *spec.TPU) {
			s.ValidUntil, s.Network, s.Subnetwork, s.ExternalIPs = "1h30m", "tuning", "tuning-us", true
			s.Labels = map[string]string{"Team": "LLM Serving", "cost-center": "4711", labelRun: "somebody's"}
		}},
	}
}

func (g golden) order(t *testing.T) (*Scheduler, jobs.Request) {
	t.Helper()
	site := v6e()
	g.site(&site)
	s := schedulerAt(t, site, Endpoint)
	s.Reservation = g.reservation
	r := unit(t, s, "machine-2")
	r.Resources.Seconds = g.seconds
	return s, r
}

func TestRequestsAreTheGoldenOnes(t *testing.T) {
	for _, g := range goldens() {
		s, r := g.order(t)
		got, err := s.Request(r)
		if err != nil {
			t.Fatalf("%s: %v", g.file, err)
		}
		path := filepath.Join("testdata", g.file+".json")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g.file, diff)
		}
	}
}

// What Request shows, what is put down and what is sent must be one, in both versions of the API.
func TestWhatIsShownIsWhatIsKeptAndSent(t *testing.T) {
	for _, version := range []string{"v2", "v2alpha1"} {
		z := &zone{}
		site := v6e()
		site.API = version
		s := scheduler(t, site, z.ServeHTTP)
		r := unit(t, s, "machine-2")
		shown, err := s.Request(r)
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.Submit(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if kept := read1(t, s.Dir.Request("machine-2")); kept != string(shown) {
			t.Errorf("%s: kept is %s", version, cmp.Diff(string(shown), kept))
		}
		var a, b any
		if json.Unmarshal(shown, &a) != nil || json.Unmarshal(z.posts[0].body, &b) != nil || !cmp.Equal(a, b) {
			t.Errorf("%s: sent is %s", version, cmp.Diff(a, b))
		}
		if id := strings.TrimSpace(read1(t, s.Dir.RequestID("machine-2"))); id == "" || z.posts[0].requestID != id {
			t.Errorf("%s: sent as %q, kept as %q", version, z.posts[0].requestID, id)
		}
		if h.ID != z.posts[0].id || h.Cluster != "vtune-test/us-east5-b" {
			t.Errorf("%s: handle %+v, posted %s", version, h, z.posts[0].id)
		}
	}
}

func TestALaterTryAsksForWhatTheFirstAskedFor(t *testing.T) {
	z := &zone{refuse: func(string) (int, string) { return 503, "" }}
	s := scheduler(t, v6e(), z.ServeHTTP)
	r := unit(t, s, "machine-2")
	if _, err := s.Submit(t.Context(), r); !errors.Is(err, jobs.ErrAmbiguous) {
		t.Fatal(err)
	}
	first, id := read1(t, s.Dir.Request("machine-2")), read1(t, s.Dir.RequestID("machine-2"))
	z.refuse = nil
	write(t, r.Script, "#!/bin/bash\necho changed\n")
	s.Site.Spot = true
	for range 2 { // another process, and one that comes after it
		s = again(t, s)
		if _, err := s.Submit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range z.posts {
		var a, b any
		if json.Unmarshal([]byte(first), &a) != nil || json.Unmarshal(p.body, &b) != nil || !cmp.Equal(a, b) || p.requestID != strings.TrimSpace(id) {
			t.Errorf("it was sent as %s: %s", p.requestID, cmp.Diff(a, b))
		}
	}
	if len(z.posts) != 2 {
		t.Errorf("%d requests", len(z.posts))
	}
}

// again is the scheduler as another process has it.
func again(t *testing.T, s *Scheduler) *Scheduler {
	t.Helper()
	next, err := New(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	next.pause = s.pause
	return next
}

func TestWhatWasRefusedMayBeAskedForInAnotherWay(t *testing.T) {
	z := &zone{refuse: func(string) (int, string) {
		return 400, `{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"Cloud TPU received a bad request."}}`
	}}
	s := scheduler(t, v6e(), z.ServeHTTP)
	r := unit(t, s, "machine-2")
	if _, err := s.Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) {
		t.Fatal(err)
	}
	z.refuse = nil
	s.Site.RuntimeVersion = "v2-alpha-other"
	if _, err := s.Submit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(z.posts) != 1 || !bytes.Contains(z.posts[0].body, []byte("v2-alpha-other")) {
		t.Errorf("sent: %s", z.posts)
	}
}

func TestARequestThatTheAPIHasNoWayForIsRefusedHere(t *testing.T) {
	z := &zone{}
	s := scheduler(t, v6e(), z.ServeHTTP)
	for what, change := range map[string]func(*jobs.Request){
		"an array": func(r *jobs.Request) { r.Tasks = 2 },
		"a dependency": func(r *jobs.Request) {
			r.After = []jobs.Dependency{{On: jobs.Handle{ID: "x"}, Task: -1, When: record.AfterOK}}
		},
		"a later begin":     func(r *jobs.Request) { r.Begin = 1 },
		"another run":       func(r *jobs.Request) { r.Run = "other" },
		"a way out":         func(r *jobs.Request) { r.Name = record.JobName(run, "../x") },
		"no script":         func(r *jobs.Request) { r.Script += "x" },
		"a script in UTF-7": func(r *jobs.Request) { write(t, r.Script, "echo \xff\n") },
		"a long script":     func(r *jobs.Request) { write(t, r.Script, strings.Repeat("#\n", greatestScript)) },
	} {
		r := unit(t, s, "machine-2")
		change(&r)
		if _, err := s.Submit(t.Context(), r); !errors.Is(err, jobs.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(z.posts) > 0 {
		t.Errorf("%d requests were sent", len(z.posts))
	}
}

func TestASiteThatCannotBeAskedForIsToldByItsKey(t *testing.T) {
	for key, change := range map[string]func(*spec.TPU){
		"accelerator_type": func(s *spec.TPU) { s.AcceleratorType = "v6e-3" },
		"project":          func(s *spec.TPU) { s.Project = "a/b" },
		"zone":             func(s *spec.TPU) { s.Zone = "" },
		"valid_until":      func(s *spec.TPU) { s.ValidUntil = "6" },
		"max_run_duration": func(s *spec.TPU) { s.MaxRunDuration = "-4h" },
		"at most one":      func(s *spec.TPU) { s.Spot, s.Guaranteed = true, true },
		"v2alpha1":         func(s *spec.TPU) { s.FlexStart, s.MaxRunDuration = true, "4h" },
		"flex_start: it":   func(s *spec.TPU) { s.FlexStart, s.API = true, "v2alpha1" },
	} {
		site := v6e()
		change(&site)
		if _, err := New(Config{Site: site}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
