package deploy

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"vtune/internal/diag"
	"vtune/internal/spec"
	"vtune/internal/vllm"
)

// Kube are the values of a Kubernetes manifest that differ from winner to winner.
type Kube struct {
	Name         string // of the Deployment and the Service
	Run          string // the run's id as a label may have it
	Image        string
	Args         []string          // of vllm serve; a dollar sign is doubled, since Kubernetes expands $(NAME)
	Environment  map[string]string // the same
	Secret       string            // name of the Secret that has the variables of Secrets
	Secrets      []Secret
	Resource     string // name of the resource that accelerators are
	Accelerators int    // 0: none
	CPUs         int    // 0: not said, as MemoryMB
	MemoryMB     int
	NodeSelector map[string]string
	StartSeconds int    // how long a start may take
	Models       string // path at which models are kept
}

// Secret is a variable whose value is in a Secret.
type Secret struct {
	Name     string
	Optional bool // the pod starts without it
}

// probePeriod of the startup probe, in s.
const probePeriod = 10

// StartTries is how often the startup probe may fail.
func (k Kube) StartTries() int { return (k.StartSeconds + probePeriod - 1) / probePeriod }

// SampleKube has everything that a manifest can have.
func SampleKube() Kube {
	return Kube{
		Name: "vllm-1", Run: "1", Image: "vllm/vllm-openai:v0", Args: []string{"model"}, Environment: map[string]string{"A": "b"}, Secret: "vllm-1", Secrets: []Secret{{"HF_TOKEN", true}},
		Resource: "nvidia.com/gpu", Accelerators: 1, CPUs: 1, MemoryMB: 1, NodeSelector: map[string]string{"a": "b"}, StartSeconds: 600, Models: "/models",
	}
}

// Manifest are the winner's values for Kubernetes. image replaces the one of the version that was measured. What one Deployment cannot be is
// an error that says so.
func Manifest(w Winner, s *spec.Spec, image string) (Kube, error) {
	k := Kube{Name: kubeName(w.Run.ID), Run: kubeLabel(w.Run.ID), Image: image, Models: w.DownloadDir, CPUs: w.Resources.CPUs, MemoryMB: w.Resources.MemMB}
	if w.Resources.Nodes > 1 {
		return k, severalNodes(fmt.Sprintf("%d nodes with %d GPUs each", w.Resources.Nodes, w.Resources.GPUs))
	}
	var err error
	if k.Image == "" {
		if k.Image, err = Image(w.Version, w.System, s.Site.Container); err != nil {
			return k, err
		}
	}
	switch w.System {
	case "GPU":
		k.Resource, k.Accelerators = "nvidia.com/gpu", w.Resources.GPUs
	case "TPU":
		k.Resource = "google.com/tpu"
		if k.Accelerators, k.NodeSelector, err = tpuNodes(s.Site.TPU); err != nil {
			return k, err
		}
		k.CPUs, k.MemoryMB = 0, 0
	}
	if k.Models == "" {
		k.Models = "/root/.cache/huggingface"
	}
	for _, arg := range slices.Concat([]string{w.Model}, w.Flags, []string{"--host", "0.0.0.0", "--port", "8000"}) {
		k.Args = append(k.Args, literal(arg))
	}
	k.Environment = map[string]string{}
	for name, value := range w.Environment {
		k.Environment[name] = literal(value)
	}
	k.Secret = k.Name
	for _, name := range w.Secrets {
		k.Secrets = append(k.Secrets, Secret{Name: name})
	}
	// A model that everybody may have needs no token, and a server behind others no key of its own.
	for _, name := range []string{"HF_TOKEN", "VLLM_API_KEY"} {
		if _, set := w.Environment[name]; !set && !slices.Contains(w.Secrets, name) {
			k.Secrets = append(k.Secrets, Secret{name, true})
		}
	}
	// Half an hour is what a download of a large model may take; four times the start that was seen is for slower machines.
	k.StartSeconds = int(math.Ceil(max(1800, w.StartTimeout, 4*w.StartSeconds)))
	return k, nil
}

func severalNodes(what string) error {
	return diag.Wrap(fmt.Errorf("the winner's server takes %s, which one Deployment cannot be: its pods know nothing of each other", what), diag.Usage,
		"a LeaderWorkerSet starts a group of pods as one server (vLLM's documentation has an example, under Deployment); --format json has its command and flags")
}

// literal is text in which Kubernetes finds no $(NAME) to replace.
func literal(s string) string { return strings.ReplaceAll(s, "$", "$$") }

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// kubeName is a DNS label.
func kubeName(run string) string {
	name := "vllm-" + strings.Trim(notInName.ReplaceAllString(strings.ToLower(run), "-"), "-")
	return strings.TrimRight(name[:min(len(name), 63)], "-")
}

var notInLabel = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// kubeLabel is a label's value. The id of an imported run has its folder's name, which may be any.
func kubeLabel(run string) string {
	value := notInLabel.ReplaceAllString(run, "-")
	return strings.Trim(value[max(len(value)-63, 0):], "._-") // the end tells runs apart
}

var (
	releaseName = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:\.post\d+|rc\d+)?)(?:\+[a-z0-9.]+)?$`)
	registry    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:#/-]*$`)
)

// Image is the container image of what was measured: the one that it was measured in, if a registry has that, or else the one that the vLLM
// project publishes for the version.
func Image(version, system string, c spec.Container) (string, error) {
	if name, ok := published(c); ok {
		return name, nil
	}
	m := releaseName.FindStringSubmatch(version)
	if _, _, ok := vllm.Release(version); !ok || m == nil {
		return "", diag.Wrap(fmt.Errorf("no image is published of what was measured, vLLM %q", OneLine(version)), diag.Usage, "name one that has it with --image REPOSITORY:TAG")
	}
	switch system {
	case "TPU":
		return "vllm/vllm-tpu:v" + m[1], nil
	case "CPU":
		return "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v" + m[1], nil
	}
	return "vllm/vllm-openai:v" + m[1], nil
}

// published is the measured image by the name that Kubernetes has for it, if it is one of a registry.
func published(c spec.Container) (name string, ok bool) {
	switch name = c.Image; {
	case c.Runtime == "none" || c.Runtime == "" || name == "":
		return "", false
	case c.Runtime == "pyxis":
		name = strings.Replace(strings.TrimPrefix(name, "docker://"), "#", "/", 1)
	case c.Runtime == "apptainer":
		var docker bool
		if name, docker = strings.CutPrefix(name, "docker://"); !docker {
			return "", false
		}
	}
	return name, registry.MatchString(name) && !strings.HasSuffix(name, ".sqsh")
}

// tpuNodes is how many chips a node has, and the labels by which GKE knows such nodes.
func tpuNodes(t spec.TPU) (chips int, selector map[string]string, err error) {
	shape, err := t.Slice()
	if err != nil {
		return 0, nil, err
	}
	if shape.Hosts > 1 {
		return 0, nil, severalNodes(fmt.Sprintf("the %d hosts of a slice", shape.Hosts))
	}
	kind, known := map[string]string{
		"v3": "tpu-v3-device", "v4": "tpu-v4-podslice", "v5litepod": "tpu-v5-lite-podslice", "v5p": "tpu-v5p-slice", "v6e": "tpu-v6e-slice",
	}[shape.Version]
	if !known {
		return 0, nil, diag.Wrap(fmt.Errorf("no node pool of GKE has TPU %s", shape.Version), diag.Usage, "--format command is for a machine of Cloud TPU")
	}
	// Single hosts: v4 and v5p are cubes, of which a host is a slice.
	topology := map[int]string{1: "1x1", 4: "2x2", 8: "2x4"}[shape.Chips]
	if shape.Version == "v4" || shape.Version == "v5p" {
		topology = "2x2x1"
	}
	return shape.Chips, map[string]string{"cloud.google.com/gke-tpu-accelerator": kind, "cloud.google.com/gke-tpu-topology": topology}, nil
}
