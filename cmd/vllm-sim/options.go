package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"vtune/internal/sim"
)

// serveOptions is the command line of `serve`, defaulted and with the
// environment applied.
type serveOptions struct {
	model      string
	servedName string
	host       string
	port       int
	uds        string
	apiKey     string
	devMode    bool
	profiler   *profiler
	devices    []string // one a GPU of the tensor-parallel group
	engine     engineStart
}

// profiler is --profiler-config.
type profiler struct {
	Kind          string `json:"profiler"`
	Dir           string `json:"torch_profiler_dir"`
	Delay         int    `json:"delay_iterations"`
	MaxIterations int    `json:"max_iterations"` // 0: no limit
}

// simOptions are the options that only a simulation has.
type simOptions struct {
	scale    float64
	noise    float64
	hardware string
	model    string
}

// simDefaults come from the environment; a flag overrules them.
func simDefaults(env func(string) string) (simOptions, error) {
	o := simOptions{scale: 1, noise: 0.02, hardware: "h200-like", model: env("VLLM_SIM_MODEL")}
	for _, v := range []struct {
		name string
		into *float64
	}{{"VLLM_SIM_TIME_SCALE", &o.scale}, {"VLLM_SIM_NOISE", &o.noise}} {
		text := env(v.name)
		if text == "" {
			continue
		}
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return o, fmt.Errorf("%s=%q is not a number", v.name, text)
		}
		*v.into = x
	}
	if h := env("VLLM_SIM_HARDWARE"); h != "" {
		o.hardware = h
	}
	return o, nil
}

func (o *simOptions) flags() []flag {
	return []flag{
		floatFlag("time-scale", &o.scale), floatFlag("sim-noise", &o.noise),
		stringFlag("sim-hardware", &o.hardware), stringFlag("sim-model", &o.model),
	}
}

func (o simOptions) check() error {
	if !(o.scale > 0) || math.IsInf(o.scale, 1) {
		return fmt.Errorf("a time scale of %v", o.scale)
	}
	if !(o.noise >= 0 && o.noise <= 1) {
		return fmt.Errorf("a noise of %v: it is a share, 0 to 1", o.noise)
	}
	return nil
}

func parseServe(args []string, env func(string) string) (serveOptions, error) {
	own, err := simDefaults(env)
	if err != nil {
		return serveOptions{}, err
	}
	o := serveOptions{port: 8000, apiKey: env("VLLM_API_KEY"), devMode: env("VLLM_SERVER_DEV_MODE") == "1"}
	var seqs, tokens, length, seed int
	var utilization float64
	var loadFormat, profilerJSON, modelFlag, dtype string
	tp, prefix, eager := 1, true, false
	flags := append(own.flags(),
		stringFlag("model", &modelFlag), stringFlag("served-model-name", &o.servedName),
		stringFlag("host", &o.host), intFlag("port", &o.port), stringFlag("uds", &o.uds), stringFlag("api-key", &o.apiKey),
		floatFlag("gpu-memory-utilization", &utilization), floatFlag("device-memory-utilization", &utilization),
		intFlag("max-num-seqs", &seqs), intFlag("max-num-batched-tokens", &tokens), intFlag("max-model-len", &length),
		intFlag("tensor-parallel-size", &tp), intFlag("tp", &tp), intFlag("seed", &seed),
		stringFlag("load-format", &loadFormat), stringFlag("profiler-config", &profilerJSON), stringFlag("dtype", &dtype),
	)
	flags = append(flags, switchFlag("enable-prefix-caching", &prefix)...)
	flags = append(flags, switchFlag("enforce-eager", &eager)...)
	flags = append(flags, ignored(true, "download-dir", "revision", "tokenizer", "shutdown-timeout", "performance-mode", "optimization-level")...)
	flags = append(flags, ignored(false, "trust-remote-code", "disable-uvicorn-access-log", "disable-log-stats",
		"enable-chunked-prefill", "async-scheduling", "no-async-scheduling", "enable-log-requests", "no-enable-log-requests")...)
	positional, err := parseFlags("vllm serve", flags, 1, args)
	if err != nil {
		return o, err
	}
	if o.model = modelFlag; len(positional) > 0 {
		o.model = positional[0]
	}
	if o.model == "" {
		return o, usageError{"vllm serve", "the following arguments are required: model_tag"}
	}
	if o.servedName == "" {
		o.servedName = o.model
	}
	if err := own.check(); err != nil {
		return o, usageError{"vllm serve", err.Error()}
	}
	c := sim.Config{Seed: uint64(seed), Noise: own.noise}
	if c.Hardware, err = sim.HardwareNamed(own.hardware); err != nil {
		return o, usageError{"vllm serve", "argument --sim-hardware: " + err.Error()}
	}
	if c.Model, err = modelShape(own.model, o.model); err != nil {
		return o, err
	}
	if dtype == "float32" || dtype == "float" {
		c.Model.WeightBytes = 4
	}
	c.Options = sim.DefaultOptions(c.Hardware, c.Model)
	c.Options.TensorParallel, c.Options.PrefixCaching, c.Options.Eager = tp, prefix, eager
	for _, v := range []struct{ given, into *int }{
		{&seqs, &c.Options.MaxSeqs}, {&tokens, &c.Options.MaxTokens}, {&length, &c.Options.MaxLength},
	} {
		if *v.given != 0 {
			*v.into = *v.given
		}
	}
	// As vLLM does it: a default budget grows to hold the sequences asked for.
	if tokens == 0 {
		c.Options.MaxTokens = max(c.Options.MaxTokens, c.Options.MaxSeqs)
	}
	if seqs == 0 {
		c.Options.MaxSeqs = min(c.Options.MaxSeqs, c.Options.MaxTokens)
	}
	if utilization != 0 {
		c.Options.Utilization = utilization
	}
	if o.profiler, err = parseProfiler(profilerJSON); err != nil {
		return o, err
	}
	o.devices, err = devices(env("CUDA_VISIBLE_DEVICES"), tp)
	if err != nil {
		return o, err
	}
	faults, err := parseFaults(env("VLLM_SIM_FAIL"))
	if err != nil {
		return o, err
	}
	c.NoHeadroom = faults.OOMUnderLoad
	o.engine = engineStart{
		Config: c, Dummy: loadFormat == "dummy", Scale: own.scale, Faults: faults, Devices: o.devices,
		MachineDir: machineDir(env), Profiler: o.profiler,
	}
	return o, nil
}

// modelShape prefers what was asked for, then the model's own config.json,
// then its name.
func modelShape(asked, model string) (sim.Model, error) {
	if asked != "" {
		m, err := sim.ModelNamed(asked)
		if err != nil {
			return m, usageError{"vllm serve", "argument --sim-model: " + err.Error()}
		}
		return m, nil
	}
	config, err := os.ReadFile(filepath.Join(model, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return sim.GuessModel(model), nil
	}
	if err != nil {
		return sim.Model{}, fmt.Errorf("read the model's configuration: %w", err)
	}
	return sim.ParseModel(config)
}

// parseProfiler returns nil for no profiler.
func parseProfiler(text string) (*profiler, error) {
	if text == "" {
		return nil, nil
	}
	var p profiler
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, usageError{"vllm serve", fmt.Sprintf("argument --profiler-config: Value %s cannot be converted to <function loads>.", text)}
	}
	switch {
	case p.Kind == "":
		return nil, nil
	case p.Kind != "torch":
		return nil, usageError{"vllm serve", "argument --profiler-config: the simulation writes torch traces only"}
	case p.Dir == "":
		return nil, usageError{"vllm serve", "argument --profiler-config: torch_profiler_dir must be set when profiler is 'torch'"}
	}
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, fmt.Errorf("profiler directory: %w", err)
	}
	p.Dir = dir
	return &p, nil
}
