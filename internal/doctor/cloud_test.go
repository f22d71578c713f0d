package doctor_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/doctor"
)

// wellOnTPU is a world of Google's in which nothing is wrong.
func wellOnTPU() *world {
	w := &world{text: `model: org/name
workload: {input_len: 100, output_len: 10}
limit: {p99_e2el_ms: 500}
grid: {max_num_seqs: [4, 8], max_num_batched_tokens: [64]}
tensor_parallel: 8
scheduler: tpu
base: gs://tuning/runs
server: {secrets: [HF_TOKEN]}
max_chip_hours: 64
site: {project: my-project, zone: us-east5-b, accelerator_type: v6e-8, runtime_version: v2-alpha-tpuv6e, max_run_duration: 4h,
  service_account: tuner@my-project.iam.gserviceaccount.com, container: {runtime: docker, image: "vllm/vllm-tpu:v0.32.0"}}
`}
	w.facts = doctor.Facts{
		Scheduler: "tpu", Base: &doctor.Disk{Path: "/home/me/.local/state/vtune/gs/tuning/runs", Magic: 0xEF53, Free: 100 << 30},
		Cloud: &doctor.Cloud{
			Account: "a person's account, by /home/me/.config/gcloud/application_default_credentials.json", AnswerSeconds: 0.12,
			Types: []string{"v5litepod-8", "v6e-1", "v6e-4", "v6e-8"}, Topologies: []string{"V5LITE_POD 2x4", "V6E 1x1", "V6E 2x2", "V6E 2x4"},
			Runtimes:  []string{"tpu-ubuntu2204-base", "v2-alpha-tpuv5-lite", "v2-alpha-tpuv6e"},
			Resources: []doctor.QueuedResource{{ID: "one", State: "ACTIVE"}, {ID: "two", State: "WAITING_FOR_RESOURCES"}, {ID: "three", State: "ACTIVE"}},
			Bucket:    &doctor.Bucket{Place: "gs://tuning/runs", Seconds: 0.35, Ahead: 400 * time.Millisecond},
		},
	}
	return w
}

func TestTheLinesOfTPUsThatAreWell(t *testing.T) {
	lines := wellOnTPU().diagnose(t)
	got := doctor.Text(lines)
	const golden = "testdata/tpu.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error(diff)
	}
	for _, l := range lines {
		if l.Level != doctor.OK || l.Remedy != "" {
			t.Errorf("%+v", l)
		}
	}
}

func TestEachFaultOfTPUsIsToldWithItsRemedy(t *testing.T) {
	cloud := func(change func(*doctor.Cloud)) func(*world) { return func(w *world) { change(w.facts.Cloud) } }
	bucket := func(change func(*doctor.Bucket)) func(*world) { return func(w *world) { change(w.facts.Cloud.Bucket) } }
	replaced := func(old, text string) func(*world) { return func(w *world) { w.site(old, text) } }
	for _, c := range []struct {
		name  string
		wrong func(*world)
		check string
		level doctor.Level
		says  string
		hint  string
	}{
		{"no credentials", cloud(func(c *doctor.Cloud) {
			*c = doctor.Cloud{Credentials: doctor.Problem{What: "Google credentials: none found", Remedy: "gcloud auth application-default login"}}
		}), "credentials", doctor.Fail, "none found; neither the API nor the bucket was asked", "application-default login"},
		{"no answer", cloud(func(c *doctor.Cloud) { c.API = doctor.Problem{What: "connection refused", Remedy: "ask again later"} }), "api", doctor.Fail, "connection refused", "later"},
		{"a refusal, and the zone is there", cloud(func(c *doctor.Cloud) {
			c.API, c.Zones = doctor.Problem{What: "PERMISSION_DENIED", Remedy: "roles/tpu.admin"}, []string{"us-east5-b"}
		}), "api", doctor.Fail, "PERMISSION_DENIED", "roles/tpu.admin"},
		{"no such zone", cloud(func(c *doctor.Cloud) {
			c.API, c.Zones = doctor.Problem{What: "PERMISSION_DENIED", Remedy: "roles/tpu.admin"}, []string{"europe-west4-a", "us-east5-a"}
		}), "zone", doctor.Fail, "project my-project has no TPUs in us-east5-b", "write one of us-east5-a, europe-west4-a as site.zone"},
		{"lists that are not whole", cloud(func(c *doctor.Cloud) { c.Offers = doctor.Problem{What: "the list lacks x", Remedy: "ask again later"} }), "zone", doctor.Warn, "not known: the list lacks x", "later"},
		{"no such type", replaced("v6e-8", "v6e-16"), "zone", doctor.Fail, "us-east5-b has no v6e-16", "write one of v6e-1, v6e-4, v6e-8, v5litepod-8 as site.accelerator_type"},
		{"no such topology", replaced("accelerator_type: v6e-8", "accelerator: V5P, topology: 2x2x2"), "zone", doctor.Fail, "us-east5-b has no V5P 2x2x2", "V5LITE_POD 2x4, V6E 1x1"},
		{"no such runtime", replaced("tpuv6e", "tpuv6"), "zone", doctor.Fail, "us-east5-b has no v2-alpha-tpuv6", "write one of v2-alpha-tpuv6e, v2-alpha-tpuv5-lite, tpu-ubuntu2204-base as site.runtime_version"},
		{"a zone with nothing", cloud(func(c *doctor.Cloud) { c.Runtimes = nil }), "zone", doctor.Fail, "us-east5-b has no v2-alpha-tpuv6e", "none at all"},
		{
			"what failed is there still", cloud(func(c *doctor.Cloud) {
				c.Resources = append(c.Resources, doctor.QueuedResource{ID: "old-1", State: "FAILED", Reason: "RESOURCE_EXHAUSTED: Quota limit 'TPUV6E' has been exceeded."},
					doctor.QueuedResource{ID: "old-2", State: "SUSPENDED", Reason: "the service took the node away"})
			}), "resources", doctor.Warn, "2 ACTIVE, 1 FAILED, 1 SUSPENDED, 1 WAITING_FOR_RESOURCES; what has failed or is suspended never runs again, and counts against the quota until it is deleted: old-1, old-2; old-1: RESOURCE_EXHAUSTED: Quota limit 'TPUV6E'",
			"queued-resources delete old-1 --zone=us-east5-b --project=my-project; the same for the others",
		},
		{"no rights in the bucket", bucket(func(b *doctor.Bucket) {
			b.Problem = doctor.Problem{What: "not allowed in bucket tuning", Remedy: "roles/storage.objectAdmin"}
		}), "bucket", doctor.Fail, "not allowed in bucket tuning", "objectAdmin"},
		{"what cannot be deleted", bucket(func(b *doctor.Bucket) {
			b.Problem, b.Left = doctor.Problem{What: "delete: not allowed", Remedy: "roles/storage.objectAdmin"}, "gs://tuning/runs/.vtune-doctor-1"
		}), "bucket", doctor.Fail, "may be left: gs://tuning/runs/.vtune-doctor-1", "objectAdmin; then: gcloud storage rm gs://tuning/runs/.vtune-doctor-1"},
		{"a clock that is far ahead", bucket(func(b *doctor.Bucket) { b.Ahead = -time.Hour }), "clocks", doctor.Warn, "-3600.0 s ahead", "NTP"},
		{"a clock that is far behind", bucket(func(b *doctor.Bucket) { b.Ahead = 61 * time.Second }), "clocks", doctor.Warn, "+61.0 s ahead", "NTP"},
		{"idle chips", replaced("tensor_parallel: 8", "tensor_parallel: 4"), "slice", doctor.Warn, "8 chips on 1 host, of which a server takes 4", "paid for"},
		{"more than may be spent", replaced("max_chip_hours: 64", "max_chip_hours: 31"), "cost", doctor.Fail, "at the worst 32.0 chip-hours (1 machine of 8 chips for 4h), and max_chip_hours is 31", "cells_per_resource"},
		{"an image that moves", replaced(":v0.32.0", ":nightly"), "image", doctor.Warn, "vllm/vllm-tpu:nightly may be another one tomorrow (nightly)", "digest"},
		{"an image without a tag", replaced("vllm/vllm-tpu:v0.32.0", "registry:5000/vllm-tpu"), "image", doctor.Warn, "(latest, for want of a tag)", "digest"},
		{"too little time", func(w *world) { w.site("4h", "10m"); w.assumed = 3 }, "time", doctor.Warn, "site.max_run_duration is 10m; the longest job", "write 43m as site.max_run_duration"},
		{"no room for the copy", func(w *world) { w.facts.Base.Free = 1 << 20 }, "copy", doctor.Warn, "1 MiB free", "XDG_STATE_HOME"},
		{"no place for the copy", func(w *world) { w.facts.Base, w.facts.BaseProblem = nil, "permission denied" }, "copy", doctor.Fail, "permission denied", "XDG_STATE_HOME"},
		{"secret not set", func(w *world) {
			w.facts.Secrets = doctor.Problem{What: "HF_TOKEN is not set", Remedy: "export HF_TOKEN"}
		}, "secrets", doctor.Fail, "HF_TOKEN is not set", "export HF_TOKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := wellOnTPU()
			c.wrong(w)
			lines := w.diagnose(t)
			i := slices.IndexFunc(lines, func(l doctor.Line) bool { return l.Level != doctor.OK })
			if i < 0 {
				t.Fatalf("no line says so:\n%s", doctor.Text(lines))
			}
			l := lines[i]
			if l.Check != c.check || l.Level != c.level || !strings.Contains(l.Says, c.says) || !strings.Contains(l.Remedy, c.hint) {
				t.Errorf("%+v", l)
			}
			for k, other := range lines {
				if k != i && other.Level != doctor.OK && other.Check != "slice" { // of 16 chips half are idle
					t.Errorf("another line: %+v", other)
				}
				if (other.Level != doctor.OK) != (other.Remedy != "") {
					t.Errorf("a remedy where none is needed, or none where one is: %+v", other)
				}
			}
		})
	}
}

func TestAnImageThatStaysWhatItIsIsTakenAsItIs(t *testing.T) {
	for _, image := range []string{"vllm/vllm-tpu:v1", "vllm/vllm-tpu@sha256:" + strings.Repeat("a", 64), "registry:5000/org/vllm-tpu:nightly-0123abc"} {
		w := wellOnTPU()
		w.site("vllm/vllm-tpu:v0.32.0", image)
		if text := doctor.Text(w.diagnose(t)); !strings.Contains(text, "ok    image") {
			t.Errorf("%s:\n%s", image, text)
		}
	}
}

func TestASpecWithoutALimitIsToldThatItWillBeAsked(t *testing.T) {
	w := wellOnTPU()
	w.site("max_chip_hours: 64\n", "")
	if text := doctor.Text(w.diagnose(t)); !strings.Contains(text, "32.0 chip-hours (1 machine of 8 chips for 4h), to which submit asks you to agree") {
		t.Error(text)
	}
}
