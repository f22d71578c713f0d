package server

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/cmd/vllm-sim/internal/engine"
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
	scale      float64 // as it is told: a slow node does not know that it is
	headless   bool
	ray        string // address of the Ray cluster to run on; empty: none
	engine     engine.Start
}

func parseServe(args []string, env func(string) string) (serveOptions, error) {
	own, err := cli.SimDefaults(env)
	if err != nil {
		return serveOptions{}, err
	}
	o := serveOptions{port: 8000, apiKey: env("VLLM_API_KEY"), devMode: env("VLLM_SERVER_DEV_MODE") == "1"}
	// No value that a user can give stands for "not given": 0 must be refused.
	const unset = math.MinInt
	seqs, tokens, length, seed, utilization := unset, unset, unset, 0, math.NaN()
	var loadFormat, profilerJSON, modelFlag, dtype string
	prefix, eager := true, false
	p := parallel{tensor: 1, pipeline: 1, nodes: 1, host: "127.0.0.1", port: 29501}
	flags := append(own.Flags(),
		cli.String("model", &modelFlag), cli.String("served-model-name", &o.servedName),
		cli.String("host", &o.host), cli.Int("port", &o.port), cli.String("uds", &o.uds), cli.String("api-key", &o.apiKey),
		cli.Float("gpu-memory-utilization", &utilization), cli.Float("device-memory-utilization", &utilization),
		cli.Int("max-num-seqs", &seqs), cli.Int("max-num-batched-tokens", &tokens), cli.Int("max-model-len", &length),
		cli.Int("seed", &seed),
		cli.String("load-format", &loadFormat), cli.String("profiler-config", &profilerJSON), cli.String("dtype", &dtype),
	)
	flags = append(flags, p.flags()...)
	flags = append(flags, cli.Switch("enable-prefix-caching", &prefix)...)
	flags = append(flags, cli.Switch("enforce-eager", &eager)...)
	flags = append(flags, cli.Ignored(true, "download-dir", "revision", "tokenizer", "shutdown-timeout", "performance-mode", "optimization-level")...)
	flags = append(flags, cli.Ignored(false, "trust-remote-code", "disable-uvicorn-access-log", "disable-log-stats",
		"enable-chunked-prefill", "async-scheduling", "no-async-scheduling", "enable-log-requests", "no-enable-log-requests")...)
	positional, err := cli.Parse("vllm serve", flags, 1, args)
	if err != nil {
		return o, err
	}
	if o.model = modelFlag; len(positional) > 0 {
		o.model = positional[0]
	}
	if o.model == "" {
		return o, usage("the following arguments are required: model_tag")
	}
	if o.servedName == "" {
		o.servedName = o.model
	}
	if err := own.Check(); err != nil {
		return o, usage(err.Error())
	}
	c := sim.Config{Seed: uint64(seed), Noise: own.Noise}
	if c.Hardware, err = sim.HardwareNamed(own.Hardware); err != nil {
		return o, usage("argument --sim-hardware: " + err.Error())
	}
	if c.Model, err = cli.ModelShape(own.Model, o.model); err != nil {
		return o, err
	}
	if dtype == "float32" || dtype == "float" {
		c.Model.WeightBytes = 4
	}
	c.Options = sim.DefaultOptions(c.Hardware, c.Model)
	c.Options.TensorParallel, c.Options.PipelineParallel, c.Options.PrefixCaching, c.Options.Eager = p.tensor, p.pipeline, prefix, eager
	for _, v := range []struct{ given, into *int }{
		{&seqs, &c.Options.MaxSeqs}, {&tokens, &c.Options.MaxTokens}, {&length, &c.Options.MaxLength},
	} {
		if *v.given != unset {
			*v.into = *v.given
		}
	}
	// As vLLM does it: a default budget grows to hold the sequences asked for.
	if tokens == unset {
		c.Options.MaxTokens = max(c.Options.MaxTokens, c.Options.MaxSeqs)
	}
	if seqs == unset {
		c.Options.MaxSeqs = min(c.Options.MaxSeqs, c.Options.MaxTokens)
	}
	if !math.IsNaN(utilization) {
		c.Options.Utilization = utilization
	}
	profiler, err := parseProfiler(profilerJSON)
	if err != nil {
		return o, err
	}
	if err := p.check(); err != nil {
		return o, err
	}
	if o.headless = p.headless; p.backend == "ray" {
		o.ray = env("RAY_ADDRESS")
		if o.ray == "" {
			return o, errNoRay
		}
	}
	devices, err := p.devices(env("CUDA_VISIBLE_DEVICES"))
	if err != nil {
		return o, err
	}
	faults, err := engine.ParseFaults(env("VLLM_SIM_FAIL"))
	if err != nil {
		return o, err
	}
	c.NoHeadroom = faults.OOMUnderLoad
	o.scale = own.Scale
	o.engine = engine.Start{
		Config: c, Dummy: loadFormat == "dummy", Scale: own.Scale / own.Slow, Faults: faults, Devices: devices,
		MachineDir: engine.MachineDir(env), Profiler: profiler, Group: p.group(o.model),
		// The real one asks the machine; this name is what tells its libraries of it.
		TPU: env("TPU_ACCELERATOR_TYPE") != "",
	}
	return o, nil
}

// parseProfiler returns nil for no profiler.
func parseProfiler(text string) (*engine.Profiler, error) {
	if text == "" {
		return nil, nil
	}
	var p engine.Profiler
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, usage(fmt.Sprintf("argument --profiler-config: Value %s cannot be converted to <function loads>.", text))
	}
	switch {
	case p.Kind == "":
		return nil, nil
	case p.Kind != "torch":
		return nil, usage("argument --profiler-config: the simulation writes torch traces only")
	case p.Dir == "":
		return nil, usage("argument --profiler-config: torch_profiler_dir must be set when profiler is 'torch'")
	}
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, fmt.Errorf("profiler directory: %w", err)
	}
	p.Dir = dir
	return &p, nil
}

func usage(message string) error { return cli.UsageError{Prog: "vllm serve", Message: message} }
