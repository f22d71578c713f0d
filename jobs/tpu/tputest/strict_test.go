package tputest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/tpu/v2"

	"vtune/jobs/tpu/tputest"
	"vtune/jobs/tpu/tputest/token"
)

// call sends a request as it is, and returns the code, the message and the answer.
func call(t *testing.T, s *tputest.Server, method, path string, body any) (int, string, map[string]any) {
	t.Helper()
	var reader io.Reader
	if text, raw := body.(string); raw {
		reader = strings.NewReader(text)
	} else if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.Tokens().New(token.ScopeCloud))
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !strings.Contains(res.Header.Get("Server"), "not Google") {
		t.Errorf("the server says it is %q", res.Header.Get("Server"))
	}
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	failure, _ := answer["error"].(map[string]any)
	message, _ := failure["message"].(string)
	return res.StatusCode, message, answer
}

type object = map[string]any

// plain is a request that is right.
func plain(s *tputest.Server) object {
	return object{"tpu": object{"nodeSpec": []any{object{"parent": s.Parent(), "nodeId": "n", "node": object{
		"acceleratorType": "v6e-8", "runtimeVersion": "v2-alpha-tpuv6e", "metadata": object{}, "labels": object{}, "networkConfig": object{},
	}}}}}
}

func specOf(b object) object { return b["tpu"].(object)["nodeSpec"].([]any)[0].(object) }
func nodeOf(b object) object { return specOf(b)["node"].(object) }

func TestEveryWrongRequestIsRefusedWithThePlace(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	set := func(key string, value any) func(object) { return func(b object) { b[key] = value } }
	spec := func(key string, value any) func(object) { return func(b object) { specOf(b)[key] = value } }
	node := func(key string, value any) func(object) { return func(b object) { nodeOf(b)[key] = value } }
	without := func(key string) func(object) { return func(b object) { delete(nodeOf(b), key) } }
	long := strings.Repeat("x", 64)
	past := time.Now().Add(-time.Hour).Format(time.RFC3339)
	reservation := s.Parent() + "/reservations/mine"
	for name, c := range map[string]struct {
		version string // "": v2
		change  func(object)
		want    string // in the message
	}{
		"unknown field":                {"", set("sopt", object{}), `"sopt"`},
		"unknown field deep":           {"", node("accelerator_type", "v6e-8"), "tpu.nodeSpec[0].node.accelerator_type"},
		"field of the other version":   {"", set("runDuration", object{"maxRunDuration": "60s"}), "runDuration"},
		"best effort in v2":            {"", set("bestEffort", object{}), "bestEffort"},
		"multislice in v2alpha1":       {"v2alpha1", spec("multisliceParams", object{"nodeCount": 2}), "multisliceParams"},
		"output field":                 {"", set("name", "x"), "name: output only"},
		"output field deep":            {"", node("state", "READY"), "tpu.nodeSpec[0].node.state"},
		"wrong type":                   {"", spec("node", "n"), "tpu.nodeSpec[0].node"},
		"a number for a word":          {"", node("runtimeVersion", 2), "tpu.nodeSpec[0].node.runtimeVersion"},
		"a number for a label":         {"", node("labels", object{"attempt": 1}), "tpu.nodeSpec[0].node.labels.attempt"},
		"a list for an object":         {"", set("spot", []any{}), "spot"},
		"a word for a list":            {"", node("tags", "a"), "tpu.nodeSpec[0].node.tags"},
		"null":                         {"", node("description", nil), "tpu.nodeSpec[0].node.description"},
		"a number of 64 bits unquoted": {"", node("bootDiskConfig", object{"diskSizeGb": 100}), "bootDiskConfig.diskSizeGb"},
		"enum": {"", func(b object) {
			without("acceleratorType")(b)
			node("acceleratorConfig", object{"type": "V7", "topology": "2x4"})(b)
		}, `tpu.nodeSpec[0].node.acceleratorConfig.type`},
		"required in an object": {"", func(b object) {
			without("acceleratorType")(b)
			node("acceleratorConfig", object{"type": "V6E"})(b)
		}, "acceleratorConfig.topology: required"},
		"no such topology": {"", func(b object) {
			without("acceleratorType")(b)
			node("acceleratorConfig", object{"type": "V6E", "topology": "3x3"})(b)
		}, "V6E 3x3"},
		"no node":                 {"", func(b object) { delete(specOf(b), "node") }, "tpu.nodeSpec[0].node: required"},
		"no parent":               {"", func(b object) { delete(specOf(b), "parent") }, "tpu.nodeSpec[0].parent: required"},
		"another parent":          {"", spec("parent", "projects/p/locations/z"), "tpu.nodeSpec[0].parent"},
		"no spec":                 {"", set("tpu", object{}), "tpu.nodeSpec"},
		"no runtime":              {"", without("runtimeVersion"), "runtimeVersion: required"},
		"no such runtime":         {"", node("runtimeVersion", "v9"), "tpu.nodeSpec[0].node.runtimeVersion"},
		"no accelerator":          {"", without("acceleratorType"), "exactly one of acceleratorType and acceleratorConfig"},
		"both accelerators":       {"", node("acceleratorConfig", object{"type": "V6E", "topology": "2x4"}), "exactly one of acceleratorType"},
		"no such accelerator":     {"", node("acceleratorType", "v6e-9"), "acceleratorType"},
		"scheduling":              {"", node("schedulingConfig", object{"spot": true}), "schedulingConfig"},
		"two networks":            {"", node("networkConfigs", []any{object{}}), "networkConfig"},
		"a bad address":           {"", node("serviceAccount", object{"email": "me"}), "serviceAccount.email"},
		"no node id":              {"", func(b object) { delete(specOf(b), "nodeId") }, "exactly one of nodeId and multisliceParams"},
		"both ids":                {"", spec("multisliceParams", object{"nodeCount": 2}), "exactly one of nodeId and multisliceParams"},
		"a node id in capitals":   {"", spec("nodeId", "N"), "tpu.nodeSpec[0].nodeId"},
		"a long node id":          {"", spec("nodeId", long), "tpu.nodeSpec[0].nodeId"},
		"one slice of several":    {"", func(b object) { delete(specOf(b), "nodeId"); spec("multisliceParams", object{"nodeCount": 1})(b) }, "nodeCount"},
		"a label in capitals":     {"", node("labels", object{"run": "R1"}), "labels.run"},
		"a label's key":           {"", node("labels", object{"1run": "r"}), `"1run"`},
		"a long label":            {"", node("labels", object{"run": long}), "labels.run"},
		"a metadata key":          {"", node("metadata", object{"startup script": ""}), `"startup script"`},
		"a large script":          {"", node("metadata", object{"startup-script": strings.Repeat("x", 256<<10+1)}), "metadata.startup-script"},
		"much metadata":           {"", node("metadata", object{"a": strings.Repeat("x", 250<<10), "b": strings.Repeat("x", 250<<10), "c": strings.Repeat("x", 20<<10)}), "node.metadata"},
		"a tag":                   {"", node("tags", []any{"ok", "Not"}), "tags[1]"},
		"two tiers":               {"", func(b object) { set("spot", object{})(b); set("guaranteed", object{})(b) }, "spot and guaranteed"},
		"spot reserved":           {"", func(b object) { set("spot", object{})(b); set("reservationName", reservation)(b) }, "reservationName"},
		"a reservation's name":    {"", set("reservationName", "mine"), "reservationName"},
		"a reservation elsewhere": {"", set("reservationName", "projects/p/locations/us-west1-c/reservations/mine"), "reservationName"},
		"reserved of nothing":     {"v2alpha1", set("guaranteed", object{"reserved": true}), "guaranteed.reserved"},
		"a duration in minutes":   {"", set("queueingPolicy", object{"validUntilDuration": "10m"}), "queueingPolicy.validUntilDuration"},
		"no duration":             {"", set("queueingPolicy", object{"validUntilDuration": "0s"}), "queueingPolicy.validUntilDuration"},
		"a time of day":           {"", set("queueingPolicy", object{"validUntilTime": "12:00"}), "queueingPolicy.validUntilTime"},
		"a time that is over":     {"", set("queueingPolicy", object{"validUntilTime": past}), "queueingPolicy.validUntilTime"},
		"two policies":            {"", set("queueingPolicy", object{"validUntilDuration": "60s", "validAfterDuration": "6s"}), "queueingPolicy"},
		"flex without an end":     {"v2alpha1", set("provisioningModel", "FLEX_START"), "runDuration.maxRunDuration"},
		"flex for long": {"v2alpha1", func(b object) {
			set("provisioningModel", "FLEX_START")(b)
			set("runDuration", object{"maxRunDuration": "604801s"})(b)
		}, "maxRunDuration"},
		"flex and spot": {"v2alpha1", func(b object) {
			maps.Copy(b, object{"provisioningModel": "FLEX_START", "spot": object{}, "runDuration": object{"maxRunDuration": "60s"}})
		}, "provisioningModel"},
		"bound to nothing": {"v2alpha1", set("provisioningModel", "RESERVATION_BOUND"), "provisioningModel"},
	} {
		t.Run(name, func(t *testing.T) {
			version := c.version
			if version == "" {
				version = "v2"
			}
			body := plain(s)
			c.change(body)
			code, message, answer := call(t, s, http.MethodPost, version+"/"+s.Parent()+"/queuedResources?queuedResourceId=q", body)
			failure, _ := answer["error"].(object)
			if code != http.StatusBadRequest || !strings.Contains(message, c.want) || failure["status"] != "INVALID_ARGUMENT" || failure["details"] == nil {
				t.Errorf("got %d %q, want 400 with %q", code, message, c.want)
			}
		})
	}
	if left := s.Left(); len(left) > 0 {
		t.Errorf("a refused request left %v", left)
	}
}

func TestRightRequestsOfAllKindsAreTaken(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Capacity(0)
	for i, c := range []struct {
		version string
		change  object
	}{
		{"v2", object{}},
		{"v2", object{"spot": object{}, "queueingPolicy": object{"validUntilDuration": "3600s"}}},
		{"v2", object{"guaranteed": object{"minDuration": "1.5s"}, "reservationName": s.Parent() + "/reservations/-"}},
		{"v2alpha1", object{"guaranteed": object{"reserved": true}, "reservationName": "organizations/1/locations/" + s.Zone() + "/reservations/mine"}},
		{"v2alpha1", object{"provisioningModel": "FLEX_START", "runDuration": object{"maxRunDuration": "604800s"}}},
		{"v2alpha1", object{"provisioningModel": "SPOT", "spot": object{}}},
		{"v2alpha1", object{"bestEffort": object{}}},
	} {
		body := plain(s)
		maps.Copy(body, c.change)
		specOf(body)["nodeId"] = fmt.Sprintf("n%d", i)
		if code, message, _ := call(t, s, http.MethodPost, fmt.Sprintf("%s/%s/queuedResources?queuedResourceId=q%%2B%d", c.version, s.Parent(), i), body); code != http.StatusOK {
			t.Errorf("%v: %d %s", c.change, code, message)
		}
	}
	// What the older version does not know, it does not show.
	if _, _, answer := call(t, s, http.MethodGet, "v2/"+s.Parent()+"/queuedResources", nil); len(answer["queuedResources"].([]any)) != 7 || strings.Contains(fmt.Sprint(answer), "runDuration") {
		t.Errorf("v2 shows %v", answer)
	}
	if _, _, answer := call(t, s, http.MethodGet, "v2alpha1/"+s.Parent()+"/queuedResources", nil); !strings.Contains(fmt.Sprint(answer), "runDuration") {
		t.Errorf("v2alpha1 shows %v", answer)
	}
}

func TestAddressesAreJudgedToo(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	all := "v2/" + s.Parent() + "/queuedResources"
	for _, c := range []struct {
		method, path string
		body         any
		code         int
		want         string
	}{
		{"GET", all + "?filter=state", nil, 400, `"filter"`},
		{"GET", all + "?pageSize=ten", nil, 400, "pageSize"},
		{"GET", all + "?pageSize=1&pageSize=2", nil, 400, "pageSize"},
		{"GET", all + "?pageSize=-1", nil, 400, "pageSize"},
		{"GET", all + "?pageToken=x", nil, 400, "pageToken"},
		{"GET", all + "?access_token=x", nil, 400, "access_token"},
		{"GET", all + "?alt=xml", nil, 400, "alt"},
		{"GET", all, "{}", 400, "body"},
		{"GET", "v2/" + s.Parent() + "/queuedresources", nil, 404, "no method"},
		{"GET", "v3/" + s.Parent() + "/queuedResources", nil, 404, "v3"},
		{"PUT", all + "/q", plain(s), 405, "PUT"},
		{"GET", "v2/projects/another/locations/" + s.Zone() + "/queuedResources", nil, 403, "another"},
		{"GET", "v2/projects/" + s.Project() + "/locations/nowhere/queuedResources", nil, 404, "nowhere"},
		{"DELETE", all + "/q?force=yes", nil, 400, "force"},
		{"DELETE", all + "/q", nil, 404, "q"},
		{"POST", all, plain(s), 400, "queuedResourceId"},
		{"POST", all + "?queuedResourceId=a/b", plain(s), 400, "queuedResourceId"},
		{"POST", all + "?queuedResourceId=q&requestId=1", plain(s), 400, "requestId"},
		{"POST", all + "?queuedResourceId=q", "{", 400, "Invalid JSON"},
		{"POST", all + "?queuedResourceId=q", `{"spot":{},"spot":{}}`, 400, "spot: named twice"},
		{"POST", all + "?queuedResourceId=q", `[]`, 400, "Root"},
		{"POST", all + "?queuedResourceId=q", `{} {}`, 400, "follows"},
	} {
		if code, message, _ := call(t, s, c.method, c.path, c.body); code != c.code || !strings.Contains(message, c.want) {
			t.Errorf("%s %s: got %d %q, want %d with %q", c.method, c.path, code, message, c.code, c.want)
		}
	}
}

func TestOnlyTokensOfItsOwnAreGood(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	get := func(bearer string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"v2/"+s.Parent()+"/queuedResources", nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			req.Header.Set("Authorization", bearer)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	good := s.Tokens().New(token.ScopeCloud)
	for bearer, want := range map[string]int{
		"": 401, "Bearer x": 401, good: 401, "Bearer " + good: 200, "Bearer " + s.Tokens().New(token.ScopeStorage): 403,
	} {
		if got := get(bearer); got != want {
			t.Errorf("%q gives %d, want %d", bearer, got, want)
		}
	}
	s.Tokens().Expire()
	if got := get("Bearer " + good); got != 401 {
		t.Errorf("an ended token gives %d", got)
	}
	s.Tokens().Live(-time.Second)
	if got := get("Bearer " + s.Tokens().New(token.ScopeCloud)); got != 401 {
		t.Errorf("an expired token gives %d", got)
	}
}

func TestPagesMakeUpTheList(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	s.Capacity(0)
	api := service(t, s)
	for i := range 5 {
		if _, err := api.Create(s.Parent(), request(s, fmt.Sprintf("n%d", i), "v6e-8", "")).QueuedResourceId(fmt.Sprintf("q%d", i)).Do(); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	calls := 0
	err := api.List(s.Parent()).PageSize(2).Pages(t.Context(), func(r *tpu.ListQueuedResourcesResponse) error {
		calls++
		for _, q := range r.QueuedResources {
			names = append(names, q.Name[len(q.Name)-2:])
		}
		return nil
	})
	if err != nil || calls != 3 || strings.Join(names, " ") != "q0 q1 q2 q3 q4" {
		t.Errorf("%d calls gave %v: %v", calls, names, err)
	}
	if _, err := api.List(s.Parent()).Do(googleapi.QueryParameter("filter", "x")); code(err) != 400 {
		t.Errorf("a filter gives %v", err)
	}
}

func TestPlacesTypesAndRuntimesAreListed(t *testing.T) {
	s := tputest.New(t, tputest.Options{})
	for path, want := range map[string]string{
		"v2/projects/" + s.Project() + "/locations":              s.Zone(),
		"v2/" + s.Parent():                                       s.Zone(),
		"v2/" + s.Parent() + "/acceleratorTypes":                 "v6e-16",
		"v2/" + s.Parent() + "/acceleratorTypes/v5litepod-4":     "V5LITE_POD",
		"v2alpha1/" + s.Parent() + "/runtimeVersions?pageSize=9": "v2-alpha-tpuv6e",
	} {
		if code, _, answer := call(t, s, http.MethodGet, path, nil); code != http.StatusOK || !strings.Contains(fmt.Sprint(answer), want) {
			t.Errorf("%s: %d %v", path, code, answer)
		}
	}
	if code, _, _ := call(t, s, http.MethodGet, "v2/"+s.Parent()+"/acceleratorTypes/v6e-9", nil); code != 404 {
		t.Errorf("a type that is not there gives %d", code)
	}
}
