package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

const coreFailed = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"

func TestSIGTERMEndsBothProcessesAndFreesTheGPU(t *testing.T) {
	m := newMachine(t)
	for range 2 { // the second one finds the memory of the first free again
		p := m.serve("--gpu-memory-utilization", "0.98")
		engine := p.engine()
		if !alive(engine) {
			t.Fatal("the engine is no process of its own")
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.exit(); code != 0 {
			t.Errorf("exit code %d:\n%s", code, p.output())
		}
		if alive(engine) {
			t.Error("the engine has survived SIGTERM to the server")
		}
		if strings.Contains(p.output(), "is killed") {
			t.Errorf("the engine was not told to end:\n%s", p.output())
		}
	}
}

func TestSIGTERMToTheWholeGroupIsACleanEnd(t *testing.T) {
	p := newMachine(t).serve()
	engine := p.engine()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.output())
	}
	if alive(engine) {
		t.Error("the engine has survived")
	}
}

func TestSIGTERMWhileStartingIsACleanEnd(t *testing.T) {
	m := newMachine(t, "VLLM_SIM_FAIL=hang-at-start")
	p := m.launch()
	await(t, "a hanging start", func() bool { return strings.Contains(p.output(), "Hanging (VLLM_SIM_FAIL)") })
	engine := p.engine()
	if _, err := http.Get(p.url("/health")); err == nil {
		t.Error("a server that is not ready accepts connections")
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.output())
	}
	if alive(engine) {
		t.Error("the engine has survived")
	}
}

func TestKillingTheServerAloneLeavesTheEngineAndItsMemory(t *testing.T) {
	m := newMachine(t)
	p := m.serve("--gpu-memory-utilization", "0.92")
	engine := p.engine()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	next := m.launch("--gpu-memory-utilization", "0.98")
	if code := next.exit(); code != 1 {
		t.Errorf("exit code %d:\n%s", code, next.output())
	}
	const cause = "ValueError: Free memory on device cuda:0 (10.67/139.8 GiB) on startup is less than desired GPU memory utilization (0.98, 137.0 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
	out := next.output()
	if strings.Count(out, cause) != 2 || !strings.Contains(out, "[core.py:1136] "+cause) {
		t.Errorf("want twice: %s\n%s", cause, out)
	}
	if !strings.HasSuffix(lastLine(out), coreFailed) {
		t.Errorf("the last line is %s", lastLine(out))
	}
	if !alive(engine) {
		t.Fatal("the engine has died with its server")
	}
	p.killGroup()
	await(t, "the end of the engine", func() bool { return !alive(engine) })
	m.serve("--gpu-memory-utilization", "0.98")
}

func TestGPUsOfOneMachineAreSeparate(t *testing.T) {
	m := newMachine(t)
	m.env = append(m.env, "CUDA_VISIBLE_DEVICES=0")
	m.serve()
	m.env = append(m.env, "CUDA_VISIBLE_DEVICES=1")
	m.serve()
	m.env = append(m.env, "CUDA_VISIBLE_DEVICES=2,1")
	p := m.launch("--tensor-parallel-size", "2")
	if code := p.exit(); code != 1 || !strings.Contains(p.output(), "Free memory on device") {
		t.Errorf("a group with a taken GPU: exit code %d\n%s", code, p.output())
	}
}

func TestFailedStartsSayWhy(t *testing.T) {
	for _, tc := range []struct {
		name, want, last string
		args             []string
		fail             string
	}{
		{name: "utilisation 1.0", args: []string{"--gpu-memory-utilization", "1.0"}, want: "ValueError: Free memory on device cuda:0 (139.29/139.8 GiB)", last: coreFailed},
		{name: "no cache", args: []string{"--sim-model", "8b", "--gpu-memory-utilization", "0.10"}, want: "ValueError: No available memory for the cache blocks.", last: coreFailed},
		{name: "too long", args: []string{"--sim-model", "8b", "--gpu-memory-utilization", "0.15", "--max-model-len", "131072"}, want: "ValueError: To serve at least one request with the models's max seq len (131072)", last: coreFailed},
		{name: "model too big", args: []string{"--sim-model", "70b", "--sim-hardware", "a10-like"}, want: "torch.OutOfMemoryError: CUDA out of memory.", last: coreFailed},
		{name: "crash", fail: "crash-at-start", want: "RuntimeError: simulated crash at start", last: coreFailed},
		{name: "bad flags", args: []string{"--max-num-seqs", "64", "--max-num-batched-tokens", "32"}, want: "ValueError: max_num_batched_tokens (32)", last: "max_num_batched_tokens (32) must be greater than or equal to max_num_seqs (64)."},
		{name: "zero", args: []string{"--max-num-seqs", "0"}, want: "ValueError: max_num_seqs must be at least 1", last: "got 0."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newMachine(t)
			m.env = append(m.env, "VLLM_SIM_FAIL="+tc.fail)
			p := m.launch(tc.args...)
			if code := p.exit(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if out := p.output(); !strings.Contains(out, tc.want) || !strings.HasSuffix(lastLine(out), tc.last) {
				t.Errorf("want %s\nand at the end %s\ngot:\n%s", tc.want, tc.last, out)
			}
		})
	}
}

func TestATakenPortIsToldAsPythonDoes(t *testing.T) {
	m := newMachine(t)
	first := m.serve("--gpu-memory-utilization", "0.4")
	second := m.start("serve", "tiny", "--host", "127.0.0.1", "--port", strconv.Itoa(first.port), "--gpu-memory-utilization", "0.4")
	if code := second.exit(); code != 1 || !strings.HasSuffix(lastLine(second.output()), "OSError: [Errno 98] Address already in use") {
		t.Errorf("exit code %d:\n%s", code, second.output())
	}
	if status, _ := first.get("/health"); status != 200 {
		t.Errorf("the first server: %d", status)
	}
}

func TestAnEngineThatDiesTakesTheServerWithIt(t *testing.T) {
	const dead = "EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."
	for fault, cause := range map[string]string{
		"crash-after=1":  "RuntimeError: simulated crash after 1 requests",
		"oom-under-load": "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate",
	} {
		t.Run(fault, func(t *testing.T) {
			m := newMachine(t, "VLLM_SIM_FAIL="+fault)
			p := m.serve()
			resp, err := http.Post(p.url("/v1/completions"), "application/json", strings.NewReader(`{"prompt":[1],"max_tokens":2}`))
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body) // the answer may or may not have made it
				resp.Body.Close()
			}
			if code := p.exit(); code != 1 {
				t.Errorf("exit code %d", code)
			}
			if out := p.output(); !strings.Contains(out, cause) || !strings.HasSuffix(lastLine(out), dead) {
				t.Errorf("want %s\nand at the end %s\ngot:\n%s", cause, dead, out)
			}
			if alive(p.engine()) {
				t.Error("the engine is still there")
			}
		})
	}
}

func TestTheProfilerLeavesATraceOfTheStepsInBetween(t *testing.T) {
	m := newMachine(t)
	dir := filepath.Join(m.dir, "profile")
	p := m.serve("--profiler-config", `{"profiler":"torch","torch_profiler_dir":"`+dir+`","delay_iterations":1,"max_iterations":3}`)
	request := func() {
		if status, got := p.post("/v1/completions", `{"prompt":[1,2,3],"max_tokens":6}`, ""); status != 200 {
			t.Fatalf("%d %s", status, got)
		}
	}
	request() // before the start: must not be in the trace
	if status, got := p.post("/start_profile", "", ""); status != 200 || got != "" {
		t.Errorf("/start_profile: %d %s", status, got)
	}
	request()
	if status, _ := p.post("/stop_profile", "", ""); status != 200 {
		t.Errorf("/stop_profile: %d", status)
	}
	files, err := filepath.Glob(filepath.Join(dir, "rank0.*.pt.trace.json.gz"))
	if err != nil || len(files) != 1 {
		t.Fatalf("traces: %v, %v", files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Name string
			Dur  float64
		}
	}
	if err := json.NewDecoder(z).Decode(&trace); err != nil {
		t.Fatal(err)
	}
	if len(trace.TraceEvents) != 3 {
		t.Fatalf("%d events, want max_iterations", len(trace.TraceEvents))
	}
	for _, e := range trace.TraceEvents {
		// The prefill step was skipped by delay_iterations.
		if e.Name != "execute_context_0_generation_1" || e.Dur <= 0 {
			t.Errorf("event %+v", e)
		}
	}
}

func TestBenchWritesTheFieldsOfTheRealClient(t *testing.T) {
	m := newMachine(t)
	m.env = append(m.env, "VLLM_API_KEY=k", "OPENAI_API_KEY=k")
	p := m.serve()
	run := func(port string, args ...string) (*process, map[string]any) {
		t.Helper()
		b := m.start(append([]string{
			"bench", "serve", "--backend", "vllm", "--model", "tiny", "--dataset-name", "random", "--random-input-len", "60",
			"--random-prefix-len", "40", "--random-output-len", "8", "--ignore-eos", "--disable-tqdm", "--percentile-metrics", "ttft,tpot,itl,e2el",
			"--metric-percentiles", "50,90,99", "--num-prompts", "20", "--host", "127.0.0.1", "--port", port, "--temperature", "0",
			"--save-result", "--result-dir", "out", "--result-filename", "r.json",
		}, args...)...)
		if code := b.exit(); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, b.output())
		}
		text, err := os.ReadFile(filepath.Join(m.dir, "out", "r.json"))
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		return b, fields
	}
	b, got := run(strconv.Itoa(p.port), "--request-rate", "40", "--goodput", "e2el:100000")
	for key, want := range map[string]any{
		"backend": "vllm", "endpoint_type": "vllm", "model_id": "tiny", "num_prompts": 20.0, "request_rate": 40.0, "completed": 20.0,
		"failed": 0.0, "total_input_tokens": 2000.0, "total_output_tokens": 160.0, "max_concurrency": nil, "request_goodput": got["request_throughput"],
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	for _, metric := range []string{"ttft", "tpot", "itl", "e2el"} {
		for _, kind := range []string{"mean", "median", "std", "p50", "p90", "p99"} {
			if _, ok := got[kind+"_"+metric+"_ms"].(float64); !ok {
				t.Errorf("no %s_%s_ms", kind, metric)
			}
		}
	}
	if duration := got["duration"].(float64); duration < 0.5 {
		t.Errorf("20 requests at 40/s in %v virtual seconds", duration)
	}
	for _, line := range []string{"Successful requests:                     20", "Request throughput (req/s):", "Request goodput (req/s):", "P99 E2EL (ms):", "Mean TTFT (ms):"} {
		if !strings.Contains(b.output(), line) {
			t.Errorf("no %q in:\n%s", line, b.output())
		}
	}
	if _, got := run(strconv.Itoa(p.port), "--request-rate", "inf"); got["request_rate"] != "inf" || got["request_goodput"] != nil {
		t.Errorf("at inf: rate %v, goodput %v", got["request_rate"], got["request_goodput"])
	}
	// A dead server: zeros and exit code 0, the trap that a tuner must not fall into.
	_, got = run(strconv.Itoa(freePort(t)))
	if got["completed"] != 0.0 || got["failed"] != 20.0 || got["p99_e2el_ms"] != 0.0 || got["request_throughput"] != 0.0 {
		t.Errorf("without a server: %v", got)
	}
}

func TestADroppedShareOfRequestsFails(t *testing.T) {
	m := newMachine(t, "VLLM_SIM_FAIL=drop=0.25")
	p := m.serve()
	failed := 0
	for range 8 {
		if status, _ := p.post("/v1/completions", `{"prompt":[1],"max_tokens":1}`, ""); status == 500 {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("%d of 8 requests failed, want 2", failed)
	}
}

func TestAClientThatGoesAwayFreesItsPlace(t *testing.T) {
	p := newMachine(t, "VLLM_SIM_TIME_SCALE=10").serve("--max-model-len", "8192")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url("/v1/completions"), strings.NewReader(`{"prompt":[1,2],"max_tokens":8000,"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	running := func(n string) func() bool {
		return func() bool {
			_, metrics := p.get("/metrics")
			return strings.Contains(metrics, `vllm:num_requests_running{engine="0",model_name="tiny"} `+n+"\n")
		}
	}
	await(t, "a running request", running("1"))
	cancel()
	await(t, "an idle engine", running("0"))
	if _, metrics := p.get("/metrics"); !strings.Contains(metrics, `finished_reason="length"} 0`) {
		t.Errorf("the request was answered in full:\n%s", metrics)
	}
}
