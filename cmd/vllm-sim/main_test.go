package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the command: its engine process starts the
// same executable again.
func TestMain(m *testing.M) {
	if os.Getenv("VLLM_SIM_TEST_COMMAND") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// machine is a simulated machine with GPUs of its own and a fast clock.
type machine struct {
	t   *testing.T
	dir string
	env []string
}

func newMachine(t *testing.T, env ...string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vllm-sim-test") // short, for Unix sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The race detector holds every exit up for a second unless told not to.
	clean := []string{"GORACE=atexit_sleep_ms=0", "VLLM_SIM_TEST_COMMAND=1", "VLLM_SIM_TIME_SCALE=200", "VLLM_SIM_GPU_DIR=" + filepath.Join(dir, "gpu")}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "VLLM_") && !strings.HasPrefix(v, "CUDA_") && !strings.HasPrefix(v, "SLURM") && !strings.HasPrefix(v, "OPENAI_") {
			clean = append(clean, v)
		}
	}
	return &machine{t, dir, append(clean, env...)}
}

// process is a running command in a group of its own; whatever becomes of the
// test, nothing of the group is left.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  string
	port int
	done chan struct{}
}

func (m *machine) start(args ...string) *process {
	m.t.Helper()
	log, err := os.CreateTemp(m.dir, "log")
	if err != nil {
		m.t.Fatal(err)
	}
	p := &process{t: m.t, cmd: exec.Command(os.Args[0], args...), log: log.Name(), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = m.env, log, log, m.dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code is what counts
		close(p.done)
	}()
	m.t.Cleanup(func() {
		p.killGroup()
		<-p.done
	})
	return p
}

func (p *process) killGroup() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

func (p *process) output() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// exit waits for the end and returns the exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the process does not end; its output:\n%s", p.output())
	}
	return p.cmd.ProcessState.ExitCode()
}

// await polls a condition, with a bound far above what it can take.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("never came: %s", what)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (p *process) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path) }

// serve starts a server and waits until it is healthy.
func (m *machine) serve(args ...string) *process {
	m.t.Helper()
	p := m.launch(args...)
	await(m.t, "a healthy server", func() bool {
		select {
		case <-p.done:
			m.t.Fatalf("the server ended:\n%s", p.output())
		default:
		}
		resp, err := http.Get(p.url("/health"))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

func (m *machine) launch(args ...string) *process {
	m.t.Helper()
	port := freePort(m.t)
	p := m.start(append([]string{"serve", "tiny", "--host", "127.0.0.1", "--port", strconv.Itoa(port), "--load-format", "dummy"}, args...)...)
	p.port = port
	return p
}

func (p *process) post(path, body, key string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.url(path), strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return p.do(req)
}

func (p *process) get(path string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, p.url(path), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

func (p *process) do(req *http.Request) (int, string) {
	p.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

var enginePID = regexp.MustCompile(`\(EngineCore pid=(\d+)\)`)

// engine is the pid of the server's engine process.
func (p *process) engine() int {
	p.t.Helper()
	match := enginePID.FindStringSubmatch(p.output())
	if match == nil {
		p.t.Fatalf("no engine process in the log:\n%s", p.output())
	}
	pid, err := strconv.Atoi(match[1])
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func TestTheVersionSaysThatItIsASimulation(t *testing.T) {
	p := newMachine(t).start("--version")
	if code := p.exit(); code != 0 || p.output() != "0.32.0+sim\n" {
		t.Errorf("exit code %d, output %q", code, p.output())
	}
}

func TestUnknownFlagsEndWithTwoAsArgparseDoes(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"serve", "m", "--foo"}, "vllm: error: unrecognized arguments: --foo"},
		{[]string{"serve", "m", "--disable-log-requests", "--bar", "7", "--port", "1"}, "vllm: error: unrecognized arguments: --disable-log-requests --bar 7"},
		{[]string{"bench", "serve", "--endpoint-type", "vllm"}, "vllm: error: unrecognized arguments: --endpoint-type vllm"},
		{[]string{"serve", "m", "--max-num-seqs", "many"}, "vllm serve: error: argument --max-num-seqs: invalid int value: 'many'"},
		{[]string{"serve", "m", "--port"}, "vllm serve: error: argument --port: expected one argument"},
		{[]string{"serve", "--port", "1"}, "vllm serve: error: the following arguments are required: model_tag"},
		{[]string{"bench", "serve", "--goodput", "itl:5"}, `vllm bench serve: error: argument --goodput: "itl:5" is not ttft:MS, tpot:MS or e2el:MS`},
	} {
		p := newMachine(t).start(tc.args...)
		if code := p.exit(); code != 2 || lastLine(p.output()) != tc.want {
			t.Errorf("%v: exit code %d\ngot  %s\nwant %s", tc.args, code, lastLine(p.output()), tc.want)
		}
	}
}

func TestAServerAnswersAsVLLMDoes(t *testing.T) {
	m := newMachine(t, "VLLM_SERVER_DEV_MODE=1")
	p := m.serve("--max-model-len", "1024", "--enable-prefix-caching")
	if _, got := p.get("/version"); got != "{\"time_scale\":200,\"version\":\"0.32.0+sim\"}\n" {
		t.Errorf("/version: %q", got)
	}
	if _, got := p.get("/v1/models"); !strings.Contains(got, `"id":"tiny"`) || !strings.Contains(got, `"owned_by":"vllm-sim"`) {
		t.Errorf("/v1/models: %s", got)
	}
	if !strings.Contains(p.output(), "This is vllm-sim 0.32.0+sim, a simulation") {
		t.Errorf("the log does not say that it is a simulation:\n%s", p.output())
	}
	ids, err := json.Marshal(make([]int, 100))
	if err != nil {
		t.Fatal(err)
	}
	prompt := string(ids)
	for range 2 {
		status, got := p.post("/v1/completions", `{"model":"tiny","prompt":`+prompt+`,"max_tokens":5,"ignore_eos":true}`, "")
		if status != 200 || !strings.Contains(got, `"usage":{"completion_tokens":5,"prompt_tokens":100,"total_tokens":105}`) {
			t.Errorf("completion: %d %s", status, got)
		}
	}
	_, got := p.post("/v1/completions", `{"prompt":"Once upon a time","max_tokens":3,"stream":true,"stream_options":{"include_usage":true}}`, "")
	if strings.Count(got, " sim") != 3 || !strings.Contains(got, `"completion_tokens":3`) || !strings.HasSuffix(got, "data: [DONE]\n\n") {
		t.Errorf("stream: %s", got)
	}
	for _, tc := range []struct {
		body, want string
		status     int
	}{
		{`{"prompt":[5,99999]}`, "Token id 99999 is out of vocabulary", 400},
		{`{"prompt":[5,-1]}`, "Token id -1 is out of vocabulary", 400},
		{`{"prompt":` + prompt + `,"max_tokens":925}`, "This model's maximum context length is 1024 tokens. However, you requested 925 output tokens and your prompt contains 100 input tokens.", 400},
		{`{"prompt":[]}`, "must be provided and non-empty", 400},
		{`{"prompt":[1],"max_tokens":0}`, "max_tokens must be at least 1", 400},
		{`{"prompt":`, "unexpected end", 400},
		{`{"prompt":[1],"model":"other"}`, "The model `other` does not exist.", 404},
	} {
		if status, got := p.post("/v1/completions", tc.body, ""); status != tc.status || !strings.Contains(got, tc.want) {
			t.Errorf("%.40s: %d %s\nwant %d %s", tc.body, status, got, tc.status, tc.want)
		}
	}
	_, metrics := p.get("/metrics")
	for _, want := range []string{
		`vllm:num_requests_running{engine="0",model_name="tiny"} 0`,
		`vllm:num_requests_waiting{engine="0",model_name="tiny"} 0`,
		`vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0`,
		// 100 + 100 + 4 tokens looked up; all full blocks of the second prompt found.
		`vllm:prefix_cache_queries_total{engine="0",model_name="tiny"} 204`,
		`vllm:prefix_cache_hits_total{engine="0",model_name="tiny"} 96`,
		`vllm:num_preemptions_total{engine="0",model_name="tiny"} 0`,
		`vllm:request_success_total{engine="0",model_name="tiny",finished_reason="length"} 3`,
		`vllm:cache_config_info{block_size="16",enable_prefix_caching="True",engine="0",gpu_memory_utilization="0.92",num_gpu_blocks="`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %s\n%s", want, metrics)
		}
	}
	if status, got := p.post("/reset_prefix_cache", "", ""); status != 200 || got != "{\"success\":true}\n" {
		t.Errorf("/reset_prefix_cache: %d %s", status, got)
	}
	if status, got := p.post("/start_profile", "", ""); status != 404 || got != "{\"detail\":\"Not Found\"}\n" {
		t.Errorf("/start_profile without a profiler: %d %s", status, got)
	}
}

func TestRoutesForDevelopersNeedTheEnvironment(t *testing.T) {
	if status, _ := newMachine(t).serve().post("/reset_prefix_cache", "", ""); status != 404 {
		t.Errorf("/reset_prefix_cache without VLLM_SERVER_DEV_MODE: %d", status)
	}
}

func TestWithAKeyOnlyV1RoutesNeedIt(t *testing.T) {
	m := newMachine(t)
	m.env = append(m.env, "VLLM_API_KEY=secret")
	p := m.serve()
	if status, got := p.post("/v1/completions", `{"prompt":[1]}`, ""); status != 401 || got != "{\"error\":\"Unauthorized\"}\n" {
		t.Errorf("without a key: %d %s", status, got)
	}
	if status, _ := p.post("/v1/completions", `{"prompt":[1]}`, "wrong"); status != 401 {
		t.Errorf("with a wrong key: %d", status)
	}
	if status, got := p.post("/v1/completions", `{"prompt":[1]}`, "secret"); status != 200 {
		t.Errorf("with the key: %d %s", status, got)
	}
	if status, _ := p.get("/metrics"); status != 200 {
		t.Errorf("/metrics: %d", status)
	}
}

func TestAUnixSocketReplacesThePort(t *testing.T) {
	m := newMachine(t)
	path := filepath.Join(m.dir, "s")
	p := m.start("serve", "tiny", "--uds", path)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	await(t, "health over a Unix socket", func() bool {
		resp, err := client.Get("http://localhost/health")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == 200
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
