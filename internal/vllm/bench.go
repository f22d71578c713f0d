package vllm

import (
	"maps"
	"slices"
	"strconv"

	"vtune/internal/record"
)

// noLimit is what auto_tune.sh passes as the goodput limit when nobody set one; every request then counts as good.
const noLimit = 100_000_000_000

// Bench is one run of the benchmark client against a server on this machine.
type Bench struct {
	Server     record.Server // its command runs the client too, and its model is the one to ask for
	Workload   record.Workload
	Load       record.Load
	LimitMS    float64 // for goodput; 0: none
	Seed       int64
	Port       int
	Profile    bool // bracket the load with /start_profile and /stop_profile
	ResultDir  string
	ResultFile string // name in ResultDir
}

// Argv is auto_tune.sh's client call to the letter, with three additions: the numbers as JSON instead of a log to grep, the
// percentiles that a record holds, and temperature 0, which newer clients no longer imply.
func (b Bench) Argv() []string {
	limit := b.LimitMS
	if limit == 0 {
		limit = noLimit
	}
	prefix := b.Workload.PrefixLen()
	argv := append([]string{}, b.Server.Command...)
	argv = append(argv, "bench", "serve",
		"--backend", "vllm",
		"--model", b.Server.Model,
		"--dataset-name", "random",
		"--random-input-len", strconv.Itoa(b.Workload.InputLen-prefix),
		"--random-output-len", strconv.Itoa(b.Workload.OutputLen),
		"--ignore-eos",
		"--disable-tqdm",
		"--request-rate", b.Load.Rate.String(),
		"--percentile-metrics", "ttft,tpot,itl,e2el",
		"--goodput", "e2el:"+number(limit),
		"--num-prompts", strconv.Itoa(b.Load.Requests),
		"--random-prefix-len", strconv.Itoa(prefix),
		"--host", Loopback,
		"--port", strconv.Itoa(b.Port),
		"--seed", strconv.FormatInt(b.Seed, 10),
		"--temperature", "0",
		"--metric-percentiles", "50,90,99",
		"--save-result",
		"--result-dir", b.ResultDir,
		"--result-filename", b.ResultFile)
	if b.Profile {
		argv = append(argv, "--profile")
	}
	return argv
}

// Env is what the client's environment needs beyond its parent's.
func (b Bench) Env(key string) []string {
	return append(environment(b.Server.Environment), "OPENAI_API_KEY="+key)
}

// environment in a stable order, so that two starts of the same thing look the same.
func environment(vars map[string]string) []string {
	env := make([]string, 0, len(vars)+3)
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env
}
