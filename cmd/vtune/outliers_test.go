package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// throughputSpec has eight cells of one load each, a node for each of four at a time. The one with the largest values holds most by
// far, and it is the first to be measured, on the first node.
const throughputSpec = `model: llama-8b
max_model_len: 1024
workload: {input_len: 512, output_len: 64, vocab_size: 32000}
grid: {max_num_seqs: [2, 4, 8, 16], max_num_batched_tokens: [1024, 2048]}
test: {max_requests: 100}
prune: none
plan: cells
profile: {with: none}
outliers: repeat
scheduler: slurm
site: {directives: {exclusive: ""}}
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "25", VLLM_SIM_HARDWARE: a10-like, VLLM_SIM_SLOW: "%s=2"}
`

// A node that is slow is found by the self-checks, what it measured is measured again on others, and the answer is the one of a
// cluster on which every node is well.
func TestWhatASlowNodeMeasuredIsMeasuredElsewhere(t *testing.T) {
	t.Parallel()
	env := lab(t)
	first := strings.Fields(slurm(t, env, "sinfo", "-h", "-N", "-o", "%N"))[0]
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(spec, fmt.Appendf(nil, throughputSpec, first), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := record.Dir(vtune(t, env, "submit", spec))
	vtune(t, env, "collect", "--watch", "--grace", "5s", string(dir))
	st := state(t, dir)
	slow := slices.IndexFunc(st.Nodes, func(n record.NodeState) bool { return n.Slow > 0 })
	if slow < 0 || st.Nodes[slow].Node != first || st.Nodes[slow].Slow < 0.5 {
		t.Fatalf("%s is twice as slow, and the nodes are %+v", first, st.Nodes)
	}
	if !slices.ContainsFunc(st.Warnings, func(w string) bool { return strings.HasPrefix(w, first+" is ") }) {
		t.Errorf("warnings %q", st.Warnings)
	}
	repeated := 0
	for _, c := range st.Cells {
		last := c.Attempts[len(c.Attempts)-1]
		if c.Accepted == nil || c.Accepted.Attempt != last.Attempt || last.Node == first {
			t.Errorf("%s: accepted %v, attempts %+v", c.ID, c.Accepted != nil, c.Attempts)
		}
		if len(c.Attempts) > 1 {
			repeated++
			var in record.Intent
			if err := fsx.ReadJSON(dir.Intent(last.Job), &in); err == nil && !slices.Contains(in.Unit.Jobs[0].Avoid, first) {
				t.Errorf("%s avoids %v", last.Job, in.Unit.Jobs[0].Avoid)
			}
		}
	}
	if repeated == 0 || repeated == len(st.Cells) {
		t.Errorf("%d cells were repeated", repeated)
	}
	if st.Best == nil || st.Best.Cell.MaxNumSeqs != 16 {
		t.Errorf("best %+v", st.Best)
	}
	t.Logf("%d repeated, %+v", repeated, st.Nodes)
	nothingLeft(t, "after repetitions", dir)
}
