package tpu

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// leaves are the values in a request, by their paths; the labels, and each entry of the metadata, are one.
func leaves(v any, path string, all map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			all[path] = "{}"
		}
		for k, item := range v {
			leaves(item, path+"."+k, all)
		}
	case []any:
		for _, item := range v {
			leaves(item, path, all)
		}
	default:
		all[path] = fmt.Sprint(v)
	}
}

// flags are what gcloud needs to be told for a value of a request: none where it is part of what every command says.
func flags(path, value, project, script string) (string, bool) {
	node, ofNode := strings.CutPrefix(path, ".tpu.nodeSpec.node.")
	label, ofLabels := strings.CutPrefix(node, "labels.")
	switch {
	case ofNode && ofLabels:
		return label + "=" + value, true
	case node == "metadata.startup-script":
		return "--metadata-from-file=startup-script=" + script, true
	case node == "metadata.vtune-name":
		return "--metadata=vtune-name=" + value, true
	case node == "networkConfig.enableExternalIps":
		if value == "true" {
			return "", true
		}
		return "--internal-ips", true
	case node == "acceleratorConfig.type":
		return "--type=" + map[string]string{"V4": "v4", "V6E": "v6e", "V5LITE_POD": "v5litepod"}[value], true
	case path == ".tpu.nodeSpec.parent":
		return "--project=" + project + " --zone=" + strings.TrimPrefix(value, "projects/"+project+"/locations/"), true
	case path == ".spot":
		return "--spot", true
	case path == ".guaranteed":
		return "--guaranteed", true
	case path == ".reservationName" && strings.HasSuffix(value, "/-"):
		return "--reserved", true
	case path == ".provisioningModel":
		return map[string]string{"STANDARD": "", "SPOT": "--provisioning-model=spot", "FLEX_START": "--provisioning-model=flex-start"}[value], true
	}
	name, known := map[string]string{
		".tpu.nodeSpec.nodeId":                          "node-id",
		".tpu.nodeSpec.node.acceleratorType":            "accelerator-type",
		".tpu.nodeSpec.node.acceleratorConfig.topology": "topology",
		".tpu.nodeSpec.node.runtimeVersion":             "runtime-version",
		".tpu.nodeSpec.node.networkConfig.network":      "network",
		".tpu.nodeSpec.node.networkConfig.subnetwork":   "subnetwork",
		".tpu.nodeSpec.node.serviceAccount.email":       "service-account",
		".tpu.nodeSpec.node.serviceAccount.scope":       "scopes",
		".reservationName":                              "reservation",
		".queueingPolicy.validUntilDuration":            "valid-until-duration",
		".runDuration.maxRunDuration":                   "max-run-duration",
	}[path]
	return "--" + name + "=" + value, known
}

func TestTheCommandByHandSaysWhatTheRequestSays(t *testing.T) {
	const script = "/runs/jobs/machine-2/script"
	for _, g := range goldens() {
		s, r := g.order(t)
		body, err := s.Request(r)
		if err != nil {
			t.Fatal(err)
		}
		argv, err := s.ByHand(r, script)
		if err != nil {
			t.Fatal(err)
		}
		var parsed any
		if err := json.Unmarshal(body, &parsed); err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		leaves(parsed, "", all)
		alphaCommand := argv[1] == "alpha"
		want, labels := []string{"--async"}, []string{}
		for path, value := range all {
			flag, known := flags(path, value, "vtune-test", script)
			switch {
			case !known:
				t.Errorf("%s: no flag is known for %s", g.file, path)
			case strings.HasPrefix(path, ".tpu.nodeSpec.node.labels."):
				labels = append(labels, flag)
			case flag == "--reserved" && alphaCommand:
				want = append(want, "--reservation="+value)
			case flag != "":
				want = append(want, strings.Fields(flag)...)
			}
		}
		slices.Sort(labels)
		want = append(want, "--labels="+strings.Join(labels, ","))
		slices.Sort(want)
		at := slices.Index(argv, "create")
		got := slices.Clone(argv[at+2:])
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || argv[at+1] != all[".tpu.nodeSpec.nodeId"] {
			t.Errorf("%s: %v\n%s", g.file, argv, diff)
		}
	}
}

func TestAFileNameWithACommaReachesGcloudWhole(t *testing.T) {
	s := schedulerAt(t, v6e(), Endpoint)
	argv, err := s.ByHand(unit(t, s, "machine-2"), "/runs/a,b/script")
	if want := "--metadata-from-file=^;^startup-script=/runs/a,b/script"; err != nil || !slices.Contains(argv, want) {
		t.Errorf("%v, %v", argv, err)
	}
}

// gcloud is no small thing to install, so this test runs where a variable names it (VTUNE_GCLOUD=gcloud), and the one above, which
// knows gcloud's flags by heart, runs everywhere.
func TestGcloudItselfMakesTheRequestOfTheCommand(t *testing.T) {
	gcloud := os.Getenv("VTUNE_GCLOUD")
	if gcloud == "" {
		t.Skip("VTUNE_GCLOUD names no gcloud")
	}
	var sent []byte
	var path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			path = r.URL.Path + " " + r.URL.Query().Get("queuedResourceId")
			sent, _ = io.ReadAll(r.Body) // what is missing fails the comparison
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"name":"projects/vtune-test/locations/us-east5-b/operations/1","done":true}`))
	}))
	defer server.Close()
	for _, g := range goldens() {
		s, r := g.order(t)
		body, err := s.Request(r)
		if err != nil {
			t.Fatal(err)
		}
		argv, err := s.ByHand(r, r.Script)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(gcloud, append(argv[1:], "--quiet", "--access-token-file="+s.Dir.Job("token"))...)
		write(t, s.Dir.Job("token"), "token")
		cmd.Env = append(os.Environ(), "CLOUDSDK_API_ENDPOINT_OVERRIDES_TPU="+server.URL+"/", "CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_DISABLE_PROMPTS=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", g.file, err, out)
			continue
		}
		var want, got map[string]any
		if json.Unmarshal(body, &want) != nil || json.Unmarshal(sent, &got) != nil {
			t.Fatalf("%s: sent %s", g.file, sent)
		}
		// What it says besides is what the API takes anyway: the network and, in v2alpha1, the model, and that nothing saves by itself.
		network := at(got, "tpu", "nodeSpec", 0, "node", "networkConfig").(map[string]any)
		if network["network"] == "default" {
			delete(network, "network")
		}
		if node := at(got, "tpu", "nodeSpec", 0, "node").(map[string]any); node["autocheckpointEnabled"] == false {
			delete(node, "autocheckpointEnabled")
		}
		if argv[1] == "alpha" && got["provisioningModel"] == "STANDARD" && want["provisioningModel"] == nil {
			delete(got, "provisioningModel")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %v to %s\n%s", g.file, argv, path, diff)
		}
	}
}

func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}
