//go:build e2ecompare

package e2e

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/vllm"
)

// longRun is how long an answer is checked, at its own rate.
const longRun = 2 * time.Minute

// Both methods tune the same real server over the same grid. What is printed is the comparison; what is checked is that both come
// to an answer, and that the long run at each answer's rate could be made.
func TestBothMethodsOnARealServer(t *testing.T) {
	root, model := realServer(t)
	for _, method := range []string{"auto_tune", "vtune"} {
		t.Run(method, func(t *testing.T) { compare(t, root, model, method) })
	}
}

// compare tunes by one method, prints its answer and its ledger, and checks the answer.
func compare(t *testing.T, root, model, method string) {
	work := t.TempDir()
	spec := filepath.Join(work, "spec.yaml")
	writeSpec(t, filepath.Join(root, "examples", "cpu-vtune", "spec.yaml"), spec, model)
	rewrite(t, spec, method)
	began := time.Now()
	c := exec.CommandContext(t.Context(), "vtune", "run", spec)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", method, err, out)
	}
	wall := time.Since(began)
	dirs, _ := filepath.Glob(filepath.Join(work, "auto-benchmark", "*"))
	dir := record.Dir(dirs[0])
	st := read[record.State](t, dir.State())
	text, err := os.ReadFile(dir.ResultTxt())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("== method %s: %.0f s of wall clock, %d server starts, %d runs\n%s%s", method, wall.Seconds(), starts(st), observations(st), text, out[bytes.LastIndex(out, []byte("\nrun "))+1:])
	ledger(t, st)
	if st.Best == nil {
		t.Fatalf("%s found no answer", method)
	}
	check(t, model, method, st)
}

// rewrite makes the example one for the local scheduler and the method.
func rewrite(t *testing.T, path, method string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("scheduler: slurm"), []byte("scheduler: local\nmethod: "+method), 1)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func starts(st record.State) int {
	n := 0
	for _, w := range append(worksOf(st), st.Probe, st.Profile) {
		for _, a := range w.Attempts {
			n += len(a.Starts)
		}
	}
	return n
}

func worksOf(st record.State) []record.WorkState {
	var all []record.WorkState
	for _, c := range st.Cells {
		all = append(all, c.WorkState)
	}
	return all
}

func observations(st record.State) int {
	n := 0
	for _, c := range st.Cells {
		n += len(c.Observations)
	}
	return n
}

// check puts the answer's rate on a server of the answer's cell for a long time, and tells the share beyond the limit.
func check(t *testing.T, model, method string, st record.State) {
	t.Helper()
	rate := float64(st.Best.Observation.Load.Rate)
	if math.IsInf(rate, 1) {
		rate = st.Best.Observation.Metrics.RequestThroughput
	}
	a := cpuServer(model)
	a.Cell = st.Best.Cell
	srv := serve(t, a)
	defer srv.Stop(t.Context())
	w := load.Workload{
		Model: model, Requests: int(rate * longRun.Seconds()), Rate: rate, Seed: 4711, InputLen: 256, OutputLen: 32, Vocab: 32000,
		Temperature: new(float64), IgnoreEOS: true, Percentiles: []float64{50, 99},
	}
	r, err := load.Run(t.Context(), load.Target{BaseURL: fmt.Sprintf("http://%s:%d", vllm.Loopback, srv.Port), APIKey: srv.Key}, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	beyond := 0
	for _, q := range r.Requests {
		if (q.Done - q.Due) > time.Duration(st.Policy.SLOs()[0].MS*float64(time.Millisecond)) {
			beyond++
		}
	}
	e2el := r.Summary.Latency[load.E2EL]
	fmt.Printf("   checked: %s at %.2f req/s for %.0f s: %d requests, %.2f req/s answered, P50 %.0f ms, %.2f %% beyond %g ms\n\n", st.Best.Cell.ID, rate,
		r.Summary.Duration.Seconds(), len(r.Requests), r.Summary.RequestRate, e2el.Median, 100*float64(beyond)/float64(len(r.Requests)), st.Policy.SLOs()[0].MS)
}

// Whether every server may have a profiler configured, or only the one that is traced, hangs on what an idle one costs.
func TestWhatAnIdleProfilerCosts(t *testing.T) {
	_, model := realServer(t)
	pin(t, 1)
	var throughput [2][]float64
	for round := range 4 {
		with := (round + round/2) % 2 // without, with, with, without
		a := cpuServer(model)
		a.Server.Command = []string{"taskset", "-c", "0", "vllm"}
		a.Cell = record.Cell{MaxNumSeqs: 32, MaxNumBatchedTokens: 512}
		if with == 1 {
			a.Server.Flags = append(a.Server.Flags, "--profiler-config", fmt.Sprintf(`{"profiler":"torch","torch_profiler_dir":%q,"max_iterations":20,"torch_profiler_with_stack":false}`, t.TempDir()))
		}
		srv := serve(t, a)
		for seed := range 4 {
			w := load.Workload{
				Model: model, Requests: 300, Rate: math.Inf(1), Seed: uint64(seed), InputLen: 256, OutputLen: 32, Vocab: 32000,
				Temperature: new(float64), IgnoreEOS: true, Percentiles: []float64{99},
			}
			if err := srv.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			r, err := load.Run(t.Context(), load.Target{BaseURL: fmt.Sprintf("http://%s:%d", vllm.Loopback, srv.Port), APIKey: srv.Key}, w, nil)
			if err != nil || r.Summary.Completed != w.Requests {
				t.Fatalf("%+v, %v", r.Summary, err)
			}
			if seed > 0 { // a server's first load is slower than all after it
				throughput[with] = append(throughput[with], r.Summary.RequestRate)
			}
		}
		srv.Stop(t.Context())
	}
	fmt.Printf("an idle profiler: %.2f req/s without %.2f, with %.2f: %.2f %%\n", mean(throughput[0]), throughput[0], throughput[1], 100*(1-mean(throughput[1])/mean(throughput[0])))
}
