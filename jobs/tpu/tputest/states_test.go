package tputest_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/tpu/v2"

	"vtune/internal/need"
	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/machine"
)

func create(t *testing.T, api *tpu.ProjectsLocationsQueuedResourcesService, s *tputest.Server, id, script string) {
	t.Helper()
	if _, err := api.Create(s.Parent(), request(s, id, "v6e-8", script)).QueuedResourceId(id).Do(); err != nil {
		t.Fatal(err)
	}
}

func name(s *tputest.Server, id string) string { return s.Parent() + "/queuedResources/" + id }

func dead(t *testing.T, m *machine.Machine) {
	t.Helper()
	if all, err := m.Processes(); err != nil || len(all) > 0 {
		t.Errorf("%v outlive their machine: %v", all, err)
	}
}

func TestARequestIsAnsweredTwiceAlikeAndActsOnce(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Capacity(0)
	api := service(t, s)
	send := func(id, requestID, node string) (*tpu.Operation, error) {
		return api.Create(s.Parent(), request(s, node, "v6e-8", "")).QueuedResourceId(id).RequestId(requestID).Do()
	}
	one, err := send("q", first, "n")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := send("q", first, "n"); err != nil || again.Name != one.Name {
		t.Errorf("the same request again: %+v, %v", again, err)
	}
	for what, c := range map[string]struct {
		id, requestID, node string
		code                int
	}{
		"another body":    {"q", first, "m", 400},
		"another id":      {"p", first, "n", 400},
		"another request": {"q", second, "n", 409},
		"the same node":   {"p", second, "n", 409},
	} {
		if _, err := send(c.id, c.requestID, c.node); code(err) != c.code {
			t.Errorf("%s: %v, want %d", what, err, c.code)
		}
	}
	state(t, s, "q", tputest.Waiting)
	gone, err := api.Delete(name(s, "q")).Force(true).RequestId(second).Do()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return len(s.Left()) == 0 })
	if again, err := api.Delete(name(s, "q")).Force(true).RequestId(second).Do(); err != nil || again.Name != gone.Name || !again.Done {
		t.Errorf("the same deletion again: %+v, %v", again, err)
	}
	// Who asks again for what was made and deleted does not get it a second time.
	if again, err := send("q", first, "n"); err != nil || again.Name != one.Name || len(s.Left()) != 0 {
		t.Errorf("a request of old again: %+v, %v, left %v", again, err, s.Left())
	}
}

func TestWhatHasNoPlaceWaitsAndTheOldestIsFirst(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Capacity(1)
	api := service(t, s)
	for _, id := range []string{"a", "b", "c"} {
		create(t, api, s, id, "")
	}
	state(t, s, "a", tputest.Active)
	state(t, s, "b", tputest.Waiting)
	if _, err := api.Delete(name(s, "b")).Do(); code(err) != 400 || !strings.Contains(err.Error(), "without force") {
		t.Errorf("a waiting resource is deleted without force: %v", err)
	}
	if _, err := api.Delete(name(s, "a")).Force(true).Do(); err != nil {
		t.Fatal(err)
	}
	state(t, s, "b", tputest.Active)
	state(t, s, "c", tputest.Waiting)
}

func TestInactiveResourcesEatQuota(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Quota(1)
	s.FailProvisioning("a", "no such luck")
	api := service(t, s)
	create(t, api, s, "a", "")
	state(t, s, "a", tputest.Failed)
	got, err := api.Get(name(s, "a")).Do()
	if err != nil || got.State.FailedData.Error.Message != "no such luck" || got.State.FailedData.Error.Code != 8 {
		t.Errorf("the failure is %+v: %v", got.State, err)
	}
	_, err = api.Create(s.Parent(), request(s, "b", "v5litepod-8", "")).QueuedResourceId("b").Do()
	if code(err) != 429 || !strings.Contains(err.Error(), "Quota limit 'TPUV5LITEPreemptiblePerProjectPerZoneForTPUAPI' has been exceeded") {
		t.Errorf("over the quota: %v", err)
	}
	s.FailDeletions(1)
	op, err := api.Delete(name(s, "a")).Do()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion has come to nothing", func() bool {
		code, _, answer := call(t, s, http.MethodGet, "v2/"+op.Name, nil)
		return code == 200 && answer["error"] != nil && s.State("a") == tputest.Failed
	})
	if _, err := api.Delete(name(s, "a")).Do(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quota is free", func() bool { return len(s.Left()) == 0 })
	create(t, api, s, "b", "")
}

func TestWhoWaitsTooLongFails(t *testing.T) {
	s := tputest.New(t, tputest.Options{Second: time.Millisecond})
	s.Capacity(0)
	api := service(t, s)
	create(t, api, s, "told", "")
	r := request(s, "timed", "v6e-8", "")
	r.QueueingPolicy = &tpu.QueueingPolicy{ValidUntilDuration: "30s"}
	if _, err := api.Create(s.Parent(), r).QueuedResourceId("timed").Do(); err != nil {
		t.Fatal(err)
	}
	state(t, s, "timed", tputest.Failed)
	state(t, s, "told", tputest.Waiting)
	if err := s.Expire("told"); err != nil {
		t.Fatal(err)
	}
	state(t, s, "told", tputest.Failed)
}

func TestAMaximumOfTimeSuspends(t *testing.T) {
	s := tputest.New(t, tputest.Options{Second: time.Millisecond})
	body := plain(s)
	body["runDuration"] = object{"maxRunDuration": "50s"}
	nodeOf(body)["metadata"] = object{"startup-script": "sleep 300"}
	if code, message, _ := call(t, s, http.MethodPost, "v2alpha1/"+s.Parent()+"/queuedResources?queuedResourceId=q", body); code != 200 {
		t.Fatal(message)
	}
	state(t, s, "q", tputest.Suspended)
	for _, m := range s.Machines("q") {
		dead(t, m)
	}
}

func TestAPreemptionGivesNoticeAndThenSuspends(t *testing.T) {
	need.Program(t, "curl", "apt-get install curl")
	s := tputest.New(t, tputest.Options{Pace: tputest.Pace{Notice: 300 * time.Millisecond, Suspending: 50 * time.Millisecond}})
	api := service(t, s)
	create(t, api, s, "q", `trap 'echo term >state/term' TERM
ask() { curl -sf -H Metadata-Flavor:Google "http://$GCE_METADATA_HOST/computeMetadata/v1/instance/preempted"; }
ask >state/before
until [[ $(ask) == TRUE ]]; do sleep 0.01; done
echo TRUE >state/preempted
while :; do sleep 300 & wait; done`)
	state(t, s, "q", tputest.Active)
	m := s.Machines("q")[0]
	has := func(file, want string) func() bool {
		return func() bool {
			data, _ := os.ReadFile(filepath.Join(m.State(), file))
			return strings.TrimSpace(string(data)) == want
		}
	}
	eventually(t, "the script asked", has("before", "FALSE"))
	if err := s.Preempt("q", tputest.Preemption{}); err != nil {
		t.Fatal(err)
	}
	if got := s.State("q"); got != tputest.Suspending {
		t.Errorf("it is %s", got)
	}
	if _, err := api.Delete(name(s, "q")).Force(true).Do(); code(err) != 400 || !strings.Contains(err.Error(), "SUSPENDING") {
		t.Errorf("a suspending resource is deleted: %v", err)
	}
	eventually(t, "the machine is told", has("preempted", "TRUE"))
	state(t, s, "q", tputest.Suspended)
	dead(t, m)
	if has("term", "term")() {
		t.Error("SIGTERM was sent, which nobody asked for")
	}
	got, err := api.Get(name(s, "q")).Do()
	if err != nil || got.State.StateInitiator != "SERVICE" || got.State.SuspendedData == nil {
		t.Errorf("got %+v: %v", got.State, err)
	}
	if _, err := api.Delete(got.Name).Do(); err != nil {
		t.Errorf("a suspended resource is not deleted: %v", err)
	}
}

func TestASystemThatShutsDownSendsSIGTERM(t *testing.T) {
	s := tputest.New(t, tputest.Options{Pace: tputest.Pace{Notice: 10 * time.Second}})
	api := service(t, s)
	create(t, api, s, "q", "trap 'echo term >state/term; exit' TERM\ntouch state/ready\nwhile :; do sleep 300 & wait; done")
	state(t, s, "q", tputest.Active)
	m := s.Machines("q")[0]
	eventually(t, "the script is ready", exists(m, "ready"))
	if err := s.Preempt("q", tputest.Preemption{Term: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the script heard it", exists(m, "term"))
}

func exists(m *machine.Machine, file string) func() bool {
	return func() bool {
		_, err := os.Stat(filepath.Join(m.State(), file))
		return err == nil
	}
}

func TestALostMachineIsDeadAndItsResourceSeemsActive(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	api := service(t, s)
	create(t, api, s, "q", "sleep 300")
	state(t, s, "q", tputest.Active)
	m := s.Machines("q")[0]
	if err := s.LoseMachine("q", 0, 0); err != nil {
		t.Fatal(err)
	}
	dead(t, m)
	if _, err := http.Get("http://" + m.Address() + "/"); err == nil {
		t.Error("its metadata server answers")
	}
	if err := s.Reboot("q", 0); err == nil {
		t.Error("a lost machine was started again")
	}
	if got := s.State("q"); got != tputest.Active {
		t.Errorf("it is %s", got)
	}
	if err := s.LoseMachine("q", 0, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	state(t, s, "q", tputest.Suspended)
}

func TestFaultsHitWhomTheyAreMeantFor(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Capacity(0)
	api := service(t, s)
	list := func() error { _, err := api.List(s.Parent()).Do(); return err }
	if err := list(); err != nil {
		t.Fatal(err)
	}
	s.Inject(tputest.Fault{Method: "POST", Code: 503, RetryAfter: "7"})
	if err := list(); err != nil {
		t.Errorf("another method's fault: %v", err)
	}
	_, err := api.Create(s.Parent(), request(s, "a", "v6e-8", "")).QueuedResourceId("a").Do()
	if e, is := err.(*googleapi.Error); !is || e.Code != 503 || e.Header.Get("Retry-After") != "7" || len(s.Left()) != 0 {
		t.Errorf("503 before the effect: %v, left %v", err, s.Left())
	}
	s.Inject(tputest.Fault{Method: "POST", After: true})
	if _, err := api.Create(s.Parent(), request(s, "a", "v6e-8", "")).QueuedResourceId("a").Do(); err == nil || code(err) != 0 {
		t.Errorf("a lost answer: %v", err)
	}
	if left := s.Left(); len(left) != 1 {
		t.Errorf("there is %v", left)
	}
	s.Refuse(400, "not today")
	for range 2 {
		if _, err := api.Create(s.Parent(), request(s, "b", "v6e-8", "")).QueuedResourceId("b").Do(); code(err) != 400 || !strings.Contains(err.Error(), "not today") {
			t.Errorf("refused: %v", err)
		}
	}
	s.Heal()
	create(t, api, s, "b", "")
	if err := s.Down(); err != nil {
		t.Fatal(err)
	}
	if err := list(); err == nil || code(err) != 0 {
		t.Errorf("an API that is down answers %v", err)
	}
	if err := s.Up(); err != nil {
		t.Fatal(err)
	}
	if err := list(); err != nil {
		t.Errorf("an API that is up again answers %v", err)
	}
	s.Inject(tputest.Fault{Path: "/token", Code: 500})
	s.Tokens().Expire()
	if _, err := service(t, s).List(s.Parent()).Do(); err == nil {
		t.Error("the token endpoint's fault did not hit")
	}
	if n := s.Count("POST", "/queuedResources"); n != 5 {
		t.Errorf("%d requests were noted", n)
	}
}

// A client that is strict too finds nothing in an answer that the API does not have.
func TestAnswersHaveWhatTheDiscoveryDocumentHas(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Capacity(0)
	s.FailProvisioning("failed", "why")
	gcp := service(t, s)
	create(t, gcp, s, "failed", "")
	op, err := gcp.Create(s.Parent(), request(s, "ok", "v6e-8", "")).QueuedResourceId("ok").Do()
	if err != nil {
		t.Fatal(err)
	}
	s.Capacity(1)
	state(t, s, "failed", tputest.Failed)
	state(t, s, "ok", tputest.Active)
	for _, version := range []string{"v2", "v2alpha1"} {
		api, err := tputest.Discovery(version)
		if err != nil {
			t.Fatal(err)
		}
		for path, schema := range map[string]string{
			s.Parent() + "/queuedResources": "ListQueuedResourcesResponse", name(s, "failed"): "QueuedResource", name(s, "ok"): "QueuedResource", op.Name: "Operation",
			s.Parent() + "/acceleratorTypes": "ListAcceleratorTypesResponse", s.Parent() + "/runtimeVersions": "ListRuntimeVersionsResponse", s.Parent(): "Location",
			"projects/" + s.Project() + "/locations": "ListLocationsResponse",
		} {
			code, _, answer := call(t, s, http.MethodGet, version+"/"+path, nil)
			if diff := cmp.Diff(any(answer), api.Known(schema, answer)); code != 200 || diff != "" || len(answer) == 0 {
				t.Errorf("%s of %s: %d, not in %s: %s", path, version, code, schema, diff)
			}
		}
	}
}

func TestMachinesKnowWhatTheyWereGivenAndWhoTheyAre(t *testing.T) {
	s := tputest.New(t, tputest.Options{Env: []string{"ONE=1"}})
	s.Give("TWO=2")
	body := plain(s)
	delete(specOf(body), "nodeId")
	specOf(body)["multisliceParams"] = object{"nodeCount": 2, "nodeIdPrefix": "n"}
	nodeOf(body)["acceleratorType"] = "v5litepod-16"
	nodeOf(body)["metadata"] = object{"startup-script": `echo "$ONE$TWO" >state/env; exec 3<>/dev/tcp/${GCE_METADATA_HOST/:/\/}
printf 'GET /computeMetadata/v1/instance/attributes/tpu-env HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n' >&3; cat <&3 >state/tmp; mv state/tmp state/tpu-env`}
	if code, message, _ := call(t, s, http.MethodPost, "v2/"+s.Parent()+"/queuedResources?queuedResourceId=q", body); code != 200 {
		t.Fatal(message)
	}
	state(t, s, "q", tputest.Active)
	machines := s.Machines("q")
	if len(machines) != 8 {
		t.Fatalf("two slices of v5litepod-16 have %d hosts", len(machines))
	}
	for i, m := range machines {
		eventually(t, "the script has asked", exists(m, "tpu-env"))
		env, _ := os.ReadFile(filepath.Join(m.State(), "env"))
		told, _ := os.ReadFile(filepath.Join(m.State(), "tpu-env"))
		for _, want := range []string{fmt.Sprintf("NODE_ID: 'n-%d'", i/4), fmt.Sprintf("WORKER_ID: '%d'", i%4), fmt.Sprintf("MEGASCALE_SLICE_ID: '%d'", i/4)} {
			if !strings.Contains(string(told), want+"\n") {
				t.Errorf("machine %d is not told %s: %s", i, want, told)
			}
		}
		if string(env) != "12\n" {
			t.Errorf("machine %d has %q", i, env)
		}
	}
}

func TestALateAnswerIsLateAndWhole(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Delay(200 * time.Millisecond)
	began := time.Now()
	if code, _, _ := call(t, s, http.MethodGet, "v2/"+s.Parent()+"/queuedResources", nil); code != 200 || time.Since(began) < 200*time.Millisecond {
		t.Errorf("%d after %s", code, time.Since(began))
	}
}
