package tputest_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/tpu/v2"

	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/token"
)

const patience = 20 * time.Second

// eventually waits for a condition, not for a time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func service(t *testing.T, s *tputest.Server) *tpu.ProjectsLocationsQueuedResourcesService {
	t.Helper()
	data, err := os.ReadFile(s.CredentialsFile(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := google.CredentialsFromJSON(t.Context(), data, token.ScopeCloud) //nolint:staticcheck // deprecated for files that somebody else wrote
	if err != nil {
		t.Fatal(err)
	}
	api, err := tpu.NewService(t.Context(), option.WithEndpoint(s.URL()), option.WithHTTPClient(oauth2.NewClient(context.Background(), c.TokenSource)))
	if err != nil {
		t.Fatal(err)
	}
	return api.Projects.Locations.QueuedResources
}

func request(s *tputest.Server, node, accelerator, script string) *tpu.QueuedResource {
	return &tpu.QueuedResource{
		Spot: &tpu.Spot{},
		Tpu: &tpu.Tpu{NodeSpec: []*tpu.NodeSpec{{
			Parent: s.Parent(), NodeId: node,
			Node: &tpu.Node{
				AcceleratorType: accelerator, RuntimeVersion: "v2-alpha-tpuv6e", Metadata: map[string]string{"startup-script": script},
				Labels: map[string]string{"run": "r1"},
			},
		}}},
	}
}

const (
	first  = "0b5ac4bb-71ac-4c2f-8f5e-000000000001"
	second = "0b5ac4bb-71ac-4c2f-8f5e-000000000002"
)

func code(err error) int {
	var e *googleapi.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func state(t *testing.T, s *tputest.Server, id string, want tputest.State) {
	t.Helper()
	eventually(t, id+" is "+string(want), func() bool { return s.State(id) == want })
}

func TestAResourceGoesFromTheRequestToItsMachinesAndAway(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	api := service(t, s)
	op, err := api.Create(s.Parent(), request(s, "n", "v6e-16", "echo hello >state/hello; sleep 300 & setsid sleep 300 & wait")).QueuedResourceId("q").RequestId(first).Do()
	if err != nil {
		t.Fatal(err)
	}
	if op.Done || !strings.HasPrefix(op.Name, s.Parent()+"/operations/") {
		t.Errorf("the operation is %+v", op)
	}
	state(t, s, "q", tputest.Active)
	machines := s.Machines("q")
	if len(machines) != 4 {
		t.Fatalf("a v6e-16 has %d hosts", len(machines))
	}
	for _, m := range machines {
		eventually(t, "the script has begun", func() bool {
			data, _ := os.ReadFile(filepath.Join(m.State(), "hello"))
			all, _ := m.Processes()
			return string(data) == "hello\n" && len(all) >= 3
		})
	}
	got, err := api.Get(s.Parent() + "/queuedResources/q").Do()
	if err != nil || got.State.State != "ACTIVE" || got.Spot == nil || got.Tpu.NodeSpec[0].Node.Labels["run"] != "r1" || got.CreateTime == "" {
		t.Fatalf("got %+v: %v", got, err)
	}
	if _, err := api.Delete(got.Name).Do(); code(err) != http.StatusBadRequest {
		t.Errorf("an active resource is deleted without force: %v", err)
	}
	if _, err := api.Delete(got.Name).Force(true).RequestId(second).Do(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return len(s.Left()) == 0 })
	for _, m := range machines {
		if all, err := m.Processes(); err != nil || len(all) > 0 {
			t.Errorf("%v outlive their machine: %v", all, err)
		}
	}
	if _, err := api.Get(got.Name).Do(); code(err) != http.StatusNotFound {
		t.Errorf("what is gone answers %v", err)
	}
	if _, err := api.Delete(got.Name).Force(true).Do(); code(err) != http.StatusNotFound {
		t.Errorf("a second deletion answers %v", err)
	}
	if r := s.Requests()[0]; r.Method != http.MethodPost || r.Header.Get("Authorization") != "" || r.Query.Get("requestId") != first || !slices.Contains(r.Query["queuedResourceId"], "q") {
		t.Errorf("the log has %+v", r)
	}
}
