package spec

import (
	"math"
	"strconv"

	"vtune/internal/spec/word"
)

// field is one key of the file. Everything that is said about a key is said once, in the table of fields(): decoding, hints,
// defaults, the effective spec, the template and the JSON Schema all read it, so that they cannot drift apart.
type field struct {
	key string
	doc string // one short line, with units

	// at points to the value inside a Spec; its type decides how the value is decoded: *int, *int64, *float64, *string, *[]int,
	// *[]string or *map[string]string. Nil for a group.
	at    func(*Spec) any
	group []field

	required bool
	def      string             // YAML of the default; empty: the zero value of the type
	derive   func(*Spec) string // instead of def, where the default rests on other keys; called when those are known

	oneOf    []string  // text: the words allowed
	min, max int64     // numbers and items of number lists; max 0: the greatest int32
	value    word.Rule // text, items of text lists, values of a mapping
	name     word.Rule // keys of a mapping
	orWord   bool      // text list: a single word stands for a list of one

	show   string // what the template writes; without it the line is written commented out
	sketch string // what the commented-out line shows instead of the default
}

func (f field) greatest() int64 {
	if f.max == 0 {
		return math.MaxInt32
	}
	return f.max
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
		{key: "download_dir", doc: "absolute path for the model's files; empty: vLLM's own", value: word.AbsolutePath(),
			at: func(s *Spec) any { return &s.DownloadDir }, sketch: "/scratch/models"},
		{key: "max_model_len", doc: "tokens; default: input + output, rounded up to 1024s", derive: roomyModelLen, min: 1,
			at: func(s *Spec) any { return &s.MaxModelLen }, show: "2048"},
		{key: "workload", doc: "the shape of every request", group: workloadFields()},
		{key: "limit", doc: "what a cell must hold", group: []field{
			{key: "p99_e2el_ms", doc: "ms, 99th percentile of end-to-end latency; null: no limit", def: "null",
				at: func(s *Spec) any { return &s.Limit.P99E2ELMS }, show: "500"},
		}},
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
		{key: "method", doc: "how a cell's rate is searched", def: "auto_tune", oneOf: []string{"auto_tune"},
			at: func(s *Spec) any { return &s.Method }},
		{key: "client", doc: "what sends the load", def: "vllm", oneOf: []string{"vllm"},
			at: func(s *Spec) any { return &s.Client }},
		{key: "rate_search", doc: "in-job: in the cell's job; follow-up: in jobs of its own", def: "in-job",
			oneOf: []string{"in-job", "follow-up"}, at: func(s *Spec) any { return &s.RateSearch }},
		{key: "profile", doc: "the trace of the winner", group: []field{
			{key: "max_iterations", doc: "engine steps traced; 0: all; default: 10 on CPU, else 0", derive: boundedOnCPU,
				at: func(s *Spec) any { return &s.Profile.MaxIterations }},
		}},
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
	}
}

func siteFields() []field {
	return []field{
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
		{key: "max_parallel", doc: "cells at once; 0: as many as the cluster runs",
			at: func(s *Spec) any { return &s.Site.MaxParallel }, sketch: "4"},
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
		{key: "command", doc: "an executable, or a list: a command that vLLM's arguments follow", def: "[vllm]", orWord: true,
			value: word.Command(), at: func(s *Spec) any { return &s.Server.Command }},
		{key: "flags", doc: "further flags of vllm serve, one word an item", value: word.ServerFlag(),
			at: func(s *Spec) any { return &s.Server.Flags }, sketch: "[--kv-cache-dtype, fp8]"},
		{key: "environment", doc: "of the server; no secrets", name: word.Variable(), value: word.VariableValue(),
			at: func(s *Spec) any { return &s.Server.Environment }, sketch: "{VLLM_LOGGING_LEVEL: INFO}"},
		{key: "secrets", doc: "names of variables to copy from your environment", value: word.Secret(),
			at: func(s *Spec) any { return &s.Server.Secrets }, sketch: "[HF_TOKEN]"},
		{key: "start_timeout", doc: "how long a server may take to start: 90s, 10m, 1h", def: "10m", value: word.StartTimeout(),
			at: func(s *Spec) any { return &s.Server.StartTimeout }},
	}
}

// roomyModelLen gives the README's 1800 + 20 its 2048 and the script's 4000 + 16 its 4096. A power of two would do that too, but
// would ask for up to twice the KV cache of what a long workload needs, and go past what the model can do.
func roomyModelLen(s *Spec) string {
	const step = 1024
	return strconv.Itoa((s.Workload.InputLen + s.Workload.OutputLen + step - 1) / step * step)
}

// boundedOnCPU: a trace of 20 whole requests took five minutes to write on a CPU.
func boundedOnCPU(s *Spec) string {
	if s.System == "CPU" {
		return "10"
	}
	return "0"
}
