package page

import (
	"fmt"
	"strconv"
	"strings"

	"vtune/internal/record"
)

// large is the memory from which vLLM gives a GPU its larger defaults.
const large = 70 * 1024 // MiB

// defaults are the axes' values that `vllm serve` takes where it is told none, as EngineArgs.get_batch_defaults has them: by the GPU's
// memory, with an exception for the A100, whose throughput large batches lower; on CPUs by the number of workers. They are those of the
// OpenAI server (the Python class has others), and of releases from 0.11 on: earlier ones differed from each other. For what is not known,
// as a TPU or a GPU that did not tell its memory, the reason is returned, and nothing is guessed.
func defaults(st record.State, s record.Server) (seqs, tokens int, unknown string) {
	if !since(st.ServerVersion, 0, 11) {
		return 0, 0, "it is not known for this version"
	}
	switch s.System {
	case "CPU":
		workers := max(1, s.TensorParallel) * max(1, s.PipelineParallel)
		seqs, tokens = 128*workers, 2048*workers
	case "GPU":
		memory, a100 := 0.0, false
		for _, n := range st.Nodes {
			if n.Memory > 0 && (memory == 0 || n.Memory < memory) {
				memory = n.Memory
			}
			a100 = a100 || strings.Contains(strings.ToLower(strings.Join(n.GPUs, " ")), "a100")
		}
		switch {
		case memory == 0:
			return 0, 0, "it depends on the GPU's memory, which no node told"
		case memory >= large && !a100:
			seqs, tokens = 1024, 8192
		default:
			seqs, tokens = 256, 2048
		}
	default:
		return 0, 0, "it depends on the accelerator"
	}
	if s.MaxModelLen > 0 {
		tokens = min(tokens, seqs*s.MaxModelLen)
	}
	return min(seqs, tokens), tokens, ""
}

// since reports whether a version is at least major.minor. One that does not parse is not.
func since(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 3 {
		return false
	}
	a, err := strconv.Atoi(parts[0])
	b, berr := strconv.Atoi(parts[1])
	return err == nil && berr == nil && (a > major || a == major && b >= minor)
}

// baseline is the cell that vLLM would have run without being told, in words, and its index, -1 if it is none of the grid's.
func baseline(st record.State, s record.Server) (cell int, words string) {
	seqs, tokens, unknown := defaults(st, s)
	if unknown != "" {
		return -1, "Which cell vLLM's own defaults are: " + unknown + "."
	}
	for i, c := range st.Cells {
		if c.MaxNumSeqs == seqs && c.MaxNumBatchedTokens == tokens {
			return i, fmt.Sprintf("vLLM's own defaults here are max_num_seqs %d and max_num_batched_tokens %d.", seqs, tokens)
		}
	}
	return -1, fmt.Sprintf("vLLM's own defaults here, max_num_seqs %d with max_num_batched_tokens %d, are not in the grid: there is no baseline.", seqs, tokens)
}
