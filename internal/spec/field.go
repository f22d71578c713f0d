package spec

import (
	"math"
	"strconv"

	"vtune/internal/spec/table"
	"vtune/internal/spec/word"
)

// field is one key of the file. Everything that is said about a key is said once, in the table of fields(): decoding, hints,
// defaults, the effective spec, the template and the JSON Schema all read it, so that they cannot drift apart.
type field = table.Field[Spec]

// fields is the whole language, in the order in which a spec is written and read.
func fields() []field {
	return []field{
		{Key: "model", Doc: "name on the Hugging Face hub, or an absolute path", Required: true, Value: word.Model(),
			At: func(s *Spec) any { return &s.Model }, Show: "meta-llama/Llama-3.1-8B-Instruct"},
		{Key: "system", Doc: "what the server runs on: GPU, TPU or CPU", Default: "GPU", Derive: systemOfScheduler, OneOf: []string{"GPU", "TPU", "CPU"},
			At: func(s *Spec) any { return &s.System }, Show: "GPU"},
		{Key: "tensor_parallel", Doc: "accelerators a server takes", Default: "1", Min: 1,
			At: func(s *Spec) any { return &s.TensorParallel }, Show: "1"},
		{Key: "pipeline_parallel", Doc: "stages of that many accelerators each; more than a node has: the server spans nodes", Default: "1", Min: 1,
			At: func(s *Spec) any { return &s.PipelineParallel }},
		{Key: "download_dir", OfSite: true, Doc: "absolute path for the model's files; empty: vLLM's own", Value: word.AbsolutePath(),
			At: func(s *Spec) any { return &s.DownloadDir }, Sketch: "/scratch/models"},
		{Key: "max_model_len", Doc: "tokens; default: input + output, rounded up to 1024s", Derive: roomyModelLen, Min: 1,
			At: func(s *Spec) any { return &s.MaxModelLen }, Show: "2048"},
		{Key: "workload", Doc: "the shape of every request", Group: workloadFields()},
		{Key: "limit", Doc: "what a cell must hold, the short form", Group: []field{
			{Key: "p99_e2el_ms", Doc: "ms, 99th percentile of end-to-end latency; null: no limit", Default: "null", Span: word.Above(0, noLimitHint),
				At: func(s *Spec) any { return &s.Limit.P99E2ELMS }, Show: "500"},
		}},
		{Key: "limits", Doc: "instead of limit, a list, such as [{metric: ttft, percentile: 99, ms: 200}]", Items: limitFields(), Each: oneLimitEach,
			At: func(s *Spec) any { return &s.Limits }, Sketch: "[]"},
		{Key: "goodput_pct", Doc: "% of the requests within all limits at once, instead of each limit by its percentile", Default: "null",
			Method: MethodVtune, Span: word.Between(0, 100, noLimitHint), At: func(s *Spec) any { return &s.GoodputPct }},
		{Key: "grid", Doc: "every max_num_seqs with every max_num_batched_tokens is a cell", Group: []field{
			{Key: "max_num_seqs", Doc: "requests that a step may serve", Required: true, Min: 1,
				At: func(s *Spec) any { return &s.Grid.MaxNumSeqs }, Show: "[128, 256]"},
			{Key: "max_num_batched_tokens", Doc: "tokens that a step may process", Required: true, Min: 1,
				At: func(s *Spec) any { return &s.Grid.MaxNumBatchedTokens }, Show: "[512, 1024, 2048, 4096]"},
		}},
		{Key: "base", Doc: "results go to <base>/auto-benchmark/<time>; relative to this file; of tpu: gs://BUCKET/PATH", Default: ".", Value: word.Base(),
			At: func(s *Spec) any { return &s.Base }},
		{Key: "scheduler", Doc: "local, slurm, or tpu: queued resources of Google Cloud", Default: "local", OneOf: []string{"local", slurm, tpu},
			At: func(s *Spec) any { return &s.Scheduler }, Show: "local"},
		{Key: "site", Doc: "what the cluster wants to be told; what is left out is not said", Group: append(siteFields(), tpuFields()...)},
		{Key: "max_chip_hours", Doc: "what the run may cost at most, in chips x hours, without your being asked; null: submit asks", Default: "null",
			Scheduler: tpu, Span: word.Above(0, "leave the key out to be asked"), At: func(s *Spec) any { return &s.MaxChipHours }, Sketch: "96"},
		{Key: "server", Doc: "how vLLM is started", Group: serverFields()},
		{Key: "method", Doc: "vtune, or auto_tune: the script's procedure to the letter", Default: MethodVtune, OneOf: []string{MethodVtune, MethodAutoTune},
			At: func(s *Spec) any { return &s.Method }},
		{Key: "client", Doc: "what sends the load: vtune, or vllm: vllm bench serve; default: the method's", Derive: clientOfMethod,
			OneOf: []string{"vtune", "vllm"}, At: func(s *Spec) any { return &s.Client }, Sketch: "vtune"},
		{Key: "plan", Doc: "what a job is: a cell, or a column: all cells of one max_num_batched_tokens on one server", Derive: planWhere,
			Method: MethodVtune, OneOf: []string{"cells", "columns"}, At: func(s *Spec) any { return &s.Plan }, Sketch: "columns"},
		{Key: "prune", Doc: "leave a cell that cannot win: bound: by its own throughput; model: also by its neighbours; none", Default: "bound",
			Method: MethodVtune, OneOf: []string{"bound", "model", "none"}, At: func(s *Spec) any { return &s.Prune }},
		{Key: "emulate", Doc: "auto: one server answers for fewer max_num_seqs too, behind a queue in the client; off", Default: "auto",
			Method: MethodVtune, OneOf: []string{"auto", "off"}, At: func(s *Spec) any { return &s.Emulate }},
		{Key: "tolerance", Doc: "of the request rate found, relative", Default: "0.02", Method: MethodVtune, Span: word.From(0.001, 0.5),
			At: func(s *Spec) any { return &s.Tolerance }},
		{Key: "test", Doc: "how sure a verdict is; p is the share of requests that a limit lets be beyond it", Group: testFields()},
		{Key: "arrivals", Doc: "when requests are sent", Group: arrivalFields()},
		{Key: "verify", Doc: "a claim that one long run checks, in place of a search; the grid is its cell", Brief: "{rate: 12.5, duration: 10m}", Group: []field{
			{Key: "rate", Doc: "requests/s that the cell is said to hold, or without limits to reach; null: search", Default: "null", Method: MethodVtune,
				Span: word.Between(0, 1e6, "leave verify out to search"), At: func(s *Spec) any { return &s.Verify.Rate }, Sketch: "12.5"},
			{Key: "duration", Doc: "of the load: 90s, 10m, 1h", Default: "10m", Method: MethodVtune, Value: word.Duration(),
				At: func(s *Spec) any { return &s.Verify.Duration }},
			{Key: "gpu_memory_utilization", Doc: "of the claim's server; null: a probe finds it", Default: "null", Method: MethodVtune,
				Span: word.From(0.01, 1), At: func(s *Spec) any { return &s.Verify.Utilization }, Sketch: "0.95"},
		}},
		{Key: "rate_search", Doc: "of auto_tune: in-job: in the cell's job; follow-up: in jobs of its own", Default: "in-job",
			OneOf: []string{"in-job", "follow-up"}, At: func(s *Spec) any { return &s.RateSearch }},
		{Key: "profile", Doc: "the trace of the winner", Group: []field{
			{Key: "with", Doc: "confirm: on the server that confirmed it; own-start: in a job of its own; none", Derive: profileOfMethod,
				OneOf: []string{"confirm", "own-start", "none"}, At: func(s *Spec) any { return &s.Profile.With }, Sketch: "confirm"},
			{Key: "max_iterations", Doc: "engine steps traced; 0: all; default: 20; of auto_tune: 10 on CPU, else 0", Derive: boundedTrace,
				At: func(s *Spec) any { return &s.Profile.MaxIterations }, Sketch: "20"},
		}},
		{Key: "outliers", Doc: "cells measured on a node that is slower than the run's others: mark, or repeat them elsewhere", Default: "mark",
			Method: MethodVtune, OneOf: []string{"mark", "repeat"}, At: func(s *Spec) any { return &s.Outliers }},
		// NumPy, which draws vLLM's random prompts, takes seeds of 32 bits.
		{Key: "seed", Doc: "of prompts and arrivals", Default: "0", Max: math.MaxUint32, At: func(s *Spec) any { return &s.Seed }},
	}
}

func workloadFields() []field {
	return []field{
		{Key: "input_len", Doc: "tokens in", Required: true, Min: 1,
			At: func(s *Spec) any { return &s.Workload.InputLen }, Show: "1800"},
		{Key: "output_len", Doc: "tokens out", Required: true, Min: 1,
			At: func(s *Spec) any { return &s.Workload.OutputLen }, Show: "20"},
		{Key: "cache_hit_pct", Doc: "% of the input that all requests share as a prefix", Default: "0", Max: 100,
			At: func(s *Spec) any { return &s.Workload.CacheHitPct }, Show: "60"},
		{Key: "vocab_size", Doc: "token ids that prompts may use; null: as many as the model's tokenizer has", Default: "null", Min: 16,
			At: func(s *Spec) any { return &s.Workload.VocabSize }},
	}
}

const noLimitHint = "leave the key out for no limit"

// limitFields are the keys of one of the limits.
func limitFields() []field {
	last := func(s *Spec) *Limit {
		if len(s.Limits) == 0 {
			s.Limits = append(s.Limits, Limit{})
		}
		return &s.Limits[len(s.Limits)-1]
	}
	percentile := word.Between(0, 100, "")
	percentile.AtLow = "would let every request be slow"
	percentile.AtHigh = "would forbid a single slow request, which no number of requests can show"
	return []field{
		{Key: "metric", Doc: "ttft, tpot, itl or e2el, as vllm bench serve defines them", Required: true, OneOf: []string{"ttft", "tpot", "itl", "e2el"},
			At: func(s *Spec) any { return &last(s).Metric }},
		{Key: "percentile", Doc: "of the requests (of itl: of the gaps), %", Default: "99", Span: percentile,
			At: func(s *Spec) any { return &last(s).Percentile }},
		{Key: "ms", Doc: "what the percentile may be at most", Required: true, Span: word.Above(0, "leave the limit out for none"),
			At: func(s *Spec) any { return &last(s).MS }},
	}
}

func oneLimitEach(s *Spec) []*Spec {
	var each []*Spec
	for _, l := range s.Limits {
		each = append(each, &Spec{Limits: []Limit{l}})
	}
	return each
}

func testFields() []field {
	return []field{
		{Key: "zone", Doc: "shares from (1-zone)p to (1+zone)p may be judged either way", Default: "0.5", Method: MethodVtune, Span: word.From(0.05, 0.95),
			At: func(s *Spec) any { return &s.Test.Zone }},
		{Key: "false_pass", Doc: "probability of accepting a share above (1+zone)p", Default: "0.01", Method: MethodVtune, Span: word.From(0.0001, 0.2),
			At: func(s *Spec) any { return &s.Test.FalsePass }},
		{Key: "false_miss", Doc: "probability of rejecting a share below (1-zone)p", Default: "0.01", Method: MethodVtune, Span: word.From(0.0001, 0.2),
			At: func(s *Spec) any { return &s.Test.FalseMiss }},
		{Key: "max_requests", Doc: "of one run; what is not sure by then is unsure, and no pass", Default: "3000", Method: MethodVtune, Min: 100,
			At: func(s *Spec) any { return &s.Test.MaxRequests }},
		{Key: "max_time", Doc: "of one run under load: 90s, 10m, 1h", Default: "1h", Method: MethodVtune, Value: word.Duration(),
			At: func(s *Spec) any { return &s.Test.MaxTime }},
	}
}

func arrivalFields() []field {
	return []field{
		{Key: "burstiness", Doc: "of gamma distributed intervals: 1: Poisson; less: in bursts; constant: evenly spaced", Default: `"1"`, Method: MethodVtune,
			Value: word.Burstiness(), At: func(s *Spec) any { return &s.Arrivals.Burstiness }, Sketch: "1"},
		{Key: "latency_from", Doc: "due: from when a request was due; sent: from when it was sent", Default: "due", Method: MethodVtune,
			OneOf: []string{"due", "sent"}, At: func(s *Spec) any { return &s.Arrivals.LatencyFrom }},
	}
}

func siteFields() []field {
	return []field{
		{Key: "use", Doc: "name of a site file, whose keys hold where this one says nothing (vtune site list)", Value: word.FileName(),
			At: func(s *Spec) any { return &s.Site.Use }, Sketch: "mycluster"},
		{Key: "partition", Doc: "one, or several with commas", Value: word.SiteName(),
			At: func(s *Spec) any { return &s.Site.Partition }, Sketch: "gpu"},
		{Key: "account", Doc: "who pays", Value: word.SiteName(), At: func(s *Spec) any { return &s.Site.Account }, Sketch: "proj-1"},
		{Key: "qos", Doc: "quality of service", Value: word.SiteName(), At: func(s *Spec) any { return &s.Site.QOS }, Sketch: "normal"},
		{Key: "reservation", Doc: "name; of TPUs: with reserved", Value: word.SiteName(), At: func(s *Spec) any { return &s.Site.Reservation }, Sketch: "maint"},
		{Key: "constraint", Doc: "node features", Value: word.Constraint(),
			At: func(s *Spec) any { return &s.Site.Constraint }, Sketch: "h100|h200"},
		{Key: "time", Doc: "limit of one job: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS", Value: word.TimeLimit(),
			At: func(s *Spec) any { return &s.Site.Time }, Sketch: `"02:00:00"`},
		{Key: "memory", Doc: "host memory of one job: 64G, 512000M; 0: the whole node's", Value: word.Memory(),
			At: func(s *Spec) any { return &s.Site.Memory }, Sketch: "64G"},
		{Key: "cpus", Doc: "CPUs of one job; 0: the cluster's default", At: func(s *Spec) any { return &s.Site.CPUs }, Sketch: "16"},
		{Key: "gpu_style", Doc: "the option that asks for GPUs", Default: "gres", OneOf: []string{"gres", "gpus-per-node", "gpus", "none"},
			At: func(s *Spec) any { return &s.Site.GPUStyle }},
		{Key: "gpu_type", Doc: "as the cluster names it", Value: word.GPUType(), At: func(s *Spec) any { return &s.Site.GPUType }, Sketch: "h100"},
		{Key: "gpus_per_node", Doc: "of a node; 0: not said", Max: 1024, At: func(s *Spec) any { return &s.Site.GPUsPerNode }, Sketch: "8"},
		{Key: "max_parallel", Doc: "cells at once; 0: as many as the cluster runs",
			At: func(s *Spec) any { return &s.Site.MaxParallel }, Sketch: "4"},
		{Key: "pack", Doc: "cells side by side in one allocation: off; gpus: a node's GPUs; exclusive: a whole node", Default: "off",
			OneOf: []string{"off", "gpus", "exclusive"}, At: func(s *Spec) any { return &s.Site.Pack }},
		{Key: "shape", Doc: "jobs: cells queue one by one; one-job: one allocation works off all of them", Default: "jobs",
			OneOf: []string{"jobs", "one-job"}, At: func(s *Spec) any { return &s.Site.Shape }},
		{Key: "nodes", Doc: "of the allocation of shape one-job", Default: "1", Min: 1, Max: 4096, At: func(s *Spec) any { return &s.Site.Nodes }},
		{Key: "collector", Doc: "partition, account and qos of the small jobs of submit --hands-free; default: those of the others", Brief: "{partition: cpu}", Group: []field{
			{Key: "partition", Doc: "one without GPUs", Value: word.SiteName(),
				At: func(s *Spec) any { return &s.Site.Collector.Partition }, Sketch: "cpu"},
			{Key: "account", Doc: "who pays", Value: word.SiteName(), At: func(s *Spec) any { return &s.Site.Collector.Account }, Sketch: "proj-1"},
			{Key: "qos", Doc: "quality of service", Value: word.SiteName(), At: func(s *Spec) any { return &s.Site.Collector.QOS }, Sketch: "normal"},
		}},
		{Key: "container", Doc: "what the agent, and so the server, runs in; with mounts and options", Brief: "{runtime: apptainer, image: /images/vllm.sif}", Group: []field{
			{Key: "runtime", Doc: "none, apptainer, pyxis (enroot), or docker, on TPUs", Default: "none", OneOf: []string{"none", "apptainer", "pyxis", "docker"},
				At: func(s *Spec) any { return &s.Site.Container.Runtime }},
			{Key: "image", Doc: "a file, or what the runtime takes", Value: word.Image(),
				At: func(s *Spec) any { return &s.Site.Container.Image }, Sketch: "/images/vllm.sif"},
			{Key: "mounts", Doc: "SRC or SRC:DST, :ro at the end for read-only; the run is mounted by itself", Value: word.Mount(),
				At: func(s *Spec) any { return &s.Site.Container.Mounts }, Sketch: "[/scratch, /models:/models:ro]"},
			{Key: "options", Doc: "further options of the runtime, one word an item", Value: word.Line(),
				At: func(s *Spec) any { return &s.Site.Container.Options }, Sketch: "[--no-home]"},
		}},
		{Key: "scratch", Doc: "absolute path on a node: each job has its TMPDIR there", Value: word.Scratch(),
			At: func(s *Spec) any { return &s.Site.Scratch }, Sketch: "/local/scratch"},
		{Key: "proxy", Doc: "URL of the way out of a node", Value: word.Proxy(), At: func(s *Spec) any { return &s.Site.Proxy }, Sketch: "http://proxy:3128"},
		{Key: "modules", Doc: "loaded before the agent", Value: word.Module(),
			At: func(s *Spec) any { return &s.Site.Modules }, Sketch: "[cuda/12.8]"},
		{Key: "environment", Doc: "lines of bash, run before the agent", Value: word.BashLine(),
			At: func(s *Spec) any { return &s.Site.Environment }, Sketch: "[source /opt/vllm/bin/activate]"},
		{Key: "directives", Doc: "further options of sbatch, without dashes", Name: word.Directive(), Value: word.Line(),
			At: func(s *Spec) any { return &s.Site.Directives }, Sketch: "{exclude: node07}"},
	}
}

func serverFields() []field {
	return []field{
		{Key: "command", OfSite: true, Doc: "an executable, or a list: a command that vLLM's arguments follow", Default: "[vllm]", OrWord: true,
			Value: word.Command(), At: func(s *Spec) any { return &s.Server.Command }},
		{Key: "flags", Doc: "further flags of vllm serve, one word an item", Value: word.ServerFlag(),
			At: func(s *Spec) any { return &s.Server.Flags }, Sketch: "[--kv-cache-dtype, fp8]"},
		{Key: "environment", OfSite: true, Doc: "of the server; no secrets", Name: word.Variable(), Value: word.VariableValue(),
			At: func(s *Spec) any { return &s.Server.Environment }, Sketch: "{VLLM_LOGGING_LEVEL: INFO}"},
		{Key: "secrets", OfSite: true, Doc: "names of variables to copy from your environment", Value: word.Secret(),
			At: func(s *Spec) any { return &s.Server.Secrets }, Sketch: "[HF_TOKEN]"},
		{Key: "secrets_file", OfSite: true, Doc: "a file of NAME=value lines, for secrets that your environment has not", Value: word.HomePath(),
			At: func(s *Spec) any { return &s.Server.SecretsFile }, Sketch: "~/.config/vtune/secrets"},
		{Key: "multi_node", OfSite: true, Doc: "how a server spans nodes: mp: vLLM's own way; ray, the only way on TPUs", Default: "mp", Derive: multiNodeOfScheduler, OneOf: []string{"mp", "ray"},
			At: func(s *Spec) any { return &s.Server.MultiNode }},
		{Key: "start_timeout", OfSite: true, Doc: "how long a server may take to start: 90s, 10m, 1h", Default: "10m", Value: word.Duration(),
			At: func(s *Spec) any { return &s.Server.StartTimeout }},
		{Key: "cache_root", OfSite: true, Doc: "absolute path for compile caches, which cells then share; empty: vLLM's own", Value: word.AbsolutePath(),
			At: func(s *Spec) any { return &s.Server.CacheRoot }, Sketch: "/scratch/vllm-cache"},
	}
}

// roomyModelLen gives the README's 1800 + 20 its 2048 and the script's 4000 + 16 its 4096. A power of two would do that too, but
// would ask for up to twice the KV cache of what a long workload needs, and go past what the model can do.
func roomyModelLen(s *Spec) string {
	const step = 1024
	return strconv.Itoa((s.Workload.InputLen + s.Workload.OutputLen + step - 1) / step * step)
}
