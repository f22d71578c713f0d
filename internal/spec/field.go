package spec

import (
	"math"
	"strconv"

	"vtune/internal/spec/tree"
	"vtune/internal/spec/word"
)

// field is one key of the file. Everything that is said about a key is said once, in the table of fields(): decoding, hints,
// defaults, the effective spec, the template and the JSON Schema all read it, so that they cannot drift apart.
type field struct {
	key string
	doc string // one short line, with units

	// at points to the value inside a Spec; its type decides how the value is decoded: *int, *int64, *float64, *string, *[]int,
	// *[]string, *map[string]string or *[]Limit. Nil for a group.
	at    func(*Spec) any
	group []field
	items []field // list of groups: the keys of one, whose places are those of the list's last item

	required bool
	ofSite   bool               // a site file may say it too, though it is no key of the site
	def      string             // YAML of the default; empty: the zero value of the type
	derive   func(*Spec) string // instead of def, where the default rests on other keys; called when those are known
	method   string             // the only method that knows the key; empty: every method

	oneOf    []string  // text: the words allowed
	min, max int64     // whole numbers and items of number lists; max 0: the greatest int32
	span     word.Span // other numbers
	value    word.Rule // text, items of text lists, values of a mapping
	name     word.Rule // keys of a mapping
	orWord   bool      // text list: a single word stands for a list of one

	show   string // what the template writes; without it the line is written commented out
	brief  string // of a group: what its only line, commented out, shows where nothing of the group is written
	sketch string // what the commented-out line shows instead of the default
}

func (f field) whole() word.Whole { return word.Whole{Min: f.min, Max: f.max} }

// walk visits every key that has a value, with its path.
func walk(fs []field, prefix string, visit func(f field, path string)) {
	for _, f := range fs {
		path := tree.Join(prefix, f.key)
		if f.group != nil {
			walk(f.group, path, visit)
			continue
		}
		visit(f, path)
	}
}

// fields is the whole language, in the order in which a spec is written and read.
func fields() []field {
	return []field{
		{key: "model", doc: "name on the Hugging Face hub, or an absolute path", required: true, value: word.Model(),
			at: func(s *Spec) any { return &s.Model }, show: "meta-llama/Llama-3.1-8B-Instruct"},
		{key: "system", doc: "what the server runs on: GPU, TPU or CPU", def: "GPU", oneOf: []string{"GPU", "TPU", "CPU"},
			at: func(s *Spec) any { return &s.System }, show: "GPU"},
		{key: "tensor_parallel", doc: "accelerators a server takes", def: "1", min: 1,
			at: func(s *Spec) any { return &s.TensorParallel }, show: "1"},
		{key: "pipeline_parallel", doc: "stages of that many accelerators each; more than a node has: the server spans nodes", def: "1", min: 1,
			at: func(s *Spec) any { return &s.PipelineParallel }},
		{key: "download_dir", ofSite: true, doc: "absolute path for the model's files; empty: vLLM's own", value: word.AbsolutePath(),
			at: func(s *Spec) any { return &s.DownloadDir }, sketch: "/scratch/models"},
		{key: "max_model_len", doc: "tokens; default: input + output, rounded up to 1024s", derive: roomyModelLen, min: 1,
			at: func(s *Spec) any { return &s.MaxModelLen }, show: "2048"},
		{key: "workload", doc: "the shape of every request", group: workloadFields()},
		{key: "limit", doc: "what a cell must hold, the short form", group: []field{
			{key: "p99_e2el_ms", doc: "ms, 99th percentile of end-to-end latency; null: no limit", def: "null", span: word.Above(0, noLimitHint),
				at: func(s *Spec) any { return &s.Limit.P99E2ELMS }, show: "500"},
		}},
		{key: "limits", doc: "instead of limit, a list, such as [{metric: ttft, percentile: 99, ms: 200}]", items: limitFields(),
			at: func(s *Spec) any { return &s.Limits }, sketch: "[]"},
		{key: "goodput_pct", doc: "% of the requests within all limits at once, instead of each limit by its percentile", def: "null",
			method: MethodVtune, span: word.Between(0, 100, noLimitHint), at: func(s *Spec) any { return &s.GoodputPct }},
		{key: "grid", doc: "every max_num_seqs with every max_num_batched_tokens is a cell", group: []field{
			{key: "max_num_seqs", doc: "requests that a step may serve", required: true, min: 1,
				at: func(s *Spec) any { return &s.Grid.MaxNumSeqs }, show: "[128, 256]"},
			{key: "max_num_batched_tokens", doc: "tokens that a step may process", required: true, min: 1,
				at: func(s *Spec) any { return &s.Grid.MaxNumBatchedTokens }, show: "[512, 1024, 2048, 4096]"},
		}},
		{key: "base", doc: "results go to <base>/auto-benchmark/<time>; relative to this file", def: ".", value: word.Path(),
			at: func(s *Spec) any { return &s.Base }},
		{key: "scheduler", doc: "local or slurm", def: "local", oneOf: []string{"local", "slurm"},
			at: func(s *Spec) any { return &s.Scheduler }, show: "local"},
		{key: "site", doc: "what the cluster wants to be told; what is left out is not said", group: siteFields()},
		{key: "server", doc: "how vLLM is started", group: serverFields()},
		{key: "method", doc: "vtune, or auto_tune: the script's procedure to the letter", def: MethodVtune, oneOf: []string{MethodVtune, MethodAutoTune},
			at: func(s *Spec) any { return &s.Method }},
		{key: "client", doc: "what sends the load: vtune, or vllm: vllm bench serve; default: the method's", derive: clientOfMethod,
			oneOf: []string{"vtune", "vllm"}, at: func(s *Spec) any { return &s.Client }, sketch: "vtune"},
		{key: "plan", doc: "what a job is: a cell, or a column: all cells of one max_num_batched_tokens on one server", derive: planWhere,
			method: MethodVtune, oneOf: []string{"cells", "columns"}, at: func(s *Spec) any { return &s.Plan }, sketch: "columns"},
		{key: "prune", doc: "leave a cell that cannot win: bound: by its own throughput; model: also by its neighbours; none", def: "bound",
			method: MethodVtune, oneOf: []string{"bound", "model", "none"}, at: func(s *Spec) any { return &s.Prune }},
		{key: "emulate", doc: "auto: one server answers for fewer max_num_seqs too, behind a queue in the client; off", def: "auto",
			method: MethodVtune, oneOf: []string{"auto", "off"}, at: func(s *Spec) any { return &s.Emulate }},
		{key: "tolerance", doc: "of the request rate found, relative", def: "0.02", method: MethodVtune, span: word.From(0.001, 0.5),
			at: func(s *Spec) any { return &s.Tolerance }},
		{key: "test", doc: "how sure a verdict is; p is the share of requests that a limit lets be beyond it", group: testFields()},
		{key: "arrivals", doc: "when requests are sent", group: arrivalFields()},
		{key: "rate_search", doc: "of auto_tune: in-job: in the cell's job; follow-up: in jobs of its own", def: "in-job",
			oneOf: []string{"in-job", "follow-up"}, at: func(s *Spec) any { return &s.RateSearch }},
		{key: "profile", doc: "the trace of the winner", group: []field{
			{key: "with", doc: "confirm: on the server that confirmed it; own-start: in a job of its own; none", derive: profileOfMethod,
				oneOf: []string{"confirm", "own-start", "none"}, at: func(s *Spec) any { return &s.Profile.With }, sketch: "confirm"},
			{key: "max_iterations", doc: "engine steps traced; 0: all; default: 20; of auto_tune: 10 on CPU, else 0", derive: boundedTrace,
				at: func(s *Spec) any { return &s.Profile.MaxIterations }, sketch: "20"},
		}},
		{key: "outliers", doc: "cells measured on a node that is slower than the run's others: mark, or repeat them elsewhere", def: "mark",
			method: MethodVtune, oneOf: []string{"mark", "repeat"}, at: func(s *Spec) any { return &s.Outliers }},
		// NumPy, which draws vLLM's random prompts, takes seeds of 32 bits.
		{key: "seed", doc: "of prompts and arrivals", def: "0", max: math.MaxUint32, at: func(s *Spec) any { return &s.Seed }},
	}
}

func workloadFields() []field {
	return []field{
		{key: "input_len", doc: "tokens in", required: true, min: 1,
			at: func(s *Spec) any { return &s.Workload.InputLen }, show: "1800"},
		{key: "output_len", doc: "tokens out", required: true, min: 1,
			at: func(s *Spec) any { return &s.Workload.OutputLen }, show: "20"},
		{key: "cache_hit_pct", doc: "% of the input that all requests share as a prefix", def: "0", max: 100,
			at: func(s *Spec) any { return &s.Workload.CacheHitPct }, show: "60"},
		{key: "vocab_size", doc: "token ids that prompts may use; null: as many as the model's tokenizer has", def: "null", min: 16,
			at: func(s *Spec) any { return &s.Workload.VocabSize }},
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
		{key: "metric", doc: "ttft, tpot, itl or e2el, as vllm bench serve defines them", required: true, oneOf: []string{"ttft", "tpot", "itl", "e2el"},
			at: func(s *Spec) any { return &last(s).Metric }},
		{key: "percentile", doc: "of the requests (of itl: of the gaps), %", def: "99", span: percentile,
			at: func(s *Spec) any { return &last(s).Percentile }},
		{key: "ms", doc: "what the percentile may be at most", required: true, span: word.Above(0, "leave the limit out for none"),
			at: func(s *Spec) any { return &last(s).MS }},
	}
}

func testFields() []field {
	return []field{
		{key: "zone", doc: "shares from (1-zone)p to (1+zone)p may be judged either way", def: "0.5", method: MethodVtune, span: word.From(0.05, 0.95),
			at: func(s *Spec) any { return &s.Test.Zone }},
		{key: "false_pass", doc: "probability of accepting a share above (1+zone)p", def: "0.01", method: MethodVtune, span: word.From(0.0001, 0.2),
			at: func(s *Spec) any { return &s.Test.FalsePass }},
		{key: "false_miss", doc: "probability of rejecting a share below (1-zone)p", def: "0.01", method: MethodVtune, span: word.From(0.0001, 0.2),
			at: func(s *Spec) any { return &s.Test.FalseMiss }},
		{key: "max_requests", doc: "of one run; what is not sure by then is unsure, and no pass", def: "3000", method: MethodVtune, min: 100,
			at: func(s *Spec) any { return &s.Test.MaxRequests }},
		{key: "max_time", doc: "of one run under load: 90s, 10m, 1h", def: "1h", method: MethodVtune, value: word.Duration(),
			at: func(s *Spec) any { return &s.Test.MaxTime }},
	}
}

func arrivalFields() []field {
	return []field{
		{key: "burstiness", doc: "of gamma distributed intervals: 1: Poisson; less: in bursts; constant: evenly spaced", def: `"1"`, method: MethodVtune,
			value: word.Burstiness(), at: func(s *Spec) any { return &s.Arrivals.Burstiness }, sketch: "1"},
		{key: "latency_from", doc: "due: from when a request was due; sent: from when it was sent", def: "due", method: MethodVtune,
			oneOf: []string{"due", "sent"}, at: func(s *Spec) any { return &s.Arrivals.LatencyFrom }},
	}
}

func siteFields() []field {
	return []field{
		{key: "use", doc: "name of a site file, whose keys hold where this one says nothing (vtune site list)", value: word.FileName(),
			at: func(s *Spec) any { return &s.Site.Use }, sketch: "mycluster"},
		{key: "partition", doc: "one, or several with commas", value: word.SiteName(),
			at: func(s *Spec) any { return &s.Site.Partition }, sketch: "gpu"},
		{key: "account", doc: "who pays", value: word.SiteName(), at: func(s *Spec) any { return &s.Site.Account }, sketch: "proj-1"},
		{key: "qos", doc: "quality of service", value: word.SiteName(), at: func(s *Spec) any { return &s.Site.QOS }, sketch: "normal"},
		{key: "reservation", doc: "name", value: word.SiteName(), at: func(s *Spec) any { return &s.Site.Reservation }, sketch: "maint"},
		{key: "constraint", doc: "node features", value: word.Constraint(),
			at: func(s *Spec) any { return &s.Site.Constraint }, sketch: "h100|h200"},
		{key: "time", doc: "limit of one job: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS", value: word.TimeLimit(),
			at: func(s *Spec) any { return &s.Site.Time }, sketch: `"02:00:00"`},
		{key: "memory", doc: "host memory of one job: 64G, 512000M; 0: the whole node's", value: word.Memory(),
			at: func(s *Spec) any { return &s.Site.Memory }, sketch: "64G"},
		{key: "cpus", doc: "CPUs of one job; 0: the cluster's default", at: func(s *Spec) any { return &s.Site.CPUs }, sketch: "16"},
		{key: "gpu_style", doc: "the option that asks for GPUs", def: "gres", oneOf: []string{"gres", "gpus-per-node", "gpus", "none"},
			at: func(s *Spec) any { return &s.Site.GPUStyle }},
		{key: "gpu_type", doc: "as the cluster names it", value: word.GPUType(), at: func(s *Spec) any { return &s.Site.GPUType }, sketch: "h100"},
		{key: "gpus_per_node", doc: "of a node; 0: not said", max: 1024, at: func(s *Spec) any { return &s.Site.GPUsPerNode }, sketch: "8"},
		{key: "max_parallel", doc: "cells at once; 0: as many as the cluster runs",
			at: func(s *Spec) any { return &s.Site.MaxParallel }, sketch: "4"},
		{key: "pack", doc: "cells side by side in one allocation: off; gpus: a node's GPUs; exclusive: a whole node", def: "off",
			oneOf: []string{"off", "gpus", "exclusive"}, at: func(s *Spec) any { return &s.Site.Pack }},
		{key: "shape", doc: "jobs: cells queue one by one; one-job: one allocation works off all of them", def: "jobs",
			oneOf: []string{"jobs", "one-job"}, at: func(s *Spec) any { return &s.Site.Shape }},
		{key: "nodes", doc: "of the allocation of shape one-job", def: "1", min: 1, max: 4096, at: func(s *Spec) any { return &s.Site.Nodes }},
		{key: "collector", doc: "partition, account and qos of the small jobs of submit --hands-free; default: those of the others", brief: "{partition: cpu}", group: []field{
			{key: "partition", doc: "one without GPUs", value: word.SiteName(),
				at: func(s *Spec) any { return &s.Site.Collector.Partition }, sketch: "cpu"},
			{key: "account", doc: "who pays", value: word.SiteName(), at: func(s *Spec) any { return &s.Site.Collector.Account }, sketch: "proj-1"},
			{key: "qos", doc: "quality of service", value: word.SiteName(), at: func(s *Spec) any { return &s.Site.Collector.QOS }, sketch: "normal"},
		}},
		{key: "container", doc: "what the agent, and so the server, runs in; with mounts and options", brief: "{runtime: apptainer, image: /images/vllm.sif}", group: []field{
			{key: "runtime", doc: "none, apptainer, or pyxis (enroot)", def: "none", oneOf: []string{"none", "apptainer", "pyxis"},
				at: func(s *Spec) any { return &s.Site.Container.Runtime }},
			{key: "image", doc: "a file, or what the runtime takes", value: word.Image(),
				at: func(s *Spec) any { return &s.Site.Container.Image }, sketch: "/images/vllm.sif"},
			{key: "mounts", doc: "SRC or SRC:DST, :ro at the end for read-only; the run is mounted by itself", value: word.Mount(),
				at: func(s *Spec) any { return &s.Site.Container.Mounts }, sketch: "[/scratch, /models:/models:ro]"},
			{key: "options", doc: "further options of the runtime, one word an item", value: word.Line(),
				at: func(s *Spec) any { return &s.Site.Container.Options }, sketch: "[--no-home]"},
		}},
		{key: "scratch", doc: "absolute path on a node: each job has its TMPDIR there", value: word.Scratch(),
			at: func(s *Spec) any { return &s.Site.Scratch }, sketch: "/local/scratch"},
		{key: "proxy", doc: "URL of the way out of a node", value: word.Proxy(), at: func(s *Spec) any { return &s.Site.Proxy }, sketch: "http://proxy:3128"},
		{key: "modules", doc: "loaded before the agent", value: word.Module(),
			at: func(s *Spec) any { return &s.Site.Modules }, sketch: "[cuda/12.8]"},
		{key: "environment", doc: "lines of bash, run before the agent", value: word.BashLine(),
			at: func(s *Spec) any { return &s.Site.Environment }, sketch: "[source /opt/vllm/bin/activate]"},
		{key: "directives", doc: "further options of sbatch, without dashes", name: word.Directive(), value: word.Line(),
			at: func(s *Spec) any { return &s.Site.Directives }, sketch: "{exclude: node07}"},
	}
}

func serverFields() []field {
	return []field{
		{key: "command", ofSite: true, doc: "an executable, or a list: a command that vLLM's arguments follow", def: "[vllm]", orWord: true,
			value: word.Command(), at: func(s *Spec) any { return &s.Server.Command }},
		{key: "flags", doc: "further flags of vllm serve, one word an item", value: word.ServerFlag(),
			at: func(s *Spec) any { return &s.Server.Flags }, sketch: "[--kv-cache-dtype, fp8]"},
		{key: "environment", ofSite: true, doc: "of the server; no secrets", name: word.Variable(), value: word.VariableValue(),
			at: func(s *Spec) any { return &s.Server.Environment }, sketch: "{VLLM_LOGGING_LEVEL: INFO}"},
		{key: "secrets", ofSite: true, doc: "names of variables to copy from your environment", value: word.Secret(),
			at: func(s *Spec) any { return &s.Server.Secrets }, sketch: "[HF_TOKEN]"},
		{key: "secrets_file", ofSite: true, doc: "a file of NAME=value lines, for secrets that your environment has not", value: word.HomePath(),
			at: func(s *Spec) any { return &s.Server.SecretsFile }, sketch: "~/.config/vtune/secrets"},
		{key: "multi_node", ofSite: true, doc: "how a server spans nodes: mp: vLLM's own way; ray", def: "mp", oneOf: []string{"mp", "ray"},
			at: func(s *Spec) any { return &s.Server.MultiNode }},
		{key: "start_timeout", ofSite: true, doc: "how long a server may take to start: 90s, 10m, 1h", def: "10m", value: word.Duration(),
			at: func(s *Spec) any { return &s.Server.StartTimeout }},
		{key: "cache_root", ofSite: true, doc: "absolute path for compile caches, which cells then share; empty: vLLM's own", value: word.AbsolutePath(),
			at: func(s *Spec) any { return &s.Server.CacheRoot }, sketch: "/scratch/vllm-cache"},
	}
}

// roomyModelLen gives the README's 1800 + 20 its 2048 and the script's 4000 + 16 its 4096. A power of two would do that too, but
// would ask for up to twice the KV cache of what a long workload needs, and go past what the model can do.
func roomyModelLen(s *Spec) string {
	const step = 1024
	return strconv.Itoa((s.Workload.InputLen + s.Workload.OutputLen + step - 1) / step * step)
}
