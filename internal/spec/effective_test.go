package spec

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anySpec draws valid specs, with texts as odd as the rules allow.
func anySpec() *rapid.Generator[*Spec] {
	return rapid.Custom(func(t *rapid.T) *Spec {
		number := func(least int) int { return rapid.IntRange(least, 5000).Draw(t, "number") }
		line := rapid.StringMatching(`[^\x00-\x1f\x7f]{0,12}`)
		name := rapid.StringMatching(`([A-Za-z0-9_][A-Za-z0-9_.,+:@-]{0,8})?`)
		s := &Spec{
			Model:          rapid.StringMatching(`[A-Za-z0-9/#:'"&*!é][^\x00-\x1f\x7f]{0,12}`).Draw(t, "model"),
			System:         rapid.SampledFrom([]string{"GPU", "TPU", "CPU"}).Draw(t, "system"),
			TensorParallel: number(1), PipelineParallel: rapid.IntRange(1, 4).Draw(t, "stages"),
			DownloadDir: rapid.StringMatching(`(/[^\x00-\x1f\x7f]{0,12})?`).Draw(t, "download dir"),
			Workload: Workload{
				number(1), number(1), rapid.IntRange(0, 99).Draw(t, "pct"),
				rapid.SampledFrom([]int{0, 16, 128256}).Draw(t, "vocabulary"),
			},
			Grid: Grid{
				MaxNumSeqs:          rapid.SliceOfNDistinct(rapid.IntRange(1, 512), 1, 4, rapid.ID).Draw(t, "seqs"),
				MaxNumBatchedTokens: rapid.SliceOfNDistinct(rapid.IntRange(512, 9000), 1, 4, rapid.ID).Draw(t, "tokens"),
			},
			Base:      rapid.StringMatching(`[^\x00-\x1f\x7f~$]{1,12}`).Draw(t, "base"),
			Scheduler: rapid.SampledFrom([]string{"local", "slurm", "tpu"}).Draw(t, "scheduler"),
			Site: Site{
				Partition: name.Draw(t, "partition"), Account: name.Draw(t, "account"), QOS: name.Draw(t, "qos"),
				Reservation: name.Draw(t, "reservation"), Constraint: rapid.SampledFrom([]string{"", "a&b", "[r1|r2]*2", "!x"}).Draw(t, "constraint"),
				Time:   rapid.SampledFrom([]string{"", "60", "2:00", "1:00:00", "1-0", "1-0:30", "1-00:00:00"}).Draw(t, "time"),
				Memory: rapid.SampledFrom([]string{"", "0", "64000", "64G", "1t"}).Draw(t, "memory"),
				CPUs:   number(0), GPUStyle: rapid.SampledFrom([]string{"gres", "gpus-per-node", "gpus", "none"}).Draw(t, "style"),
				GPUType: rapid.SampledFrom([]string{"", "h100", "010"}).Draw(t, "type"), MaxParallel: number(0),
				Pack: "off", Shape: "jobs", Nodes: 1, Container: Container{Runtime: "none"},
				Proxy:       rapid.SampledFrom([]string{"", "http://proxy:3128", "https://[fe80::1]:80/"}).Draw(t, "proxy"),
				Modules:     rapid.SampledFrom([][]string{nil, {"cuda/12.8"}, {"1", "null"}}).Draw(t, "modules"),
				Environment: rapid.SampledFrom([][]string{nil, {"source /a/b", "export A=\"$(date)\"  # now"}}).Draw(t, "environment"),
				Directives:  rapid.SampledFrom([]map[string]string{nil, {"exclusive": "", "exclude": "n[1-4],n7"}}).Draw(t, "directives"),
			},
			Server: Server{
				Command:      rapid.SliceOfN(rapid.StringMatching(`[^\x00-\x1f\x7f]{1,8}`), 1, 3).Draw(t, "command"),
				Flags:        rapid.SampledFrom([][]string{nil, {"--dtype", "bfloat16"}, {"--hf-overrides", `{"a": [1]}`}}).Draw(t, "flags"),
				StartTimeout: rapid.SampledFrom([]string{"10m", "1h30m", "90s"}).Draw(t, "timeout"),
				Secrets:      rapid.SampledFrom([][]string{nil, {"HF_TOKEN", "Y"}}).Draw(t, "secrets"),
				SecretsFile:  rapid.SampledFrom([]string{"", "~/.config/it's", "/etc/secrets"}).Draw(t, "secrets file"),
				MultiNode:    rapid.SampledFrom([]string{"mp", "ray"}).Draw(t, "multi-node"),
			},
			Method: rapid.SampledFrom([]string{MethodVtune, MethodAutoTune}).Draw(t, "method"), RateSearch: "in-job",
			Profile: Profile{With: rapid.SampledFrom([]string{"own-start", "none"}).Draw(t, "with"), MaxIterations: number(0)},
			Seed:    rapid.Int64Range(0, 1<<32-1).Draw(t, "seed"),
		}
		s.Server.CacheRoot = rapid.SampledFrom([]string{"", "/scratch/it's"}).Draw(t, "cache root")
		switch s.Scheduler {
		case "slurm":
			anyOfSlurm(t, s, name)
		case "tpu":
			anyOfTPU(t, s)
		}
		if s.Method == MethodAutoTune {
			anyOfAutoTune(t, s)
		} else {
			anyOfVtune(t, s)
		}
		for i, value := range rapid.SliceOfN(line, 0, 3).Draw(t, "values") {
			if s.Server.Environment == nil {
				s.Server.Environment = map[string]string{"null": ""}
			}
			s.Server.Environment[fmt.Sprintf("V%d", i)] = value + rapid.SampledFrom([]string{"", "\n", "\t ", "\r\n\a", "\u0085\u2028\ufeff"}).Draw(t, "end")
		}
		s.MaxModelLen = s.Workload.InputLen + s.Workload.OutputLen + number(0)
		return s
	})
}

// anyOfSlurm draws what only jobs of Slurm can do.
func anyOfSlurm(t *rapid.T, s *Spec, name *rapid.Generator[string]) {
	s.Site.Collector = Collector{name.Draw(t, "collector's partition"), name.Draw(t, "collector's account"), name.Draw(t, "collector's qos")}
	s.Site.Scratch = rapid.SampledFrom([]string{"", "/local/it's $HOME"}).Draw(t, "scratch")
	switch rapid.SampledFrom([]string{"cells", "containers", "packs", "one CPU job", "one job", "large servers"}).Draw(t, "what of Slurm") {
	case "containers":
		s.Site.Container = rapid.SampledFrom([]Container{
			{"apptainer", "/images/v.sif", []string{"/a", "/b:/c:ro"}, []string{"--no-home", "it's $(id)"}},
			{"apptainer", "docker://org/image:1", nil, nil},
			{"pyxis", "org/image:1", []string{"/a:ro"}, nil},
		}).Draw(t, "container")
	case "packs":
		s.TensorParallel, s.PipelineParallel, s.Site.GPUsPerNode, s.Method = 2, 2, 8, MethodVtune
		s.System, s.Site.Pack, s.Site.GPUStyle = "GPU", "exclusive", "gres"
	case "one CPU job":
		s.System, s.Site.Shape, s.Site.CPUs = "CPU", "one-job", 8
	case "one job":
		s.System, s.TensorParallel, s.PipelineParallel, s.Site.GPUsPerNode, s.Site.Shape = "GPU", 4, 2, 8, "one-job"
		s.Site.Nodes = rapid.IntRange(3, 9).Draw(t, "nodes")
	case "large servers":
		s.TensorParallel, s.PipelineParallel, s.Site.GPUsPerNode = 16, 2, 4
	}
}

// anyOfTPU draws what queued resources are asked for with, and takes out what their machines do not know.
func anyOfTPU(t *rapid.T, s *Spec) {
	s.System, s.Server.MultiNode, s.TensorParallel, s.PipelineParallel = "TPU", "ray", rapid.SampledFrom([]int{1, 4}).Draw(t, "chips"), 1
	s.Base = rapid.SampledFrom([]string{"gs://b-1", "gs://my_bucket.example/a/b=c/", "gs://000/x"}).Draw(t, "bucket")
	s.MaxChipHours = rapid.SampledFrom([]float64{0, 0.5, 96}).Draw(t, "chip-hours")
	s.Site.Time, s.Site.Modules, s.Site.Reservation = "", nil, ""
	s.Site.TPU = TPU{
		Project: "example.com:my-project", Zone: rapid.SampledFrom([]string{"us-east5-b", "us-south1-ai1b"}).Draw(t, "zone"),
		AcceleratorType: "v6e-8", RuntimeVersion: "v2-alpha-tpuv6e",
		Network:        rapid.SampledFrom([]string{"", "default", "projects/host/global/networks/n"}).Draw(t, "network"),
		Subnetwork:     rapid.SampledFrom([]string{"", "s-1", "projects/host/regions/us-east5/subnetworks/s"}).Draw(t, "subnetwork"),
		ExternalIPs:    rapid.Bool().Draw(t, "addresses"),
		ServiceAccount: rapid.SampledFrom([]string{"", "1-compute@developer.gserviceaccount.com"}).Draw(t, "account"),
		Labels:         rapid.SampledFrom([]map[string]string{nil, {"a": "", "b-c_1": "1", "null": "null"}}).Draw(t, "labels"),
		ValidUntil:     rapid.SampledFrom([]string{"", "90m", "48h"}).Draw(t, "patience"), MaxRunDuration: rapid.SampledFrom([]string{"10m", "168h"}).Draw(t, "life"),
		CellsPerResource: rapid.IntRange(1, 9).Draw(t, "cells"), API: "v2",
	}
	switch rapid.SampledFrom([]string{"on demand", "spot", "reserved", "guaranteed", "flex start"}).Draw(t, "tier") {
	case "spot":
		s.Site.TPU.Spot = true
	case "reserved":
		s.Site.TPU.Reserved, s.Site.Reservation = true, "week-1"
		s.Site.TPU.AcceleratorType, s.Site.TPU.Accelerator, s.Site.TPU.Topology = "", "V6E", "4x4"
	case "guaranteed":
		s.Site.TPU.Guaranteed = true
		s.Site.Container = Container{"docker", "vllm/vllm-tpu:v1", []string{"/mnt/models:/models:ro"}, []string{"--shm-size=16g"}}
	case "flex start":
		s.Site.TPU.FlexStart, s.Site.TPU.API = true, "v2alpha1"
	}
}

func anyOfAutoTune(t *rapid.T, s *Spec) {
	s.Client = rapid.SampledFrom([]string{"vllm", "vtune"}).Draw(t, "client")
	s.RateSearch = rapid.SampledFrom([]string{"in-job", "follow-up"}).Draw(t, "search")
	if ms := rapid.SampledFrom([]float64{0, 1, 0.125, 1e-9, 1e300, 499.99}).Draw(t, "limit"); ms > 0 {
		s.Limits = []Limit{{"e2el", 99, ms}}
	}
}

func anyOfVtune(t *rapid.T, s *Spec) {
	s.Client = "vtune"
	s.Outliers = rapid.SampledFrom([]string{"mark", "repeat"}).Draw(t, "outliers")
	s.Plan = rapid.SampledFrom([]string{"cells", "columns"}).Draw(t, "plan")
	s.Prune = rapid.SampledFrom([]string{"bound", "model", "none"}).Draw(t, "prune")
	s.Emulate = rapid.SampledFrom([]string{"auto", "off"}).Draw(t, "emulate")
	s.Tolerance = rapid.SampledFrom([]float64{0.001, 0.02, 0.5}).Draw(t, "tolerance")
	s.Test = Test{
		rapid.Float64Range(0.05, 0.95).Draw(t, "zone"), rapid.Float64Range(0.0001, 0.2).Draw(t, "pass"), 0.01,
		rapid.IntRange(10000, 1e6).Draw(t, "requests"), rapid.SampledFrom([]string{"10m", "1h30m"}).Draw(t, "time"),
	}
	s.Arrivals = Arrivals{
		rapid.SampledFrom([]string{"1", "constant", "0.01", "2.50"}).Draw(t, "burstiness"),
		rapid.SampledFrom([]string{"due", "sent"}).Draw(t, "from"),
	}
	s.Verify.Duration = rapid.SampledFrom([]string{"10m", "90s"}).Draw(t, "duration")
	if rapid.Bool().Draw(t, "verifies") {
		s.Verify.Rate, s.Verify.Utilization = 1234.5, rapid.SampledFrom([]float64{0, 0.01, 0.9, 1}).Draw(t, "utilization")
		s.Grid = Grid{s.Grid.MaxNumSeqs[:1], s.Grid.MaxNumBatchedTokens[:1]}
	}
	for _, metric := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"ttft", "tpot", "itl", "e2el"}), rapid.ID).Draw(t, "metrics") {
		ms := rapid.SampledFrom([]float64{1, 0.125, 1e-9, 1e200, 499.99}).Draw(t, "ms")
		s.Limits = append(s.Limits, Limit{metric, 50, ms}, Limit{metric, 99.5, 2 * ms})
	}
	if len(s.Limits) > 0 {
		s.GoodputPct = rapid.SampledFrom([]float64{0, 0.1, 99.5}).Draw(t, "goodput")
	}
}

func TestTheEffectiveSpecParsesToTheSameSpec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anySpec().Draw(t, "spec")
		text := want.Effective()
		got, err := Parse("effective", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("spec differs (-want +got):\n%s\n%s", diff, text)
		}
		if again := got.Effective(); string(again) != string(text) {
			t.Fatalf("a second writing differs:\n%s", cmp.Diff(string(text), string(again)))
		}
	})
}
