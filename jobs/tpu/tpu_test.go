package tpu

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	alpha "google.golang.org/api/tpu/v2alpha1"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

const run = "2026_11_24_10_00"

func v6e() spec.TPU {
	return spec.TPU{
		Project: "vtune-test", Zone: "us-east5-b", AcceleratorType: "v6e-8", RuntimeVersion: "v2-alpha-tpuv6e",
		ServiceAccount: "tuner@vtune-test.iam.gserviceaccount.com",
	}
}

// scheduler over an API that answers by h.
func scheduler(t *testing.T, site spec.TPU, h http.HandlerFunc) *Scheduler {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return schedulerAt(t, site, server.URL+"/")
}

func schedulerAt(t *testing.T, site spec.TPU, endpoint string) *Scheduler {
	t.Helper()
	s, err := New(Config{HTTP: http.DefaultClient, Endpoint: endpoint, Site: site, Dir: record.Dir(t.TempDir()), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.pause = time.Millisecond
	return s
}

// unit is a request for a unit of the run whose script is written.
func unit(t *testing.T, s *Scheduler, id string) jobs.Request {
	t.Helper()
	write(t, s.Dir.Script(id), "#!/bin/bash\necho 'worker' <&-\n")
	return jobs.Request{Run: run, Name: record.JobName(run, id), Script: s.Dir.Script(id), Log: s.Dir.JobLog(id), WorkDir: string(s.Dir)}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read1(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// zone is the least of an API: resources that are as a test says, in pages of one.
type zone struct {
	mu          sync.Mutex
	resources   []*alpha.QueuedResource
	unreachable []string
	posts       []posted
	deletes     []string // their queries
	lists       int
	refuse      func(method string) (code int, body string) // nil: nothing is refused
}

type posted struct {
	id, requestID string
	body          []byte
}

func (z *zone) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	z.mu.Lock()
	defer z.mu.Unlock()
	id, named := strings.CutPrefix(r.URL.Path[strings.LastIndex(r.URL.Path, "/queuedResources"):], "/queuedResources/")
	if r.Method == http.MethodDelete {
		z.deletes = append(z.deletes, r.URL.RawQuery)
	}
	if z.refuse != nil {
		if code, body := z.refuse(r.Method); code != 0 {
			w.WriteHeader(code)
			w.Write([]byte(body))
			return
		}
	}
	switch {
	case r.Method == http.MethodPost:
		var q alpha.QueuedResource
		p := posted{id: r.URL.Query().Get("queuedResourceId"), requestID: r.URL.Query().Get("requestId")}
		raw := json.RawMessage{}
		if json.NewDecoder(r.Body).Decode(&raw) != nil || json.Unmarshal(raw, &q) != nil {
			w.WriteHeader(400)
			return
		}
		p.body = raw
		z.posts = append(z.posts, p)
		q.Name, q.CreateTime, q.State = "projects/p/locations/z/queuedResources/"+p.id, "2026-11-24T10:00:00Z", &alpha.QueuedResourceState{State: "ACCEPTED"}
		z.resources = append(z.resources, &q)
		answerWith(w, &alpha.Operation{Name: "operations/1"})
	case r.Method == http.MethodDelete:
		answerWith(w, &alpha.Operation{Name: "operations/2"})
	case named:
		for _, q := range z.resources {
			if strings.HasSuffix(q.Name, "/"+id) {
				answerWith(w, q)
				return
			}
		}
		w.WriteHeader(404)
		w.Write([]byte(`{"error":{"code":404,"status":"NOT_FOUND","message":"no such resource"}}`))
	default:
		z.lists++
		at := 0
		for i := range z.resources {
			if r.URL.Query().Get("pageToken") == z.resources[i].Name {
				at = i
			}
		}
		list := &alpha.ListQueuedResourcesResponse{Unreachable: z.unreachable}
		if at < len(z.resources) {
			list.QueuedResources = z.resources[at : at+1]
		}
		if at+1 < len(z.resources) {
			list.NextPageToken = z.resources[at+1].Name
		}
		answerWith(w, list)
	}
}

func answerWith(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(500)
		return
	}
	w.Write(data)
}
