//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/record"
)

// manySpec has 300 cells of a simulated server; there are 4 nodes with 8 GPUs each. Each cell is one short run at an infinite rate.
const manySpec = `model: llama-8b
max_model_len: 1024
workload: {input_len: 64, output_len: 4, vocab_size: 32000}
grid:
  max_num_seqs: [%s]
  max_num_batched_tokens: [%s]
plan: cells
prune: none
emulate: "off"
test: {max_requests: 100}
profile: {with: none}
scheduler: slurm
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "100", VLLM_SIM_HARDWARE: h200-like}
`

// A node dies under a run of 300 cells, with everything that is on it. Every cell has exactly one row all the same.
func TestThreeHundredCellsSurviveTheDeathOfANode(t *testing.T) {
	root := repository(t)
	t.Setenv("PATH", filepath.Join(root, "bin")+":"+os.Getenv("PATH"))
	work, err := os.MkdirTemp("/tmp", "vtmany-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(work)
		}
	})
	if err := os.Chmod(work, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VLLM_SIM_GPU_DIR", filepath.Join(work, "gpus"))
	cluster(t, root, filepath.Join(work, "slurm"))
	spec := filepath.Join(work, "spec.yaml")
	if err := os.WriteFile(spec, fmt.Appendf(nil, manySpec, numbers(15, 8), numbers(20, 256)), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := record.Dir(strings.TrimSpace(command(t, root, "bin/vtune", "submit", spec)))
	watch := exec.CommandContext(t.Context(), filepath.Join(root, "bin", "vtune"), "collect", "--watch", "--grace", "10s", string(dir))
	var said bytes.Buffer
	watch.Stdout, watch.Stderr = &said, &said
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for {
		results, _ := filepath.Glob(filepath.Join(dir.Cells(), "*", "1", "result.json"))
		if len(results) >= 60 {
			break
		}
		if time.Since(began) > bound {
			t.Fatalf("%d results after %s", len(results), bound)
		}
		time.Sleep(100 * time.Millisecond)
	}
	const victim = "node1" // Slurm fills the first node first
	killed := killNode(t, filepath.Join(work, "slurm"), victim)
	t.Logf("%s died with %d processes after %.0f s", victim, killed, time.Since(began).Seconds())
	if err := watch.Wait(); err != nil {
		t.Fatalf("collect: %v\n%s", err, &said)
	}
	t.Logf("300 cells: %.0f s", time.Since(began).Seconds())
	st := read[record.State](t, dir.State())
	text, err := os.ReadFile(dir.ResultTxt())
	if err != nil {
		t.Fatal(err)
	}
	again, elsewhere := 0, 0
	for _, c := range st.Cells {
		row := fmt.Sprintf("\nmax_num_seqs: %d, max_num_batched_tokens: %d, request_rate", c.MaxNumSeqs, c.MaxNumBatchedTokens)
		if n := strings.Count(string(text), row); n != 1 || c.Accepted == nil {
			t.Errorf("%s is %s (%s %s) and has %d rows", c.ID, c.Phase, c.Cause, c.Message, n)
		}
		if n := len(c.Attempts); n > 1 {
			again++
			if c.Attempts[n-1].Node != victim {
				elsewhere++
			}
		}
	}
	if len(st.Cells) != 300 || again == 0 || elsewhere != again {
		t.Errorf("%d cells; %d went out again, %d of them to another node", len(st.Cells), again, elsewhere)
	}
	t.Logf("%d cells went out again", again)
	nothingIsLeft(t, dir, filepath.Join(root, "bin", "vllm-sim"))
}

func numbers(n, step int) string {
	var all []string
	for i := range n {
		all = append(all, strconv.Itoa((i+1)*step))
	}
	return strings.Join(all, ", ")
}

// killNode is the death of a machine: its slurmd, and every process that says of itself that it runs there.
func killNode(t *testing.T, lab, node string) (killed int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(lab, "slurmd-"+node+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	slurmd, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(slurmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 3 { // what a process starts while it is looked for
		paths, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range paths {
			env, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(env, []byte("SLURMD_NODENAME="+node+"\x00")) || !bytes.Contains(env, []byte(lab+"/")) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
		}
	}
	return killed
}
