package deploy_test

import (
	"regexp"
	"strings"
	"testing"

	"vtune/internal/deploy"
	"vtune/internal/diag"
	"vtune/internal/spec"
)

func TestTheImageIsThatOfWhatWasMeasured(t *testing.T) {
	for _, c := range []struct {
		version, system, runtime, image, want string
	}{
		{"0.32.0", "GPU", "", "", "vllm/vllm-openai:v0.32.0"},
		{"0.32.0+cu128", "GPU", "none", "", "vllm/vllm-openai:v0.32.0"},
		{"0.32.0rc1", "GPU", "none", "", "vllm/vllm-openai:v0.32.0rc1"},
		{"0.32.0", "TPU", "none", "", "vllm/vllm-tpu:v0.32.0"},
		{"0.32.0+cpu", "CPU", "none", "", "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.32.0"},
		{"0.1.dev7+gabc", "GPU", "none", "", ""},
		{"", "GPU", "none", "", ""},
		{"0.32.0\nx", "GPU", "none", "", ""},
		{"0.1.dev7", "TPU", "docker", "vllm/vllm-tpu:nightly", "vllm/vllm-tpu:nightly"},
		{"0.1.dev7", "GPU", "pyxis", "nvcr.io#nvidia/vllm:26.10", "nvcr.io/nvidia/vllm:26.10"},
		{"0.32.0", "GPU", "pyxis", "/images/vllm.sqsh", "vllm/vllm-openai:v0.32.0"},
		{"0.32.0", "GPU", "apptainer", "docker://vllm/vllm-openai:latest", "vllm/vllm-openai:latest"},
		{"0.32.0", "GPU", "apptainer", "/images/vllm.sif", "vllm/vllm-openai:v0.32.0"},
	} {
		got, err := deploy.Image(c.version, c.system, spec.Container{Runtime: c.runtime, Image: c.image})
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

func TestANodeOfTPUsIsKnownByItsLabels(t *testing.T) {
	for accelerator, want := range map[string]string{
		"v6e-8": "8 tpu-v6e-slice 2x4", "v6e-1": "1 tpu-v6e-slice 1x1", "v5litepod-4": "4 tpu-v5-lite-podslice 2x2", "v5p-8": "4 tpu-v5p-slice 2x2x1", "v4-8": "4 tpu-v4-podslice 2x2x1",
		"v2-8": "", "v6e-16": "",
	} {
		w := winner("m")
		w.System, w.Resources.GPUs = "TPU", 0
		s := &spec.Spec{}
		s.Site.TPU.AcceleratorType = accelerator
		k, err := deploy.Manifest(w, s, "")
		if want == "" {
			if diag.CodeOf(err) != diag.Usage || len(diag.HintsOf(err)) == 0 {
				t.Errorf("%s: %v", accelerator, err)
			}
			continue
		}
		got := strings.Join([]string{string(rune('0' + k.Accelerators)), k.NodeSelector["cloud.google.com/gke-tpu-accelerator"], k.NodeSelector["cloud.google.com/gke-tpu-topology"]}, " ")
		if err != nil || got != want || k.Resource != "google.com/tpu" {
			t.Errorf("%s: %q, want %q; %v", accelerator, got, want, err)
		}
	}
}

func TestAServerOfSeveralNodesIsNoDeployment(t *testing.T) {
	w := winner("m")
	w.Resources.Nodes = 2
	if _, err := deploy.Manifest(w, &spec.Spec{}, ""); diag.CodeOf(err) != diag.Usage || !strings.Contains(strings.Join(diag.HintsOf(err), ""), "LeaderWorkerSet") {
		t.Error(err)
	}
}

func TestASlowStartIsWaitedFor(t *testing.T) {
	w := winner("m")
	w.StartSeconds = 1000
	if k, err := deploy.Manifest(w, &spec.Spec{}, ""); err != nil || k.StartSeconds != 4000 || k.StartTries() != 400 {
		t.Errorf("%+v, %v", k, err)
	}
}

// A token is a reference to a Secret, also where the run knew none.
func TestSecretsAreReferences(t *testing.T) {
	w := winner("m")
	w.Secrets, w.Environment = []string{"HF_TOKEN", "OTHER"}, map[string]string{"VLLM_API_KEY": "mine"}
	k, err := deploy.Manifest(w, &spec.Spec{}, "")
	if err != nil || len(k.Secrets) != 2 || k.Secrets[0] != (deploy.Secret{Name: "HF_TOKEN"}) {
		t.Errorf("%+v, %v", k.Secrets, err)
	}
}

// Kubernetes refuses a manifest with any other value of a label; an imported run is called as its folder is.
func TestARunsIdIsALabel(t *testing.T) {
	label := regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	for id, want := range map[string]string{
		"2026_11_23_10_30-abcdef01":                    "2026_11_23_10_30-abcdef01",
		"alte läufe (1)-30e7ab68":                      "alte-l-ufe-1--30e7ab68",
		strings.Repeat("long_", 20) + "-imported-0a1b": "ong_long_long_long_long_long_long_long_long_long_-imported-0a1b",
		"_\n: x-0": "x-0",
	} {
		w := winner("m")
		w.Run.ID = id
		k, err := deploy.Manifest(w, &spec.Spec{}, "")
		if err != nil || k.Run != want || !label.MatchString(k.Run) {
			t.Errorf("%q: %q, want %q; %v", id, k.Run, want, err)
		}
	}
}
