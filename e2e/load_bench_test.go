//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vtune/internal/load"
)

// The server answers with so many tokens, so far apart: 160 ms for an answer.
const (
	benchTokens = 32
	benchPace   = 5 * time.Millisecond
	benchPrompt = 128
)

// benchRun is what one client is told to do. Without a rate, so many are in flight all the time as keep the client's core busy.
type benchRun struct {
	URL      string
	Rate     float64 // 0: as many as it can
	InFlight int
	Requests int
}

// benchResult is what came out, by the client's and by the server's own account.
type benchResult struct {
	Client           string
	Run              benchRun
	Throughput       float64 // requests/s
	Completed        int
	MeanMS, P99MS    float64 // E2EL by the client
	ServerMS         float64 // mean E2EL by the server
	LateP50, LateP99 time.Duration
	CPUSeconds       float64
	MaxRSS           int64 // bytes
	Note             string
}

// BenchmarkLoadClients runs vtune's client and `vllm bench serve` alternately, each on one core, against a trivial server on
// another. It is one comparison, whatever b.N is: run it with -benchtime 1x.
func BenchmarkLoadClients(b *testing.B) {
	if runtime.NumCPU() < 2 {
		b.Fatal("needs two cores: one for the server and one for the client")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		b.Fatal(err)
	}
	server := benchServer(b)
	var results []benchResult
	ours := func(rate float64, inFlight, requests int) {
		results = append(results, benchOurs(b, server, benchRun{server.url, rate, inFlight, requests}))
	}
	theirs := func(rate float64, inFlight, requests int) {
		results = append(results, benchTheirs(b, server, root, benchRun{server.url, rate, inFlight, requests}))
	}
	for range 2 {
		ours(0, 1024, 12000)
		theirs(0, 1024, 4000)
		for _, rate := range []float64{20, 300, 600} {
			ours(rate, 0, int(10*rate))
			theirs(rate, 0, int(10*rate))
		}
		ours(1000, 0, 5000)
		ours(1000, 0, 30000) // for its memory
		ours(2000, 0, 20000)
		ours(4000, 0, 40000)
	}
	fmt.Print(benchTable(results))
}

func benchTable(results []benchResult) string {
	var t strings.Builder
	fmt.Fprintf(&t, "\n%-10s %9s %9s %9s %10s %10s %7s %9s %9s %8s %8s\n", "client", "asked/s", "requests", "req/s", "mean ms",
		"server ms", "off %", "late P50", "late P99", "CPU ms/r", "RSS MiB")
	for _, r := range results {
		rate, late, cpu := "all", []string{"-", "-"}, "-"
		if r.Run.Rate > 0 {
			rate = fmt.Sprintf("%g", r.Run.Rate)
			if r.Client == "vtune" {
				late = []string{r.LateP50.String(), r.LateP99.String()}
			}
		}
		if r.Client == "vtune" { // the other's is mostly its start
			cpu = fmt.Sprintf("%.3f", 1000*r.CPUSeconds/float64(r.Completed))
		}
		fmt.Fprintf(&t, "%-10s %9s %9d %9.1f %10.2f %10.2f %7.2f %9s %9s %8s %8.0f %s\n", r.Client, rate, r.Completed, r.Throughput, r.MeanMS,
			r.ServerMS, 100*(r.MeanMS/r.ServerMS-1), late[0], late[1], cpu, float64(r.MaxRSS)/(1<<20), r.Note)
	}
	return t.String()
}

// TestLoadBenchChild is no test: it is the server, or vtune's client, in a process of its own.
func TestLoadBenchChild(t *testing.T) {
	switch job := os.Getenv("VTUNE_LOAD_BENCH"); job {
	case "":
		t.Skip("only for BenchmarkLoadClients")
	case "server":
		benchServe()
	default:
		var run benchRun
		if err := json.Unmarshal([]byte(job), &run); err != nil {
			t.Fatal(err)
		}
		benchLoad(run)
	}
	os.Exit(0) // before the test binary prints that it passed
}

func benchChild(job string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestLoadBenchChild$")
	cmd.Env = append(os.Environ(), "VTUNE_LOAD_BENCH="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

// startOn starts a command that may use one core only, ahead of whatever else this machine does, if it may: what is compared are
// the clients and not their neighbours. A process inherits both from the thread that starts it.
func startOn(core int, cmd *exec.Cmd) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		var set unix.CPUSet
		set.Set(core)
		err := unix.SchedSetaffinity(0, &set)
		// Without the right to it the comparison is noisier and as fair.
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}, 0)
		if err == nil {
			err = cmd.Start()
		}
		failed <- err
	}()
	return <-failed
}

// benchProcess is the server, in a process of its own on a core of its own.
type benchProcess struct{ url string }

func benchServer(b *testing.B) benchProcess {
	cmd := benchChild("server")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	stop, err := cmd.StdinPipe() // the server ends with it
	if err != nil {
		b.Fatal(err)
	}
	if err := startOn(1, cmd); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stop.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return benchProcess{strings.TrimSpace(url)}
}

// benchServe streams tokens on a clock of its own and keeps account of how long it took.
func benchServe() {
	var mu sync.Mutex
	var count int
	var total time.Duration
	const chunk = `data: {"id":"cmpl-0123456789abcdef0123456789abcdef","object":"text_completion","created":1700000000,"model":"model","choices":[{"index":0,"text":" token","logprobs":null,"finish_reason":null,"stop_reason":null,"token_ids":null}],"usage":null}` + "\n\n"
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		out := http.NewResponseController(w)
		for n := range benchTokens {
			time.Sleep(time.Until(began.Add(time.Duration(n+1) * benchPace)))
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
			if err := out.Flush(); err != nil {
				return
			}
		}
		took := time.Since(began)
		fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n",
			benchPrompt, benchPrompt+benchTokens, benchTokens)
		mu.Lock()
		defer mu.Unlock()
		count, total = count+1, total+took
	})
	mux.HandleFunc("GET /account", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		mean := 0.0
		if count > 0 {
			mean = total.Seconds() * 1000 / float64(count)
		}
		count, total = 0, 0
		fmt.Fprintln(w, mean)
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("http://%s\n", l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, http.Serve(l, mux))
	os.Exit(1)
}

// account is the server's mean since it was last asked, in ms.
func (p benchProcess) account(b *testing.B) float64 {
	resp, err := http.Get(p.url + "/account")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	mean, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return mean
}

func used(cmd *exec.Cmd, r *benchResult) {
	r.CPUSeconds = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.MaxRSS = u.Maxrss * 1024
	}
}

func benchOurs(b *testing.B, server benchProcess, run benchRun) benchResult {
	server.account(b)
	job, err := json.Marshal(run)
	if err != nil {
		b.Fatal(err)
	}
	cmd := benchChild(string(job))
	var out strings.Builder
	cmd.Stdout = &out
	if err := startOn(0, cmd); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	r := benchResult{Client: "vtune", Run: run}
	if err := json.Unmarshal([]byte(out.String()), &r); err != nil {
		b.Fatalf("%v: %s", err, out.String())
	}
	used(cmd, &r)
	r.ServerMS = server.account(b)
	return r
}

func benchLoad(run benchRun) {
	w := load.Workload{
		Model: "model", Requests: run.Requests, Rate: run.Rate, Rescale: true, Seed: 1, InputLen: benchPrompt, OutputLen: benchTokens,
		IgnoreEOS: true, From: load.FromSent, LetIn: run.InFlight, Percentiles: []float64{99}, Vocab: 32000,
	}
	if run.Rate == 0 {
		w.Rate = math.Inf(1)
	}
	report, err := load.Run(context.Background(), load.Target{BaseURL: run.URL}, w, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := report.Summary
	d := s.Latency[load.E2EL]
	_ = json.NewEncoder(os.Stdout).Encode(benchResult{
		Client: "vtune", Run: run, Throughput: s.RequestRate, Completed: s.Completed, MeanMS: d.Mean, P99MS: d.Percentiles[0].Value,
		LateP50: s.LatenessP50, LateP99: s.LatenessP99, Note: s.FirstError + s.Late,
	})
}

func benchTheirs(b *testing.B, server benchProcess, root string, run benchRun) benchResult {
	dir := b.TempDir()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(run.URL, "http://"))
	if err != nil {
		b.Fatal(err)
	}
	rate := "inf"
	if run.Rate > 0 {
		rate = strconv.FormatFloat(run.Rate, 'g', -1, 64)
	}
	args := []string{
		"bench", "serve", "--backend", "vllm", "--model", filepath.Join(root, ".cache", "model"), "--dataset-name", "random",
		"--random-input-len", strconv.Itoa(benchPrompt), "--random-output-len", strconv.Itoa(benchTokens), "--ignore-eos", "--disable-tqdm",
		"--request-rate", rate, "--num-prompts", strconv.Itoa(run.Requests), "--percentile-metrics", "ttft,tpot,itl,e2el",
		"--host", host, "--port", port, "--seed", "1", "--temperature", "0", "--save-result", "--result-dir", dir, "--result-filename", "r.json",
	}
	if run.InFlight > 0 {
		args = append(args, "--max-concurrency", strconv.Itoa(run.InFlight))
	}
	cmd := exec.Command(filepath.Join(root, ".cache", "vllm-cpu", "bin", "vllm"), args...)
	cmd.Env = append(slices.Clone(os.Environ()), "HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	server.account(b)
	if err := startOn(0, cmd); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatalf("%v:\n%s", err, log.String())
	}
	text, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err != nil {
		b.Fatalf("%v:\n%s", err, log.String())
	}
	var saved struct {
		Completed  int     `json:"completed"`
		Throughput float64 `json:"request_throughput"`
		Mean       float64 `json:"mean_e2el_ms"`
		P99        float64 `json:"p99_e2el_ms"`
	}
	if err := json.Unmarshal(text, &saved); err != nil {
		b.Fatal(err)
	}
	r := benchResult{Client: "vllm bench", Run: run, Throughput: saved.Throughput, Completed: saved.Completed, MeanMS: saved.Mean, P99MS: saved.P99}
	used(cmd, &r)
	r.ServerMS = server.account(b)
	return r
}
