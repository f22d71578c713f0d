package spec

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/spec/table"
)

const onTPU = minimal + "base: gs://bucket/tuning\nscheduler: tpu\n"

// v6e is a site of which everything that is needed is said; more keys may follow in it.
const v6e = "site: {project: my-project, zone: us-east5-b, accelerator_type: v6e-8, runtime_version: v2-alpha-tpuv6e, "

func TestASpecForTPUsHasTheirDefaults(t *testing.T) {
	s, err := Parse("s", []byte(onTPU+v6e+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := TPU{
		Project: "my-project", Zone: "us-east5-b", AcceleratorType: "v6e-8", RuntimeVersion: "v2-alpha-tpuv6e", ExternalIPs: true,
		MaxRunDuration: "4h", CellsPerResource: 8, API: "v2",
	}
	if diff := cmp.Diff(want, s.Site.TPU); diff != "" {
		t.Errorf("site differs (-want +got):\n%s", diff)
	}
	if s.System != "TPU" || s.Server.MultiNode != "ray" || s.Plan != "columns" || s.MaxChipHours != 0 {
		t.Errorf("system %s, multi_node %s, plan %s, %g chip-hours", s.System, s.Server.MultiNode, s.Plan, s.MaxChipHours)
	}
	if seconds := s.Site.TPU.MaxRunSeconds(); seconds != 4*3600 {
		t.Errorf("a machine lives for %d s", seconds)
	}
}

func TestAMachineForEachCellHasNoColumns(t *testing.T) {
	s, err := Parse("s", []byte(onTPU+v6e+"cells_per_resource: 1}\n"))
	if err != nil || s.Plan != "cells" {
		t.Errorf("plan %v, %v", s, err)
	}
}

func TestWhatASpecForTPUsCannotSayIsRefusedAtItsKey(t *testing.T) {
	site := func(keys string) string { return onTPU + v6e + keys + "}\n" }
	without := func(key string) string {
		var kept []string
		for _, k := range strings.Split(v6e[len("site: {"):], ", ") {
			if !strings.HasPrefix(k, key+":") {
				kept = append(kept, k)
			}
		}
		return onTPU + "site: {" + strings.Join(kept, ", ") + "}\n"
	}
	// The sign § stands before what is refused.
	for _, c := range []struct{ name, spec, want, hint string }{
		{"no bucket", minimal + "scheduler: tpu\n" + v6e + "}\n", "base: is missing, which scheduler tpu needs", "the machines share no directory: write base: gs://BUCKET/PATH"},
		{"a folder", minimal + "base: §/shared\nscheduler: tpu\n" + v6e + "}\n", "base: does not do for scheduler tpu", "the machines share no directory: write base: gs://BUCKET/PATH"},
		{
			"a bucket of no name", minimal + "base: §gs:///a\nscheduler: tpu\n" + v6e + "}\n", `base: "gs:///a" is not gs://BUCKET/PATH`,
			"a bucket's name has 3 to 63 small letters, digits and - _ . ; a path letters, digits and _ . + = @ - between single slashes",
		},
		{
			"a path that climbs", minimal + "base: §gs://bucket/../a\nscheduler: tpu\n" + v6e + "}\n", `base: "gs://bucket/../a" is not gs://BUCKET/PATH`,
			"a bucket's name has 3 to 63 small letters, digits and - _ . ; a path letters, digits and _ . + = @ - between single slashes",
		},
		{"a bucket of a local run", minimal + "base: §gs://bucket/a\n", "base: only scheduler tpu keeps its runs in a bucket", "write a path, or scheduler: tpu"},
		{"a key of TPUs on Slurm", minimal + "scheduler: slurm\nsite: {spot: §true}\n", "site.spot: only scheduler tpu knows this key", "leave it out, or write scheduler: tpu"},
		{"a bound of a local run", minimal + "max_chip_hours: §8\n", "max_chip_hours: only scheduler tpu knows this key", "leave it out, or write scheduler: tpu"},
		{"a bound of nothing", site("") + "max_chip_hours: §0\n", "max_chip_hours: 0 is not above 0", "leave the key out to be asked"},
		{"GPUs", site("") + "system: §GPU\n", "system: scheduler tpu has TPUs", "write system: TPU, or leave the key out"},
		{"no project", without("project"), "site.project: is missing, which scheduler tpu needs", "write the id of the project that pays: gcloud config get project"},
		{"an empty zone", strings.Replace(site(""), "us-east5-b", `§""`, 1), "site.zone: does not do for scheduler tpu", "write where the TPUs are: gcloud compute tpus locations list"},
		{
			"no runtime", without("runtime_version"), "site.runtime_version: is missing, which scheduler tpu needs",
			"write the system image, such as v2-alpha-tpuv6e for v6e, v2-alpha-tpuv5-lite for v5e",
		},
		{
			"no shape", without("accelerator_type"), "site.accelerator_type: is missing, which scheduler tpu needs",
			"write accelerator_type: v6e-8, or accelerator: V6E with topology: 2x4",
		},
		{
			"two shapes", strings.Replace(site("topology: 2x4"), "v6e-8", "§v6e-8", 1), "site.accelerator_type: stands beside accelerator or topology, which say the same",
			"keep accelerator_type, or the other two",
		},
		{
			"a kind without a topology", strings.Replace(site(""), "accelerator_type: v6e-8", "accelerator: §V6E", 1),
			"site.accelerator: is no slice without a topology", "write site.topology too, or accelerator_type alone",
		},
		{
			"a topology without a kind", strings.Replace(site(""), "accelerator_type: v6e-8", "topology: §2x4", 1),
			"site.topology: is no slice without the kind of TPU", "write site.accelerator too, or accelerator_type alone",
		},
		{"a slice of no size", strings.Replace(site(""), "v6e-8", "§v6e-3", 1), "site.accelerator_type: v6e-3: no slice of v6e has 3 chips", ""},
		{
			"a topology of another kind", strings.Replace(site(""), "accelerator_type: v6e-8", "accelerator: V6E, topology: §2x2x2", 1),
			`site.topology: "2x2x2" is no topology of V6E, which has 2 dimensions`, "",
		},
		{
			"a server larger than its slice", site("") + "tensor_parallel: §16\n", "tensor_parallel: a server of 16 chips does not fit a slice of 8",
			"write a larger slice, or fewer chips for the server",
		},
		{
			"stages beyond a slice", site("") + "pipeline_parallel: §9\n", "pipeline_parallel: a server of 9 chips does not fit a slice of 8",
			"write a larger slice, or fewer chips for the server",
		},
		{
			"hosts that do not join", strings.Replace(site(""), "v6e-8", "v6e-16", 1) + "server: {multi_node: §mp}\n",
			"server.multi_node: the 4 hosts of a slice join by Ray", "write ray, or leave the key out",
		},
		{"a name that is not the API's", strings.Replace(site(""), "v6e-8", "§v5e-8", 1), "site.accelerator_type: the API has another name for v5e", "write v5litepod-8"},
		{"a region", strings.Replace(site(""), "us-east5-b", "§us-east5", 1), "site.zone: us-east5 is a region", "write a zone of it, such as us-east5-b"},
		{
			"a project's number", strings.Replace(site(""), "my-project", "§123456", 1),
			`site.project: "123456" is not a project's id: 6 to 30 small letters, digits and dashes, a letter first`, "",
		},
		{
			"a hostile topology", strings.Replace(site(""), "accelerator_type: v6e-8", `accelerator: V6E, topology: §"2x4;id"`, 1),
			`site.topology: "2x4;id" is not a topology such as 2x4 or 4x4x4`, "",
		},
		{"two tiers", site("spot: true, guaranteed: §true"), "site.guaranteed: stands beside spot", "keep one; with none of them machines are on demand"},
		{"yes", site("spot: §yes"), `site.spot: wants true or false, got the text "yes"`, ""},
		{"flex start in v2", site("flex_start: §true"), "site.flex_start: is not in version v2 of the API", "write site.api: v2alpha1"},
		{"a reservation for nothing", site("reservation: §week"), "site.reservation: is not used", "write site.reserved: true, or leave the key out"},
		{
			"a person", site("service_account: §me@example.com"),
			`site.service_account: "me@example.com" is not a service account's email, such as NAME@PROJECT.iam.gserviceaccount.com`, "",
		},
		{"a label in capitals", site("labels: {§Team: a}"), `site.labels.Team: "Team" is not a label's name: small letters, digits, _ and -, a letter first, at most 63`, ""},
		{"a label of vtune", site("labels: {§vtune-run: a}"), "site.labels.vtune-run: labels that begin with vtune are vtune's: it finds its machines by them", ""},
		{"a label's value with a space", site("labels: {team: §a b}"), `site.labels.team: "a b" is not a label's value: small letters, digits, _ and -, at most 63`, ""},
		{"days", site("valid_until: §2d"), `site.valid_until: "2d" is not a duration`, "write it as 90s, 10m or 1h30m"},
		{"a life that is not worth it", site("max_run_duration: §9m"), "site.max_run_duration: 9m is not between 10m and 168h", ""},
		{"no cells", site("cells_per_resource: §0"), "site.cells_per_resource: 0 is not 1 or more (at most 2147483647)", ""},
		{"modules", site("modules: §[cuda]"), "site.modules: a TPU's machine has no modules", "leave the key out; an image has what vLLM needs"},
		{"a time limit", site("time: §60"), "site.time: a machine does many jobs, and it is the machine whose life is bounded", "write site.max_run_duration"},
		{"a node's GPUs", site("gpus_per_node: §8"), "site.gpus_per_node: a TPU's slice says by itself how many chips it has", "leave the key out"},
		{"a pack", site("pack: §gpus"), "site.pack: only jobs of Slurm can do this", "write scheduler: slurm, or site.pack: off"},
		{"a shape", site("shape: §one-job"), "site.shape: only jobs of Slurm can do this", "write scheduler: slurm, or site.shape: jobs"},
		{"a scratch", site("scratch: §/s"), "site.scratch: only jobs of Slurm can do this", `write scheduler: slurm, or site.scratch: ""`},
		{
			"a collector's partition", site("collector: {partition: §a}"), "site.collector.partition: only on Slurm is the collector a job",
			"write scheduler: slurm, or leave the key out",
		},
		{
			"apptainer", site("container: {runtime: §apptainer, image: /v.sif}"), "site.container.runtime: a TPU's machine has docker",
			"write site.container.runtime: docker, or none where vLLM is in the machine's system image",
		},
		{"docker without an image", site("container: {runtime: §docker}"), "site.container.runtime: has no image to run", "write site.container.image"},
		{"an image without docker", site("container: {image: §vllm/vllm-tpu:v1}"), "site.container.image: nothing is said to run it with", "write site.container.runtime: docker"},
		{
			"a file for docker", site("container: {runtime: docker, image: §/v.sif}"), `site.container.image: "/v.sif" is no image of a registry`,
			"write REPOSITORY:TAG, such as vllm/vllm-tpu:TAG",
		},
		{
			"docker on Slurm", minimal + "scheduler: slurm\nsite: {container: {runtime: §docker, image: a}}\n", "site.container.runtime: begins containers on TPUs only",
			"write site.container.runtime: apptainer or pyxis on Slurm",
		},
		{
			"docker on this machine", minimal + "site: {container: {runtime: §docker, image: a}}\n", "site.container.runtime: begins containers on TPUs only",
			"write site.container.runtime: apptainer or pyxis on Slurm",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after, marked := strings.Cut(c.spec, "§")
			if !marked { // what is missing is missed where the scheduler stands that needs it
				i := strings.Index(c.spec, "scheduler: ") + len("scheduler: ")
				before, after = c.spec[:i], c.spec[i:]
			}
			_, err := Parse("s", []byte(before+after))
			ps := problemsOf(t, err)
			want := fmt.Sprintf("s:%d:%d: %s", 1+strings.Count(before, "\n"), len(before)-strings.LastIndex(before, "\n"), c.want)
			if got := ps.Error(); got != want || ps[0].Hint != c.hint {
				t.Errorf("got  %s (%s)\nwant %s (%s)", got, ps[0].Hint, want, c.hint)
			}
		})
	}
}

func TestMoreLabelsThanAMachineMayHaveAreRefused(t *testing.T) {
	labels := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "l%d: a, ", i)
		}
		return onTPU + v6e + "labels: {" + b.String() + "}}\n"
	}
	if _, err := Parse("s", []byte(labels(56))); err != nil {
		t.Error(err)
	}
	_, err := Parse("s", []byte(labels(57)))
	if got := problemsOf(t, err).Error(); !strings.HasSuffix(got, ": site.labels: has 57 labels, more than 56") {
		t.Error(got)
	}
}

func TestASiteFileForBothSaysNothingOfTPUsToSlurm(t *testing.T) {
	sites := siteFiles(map[string]string{"both": "partition: gpu\nproject: my-project\nspot: true\nlabels: {a: b}\n"})
	s, err := ParseWith("s", []byte(minimal+"scheduler: slurm\nsite: {use: both}\n"), sites)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(TPU{}, s.Site.TPU); diff != "" || s.Site.Partition != "gpu" {
		t.Errorf("partition %s, and of TPUs %s", s.Site.Partition, diff)
	}
	if strings.Contains(string(s.Effective()), "my-project") {
		t.Error("the effective spec has what its scheduler does not know")
	}
}

func TestASiteFileMayHoldWhatASpecForTPUsNeeds(t *testing.T) {
	data, err := os.ReadFile("../../examples/sites/tpu-v6e.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckSite("tpu-v6e", data); err != nil {
		t.Error(err)
	}
	s, err := ParseWith("s", []byte(onTPU+"site: {use: tpu-v6e, labels: {team: mine}}\n"), siteFiles(map[string]string{"tpu-v6e": string(data)}))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Site.TPU.String(); got != "spot v6e-8 in us-east5-b" || s.Site.TPU.Labels["team"] != "mine" {
		t.Errorf("%s, labels %v", got, s.Site.TPU.Labels)
	}
}

// The template shows the keys of TPUs as they may be written, though not all of them beside each other.
func TestWhatTheTemplateShowsOfTPUsIsValid(t *testing.T) {
	seen := 0
	beside := map[string]string{"accelerator": "topology: 2x4, ", "topology": "accelerator: V6E, "}
	table.Walk(tpuFields(), "", func(f field, path string) {
		seen++
		if line := "  # " + path + ": " + f.Suggestion().Value; !strings.Contains(string(Template()), line) {
			t.Errorf("the template has no line %q", line)
		}
		var others []string
		for _, k := range strings.Split(v6e[len("site: {"):], ", ") {
			if !strings.HasPrefix(k, path) && !(beside[path] != "" && strings.HasPrefix(k, "accelerator_type")) {
				others = append(others, k)
			}
		}
		text := onTPU + "max_chip_hours: 96\nsite: {" + path + ": " + f.Suggestion().Value + ", " + beside[path] + strings.Join(others, ", ") + "}\n"
		if _, err := Parse("s", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	})
	if seen != 19 {
		t.Errorf("%d keys", seen)
	}
}

func TestATPUIsToldInAFewWords(t *testing.T) {
	for _, c := range []struct {
		tpu  TPU
		want string
	}{
		{TPU{AcceleratorType: "v6e-8", Zone: "us-east5-b", Spot: true}, "spot v6e-8 in us-east5-b"},
		{TPU{AcceleratorType: "v5litepod-4", Zone: "us-west4-a"}, "on-demand v5litepod-4 in us-west4-a"},
		{TPU{Accelerator: "V6E", Topology: "4x4", Zone: "us-east5-b", FlexStart: true}, "flex_start V6E 4x4 in us-east5-b"},
	} {
		if got := c.tpu.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// What is not there is not told twice: a shape that has a problem of its own is not missing too.
func TestAKeyWithAProblemIsNotMissingToo(t *testing.T) {
	_, err := Parse("s", []byte(onTPU+"site: {project: 1, zone: us, accelerator_type: 8, runtime_version: V}\n"))
	var paths []string
	for _, p := range problemsOf(t, err) {
		paths = append(paths, p.Path)
	}
	if want := []string{"site.project", "site.zone", "site.accelerator_type", "site.runtime_version"}; !slices.Equal(paths, want) {
		t.Errorf("problems at %v, want %v", paths, want)
	}
}
