package vllm

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
)

func serve() Serve {
	return Serve{
		Server: record.Server{Command: []string{"apptainer", "exec", "vllm"}, Model: "meta-llama/Llama-3.1-8B-Instruct", TensorParallel: 2, MaxModelLen: 4096},
		Cell:   record.Cell{ID: "s128-t512", MaxNumSeqs: 128, MaxNumBatchedTokens: 512}, Utilization: 0.98 - 0.01, Port: 40123,
	}
}

func TestServeIsTheScriptsCommand(t *testing.T) {
	s := serve()
	s.Server.Flags = []string{"--dtype", "bfloat16"}
	s.Server.DownloadDir = "/data/a b"
	want := []string{
		"apptainer", "exec", "vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct", "--host", "127.0.0.1", "--port", "40123",
		"--gpu-memory-utilization", "0.97", "--max-num-seqs", "128", "--max-num-batched-tokens", "512", "--tensor-parallel-size", "2",
		"--enable-prefix-caching", "--load-format", "dummy", "--download-dir", "/data/a b", "--max-model-len", "4096", "--dtype", "bfloat16",
	}
	if d := cmp.Diff(want, s.Argv()); d != "" {
		t.Error(d)
	}
}

func TestASocketReplacesHostAndPort(t *testing.T) {
	s := serve()
	s.Socket = "/tmp/x/s"
	want := []string{
		"apptainer", "exec", "vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct", "--uds", "/tmp/x/s",
		"--gpu-memory-utilization", "0.97", "--max-num-seqs", "128", "--max-num-batched-tokens", "512", "--tensor-parallel-size", "2",
		"--enable-prefix-caching", "--load-format", "dummy", "--max-model-len", "4096",
	}
	if d := cmp.Diff(want, s.Argv()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(serve().Public(), s.Public()); d != "" {
		t.Errorf("what a person serves depends on how it was measured:\n%s", d)
	}
}

func TestAUsersLoadFormatReplacesDummy(t *testing.T) {
	for _, flags := range [][]string{{"--load-format", "auto"}, {"--load-format=auto"}, {"--load_format=auto"}} {
		s := serve()
		s.Server.Flags = flags
		if argv := strings.Join(s.Argv(), " "); strings.Contains(argv, "dummy") {
			t.Errorf("%v: %s", flags, argv)
		}
	}
}

// One client loads a server however many nodes it has, so only the server goes by the launch program.
func TestOnSeveralNodesAServerIsStartedByTheLaunchProgram(t *testing.T) {
	s := serve()
	s.Server.Launch, s.Server.PipelineParallel, s.Server.Nodes = "/run/bin/launch", 2, 2
	want := []string{
		"/run/bin/launch", "apptainer", "exec", "vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct", "--host", "127.0.0.1", "--port", "40123",
		"--gpu-memory-utilization", "0.97", "--max-num-seqs", "128", "--max-num-batched-tokens", "512", "--tensor-parallel-size", "2",
		"--pipeline-parallel-size", "2", "--enable-prefix-caching", "--load-format", "dummy", "--max-model-len", "4096",
	}
	if d := cmp.Diff(want, s.Argv()); d != "" {
		t.Error(d)
	}
	if flags := s.PublicFlags(); flags[0] != "--gpu-memory-utilization" || flags[len(flags)-1] != "4096" {
		t.Errorf("the launch program is in the flags, or takes some of them: %q", flags)
	}
	if argv := s.Public(); argv[0] != s.Server.Launch {
		t.Errorf("a person would start one node: %v", argv)
	}
	if argv := (Bench{Server: s.Server}).Argv(); argv[0] != "apptainer" {
		t.Errorf("the client would be started on every node: %v", argv)
	}
}

func TestWithoutADownloadDirectoryTheFlagIsLeftOut(t *testing.T) {
	if argv := strings.Join(serve().Argv(), " "); strings.Contains(argv, "download-dir") {
		t.Error(argv)
	}
}

func TestTheProfilerIsSetAsTheVersionKnowsIt(t *testing.T) {
	for _, c := range []struct {
		version    string
		iterations int
		config     string // empty: by the environment
	}{
		{"0.20.2", 0, `{"profiler":"torch","torch_profiler_dir":"/run/trace"}`},
		{"0.13.0", 8, `{"profiler":"torch","torch_profiler_dir":"/run/trace","max_iterations":8,"torch_profiler_with_stack":false}`},
		{"", 0, `{"profiler":"torch","torch_profiler_dir":"/run/trace"}`},
		{"0.1.dev9876+gabcdef0", 0, `{"profiler":"torch","torch_profiler_dir":"/run/trace"}`},
		{"1.0.0", 0, `{"profiler":"torch","torch_profiler_dir":"/run/trace"}`},
		{"0.12.1", 0, ""},
		{"v0.9.0+cpu", 8, ""},
	} {
		s := serve()
		s.Profiler = &Profiler{Dir: "/run/trace", Iterations: c.iterations, Version: c.version}
		argv, env := s.Argv(), strings.Join(s.Env("k"), "\n")
		byFlag, got := false, ""
		for i, a := range argv {
			if a == "--profiler-config" {
				byFlag, got = true, argv[i+1]
			}
		}
		if byEnv := strings.Contains(env, "VLLM_TORCH_PROFILER_DIR=/run/trace"); byEnv != (c.config == "") || byFlag == byEnv {
			t.Errorf("%q: by flag %v, by environment %v", c.version, byFlag, byEnv)
		}
		if got != c.config {
			t.Errorf("%q: %s, want %s", c.version, got, c.config)
		}
	}
}

// On a TPU the same name stands for XLA's profiler, in the engine; the API server's own would be torch's, of the host.
func TestTheProfilerOfATPUIsTheEngines(t *testing.T) {
	s := serve()
	s.Server.System = "TPU"
	s.Profiler = &Profiler{Dir: "/run/trace", Iterations: 8, Version: "0.20.2"}
	argv := s.Argv()
	const want = `{"profiler":"torch","torch_profiler_dir":"/run/trace","ignore_frontend":true}`
	if i := slices.Index(argv, "--profiler-config"); i < 0 || argv[i+1] != want {
		t.Errorf("%q", argv)
	}
}

func TestTheKeyIsInTheEnvironmentAndNeverInArgv(t *testing.T) {
	s, b := serve(), Bench{Server: serve().Server}
	for name, c := range map[string]struct{ argv, env []string }{
		"VLLM_API_KEY=secret-key":   {s.Argv(), s.Env("secret-key")},
		"OPENAI_API_KEY=secret-key": {b.Argv(), b.Env("secret-key")},
	} {
		if strings.Contains(strings.Join(c.argv, " "), "secret-key") {
			t.Errorf("%v", c.argv)
		}
		if !strings.Contains(strings.Join(c.env, "\n"), name) {
			t.Errorf("%v lacks %s", c.env, name)
		}
	}
}

func TestVtunesVariablesWinOverTheUsers(t *testing.T) {
	s := serve()
	s.Server.Environment = map[string]string{"VLLM_SERVER_DEV_MODE": "0", "A": "1"}
	want := []string{"A=1", "VLLM_SERVER_DEV_MODE=0", "VLLM_SERVER_DEV_MODE=1", "VLLM_API_KEY=k"} // the last of equal names counts
	if d := cmp.Diff(want, s.Env("k")); d != "" {
		t.Error(d)
	}
}

func TestBenchIsTheScriptsCommand(t *testing.T) {
	b := Bench{
		Server:   record.Server{Command: []string{"vllm"}, Model: "M"},
		Workload: record.Workload{InputLen: 1801, OutputLen: 20, CacheHitPct: 60},
		Load:     record.Load{Rate: record.Inf, Requests: 1000}, LimitMS: 500, Port: 40123, ResultDir: "/run/a", ResultFile: "bench-001-inf.json",
	}
	want := strings.Fields("vllm bench serve --backend vllm --model M --dataset-name random --random-input-len 721 --random-output-len 20 --ignore-eos" +
		" --disable-tqdm --request-rate inf --percentile-metrics ttft,tpot,itl,e2el --goodput e2el:500 --num-prompts 1000 --random-prefix-len 1080" +
		" --host 127.0.0.1 --port 40123 --seed 0 --temperature 0 --metric-percentiles 50,90,99 --save-result --result-dir /run/a --result-filename bench-001-inf.json")
	if d := cmp.Diff(want, b.Argv()); d != "" {
		t.Error(d)
	}
	b.Profile, b.LimitMS, b.Load.Rate = true, 0, 7.5
	argv := strings.Join(b.Argv(), " ")
	for _, part := range []string{" --goodput e2el:100000000000 ", " --request-rate 7.5 "} {
		if !strings.Contains(argv, part) {
			t.Errorf("%s lacks %q", argv, part)
		}
	}
	if !strings.HasSuffix(argv, " --profile") {
		t.Errorf("%s does not profile", argv)
	}
}
