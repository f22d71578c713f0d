package autotune

import (
	"slices"
	"strings"

	"vtune/internal/spec/word"
)

// Fate is what becomes of a variable that a server which the script starts would find in its environment.
type Fate int

const (
	Unknown Fate = iota // no variable that servers are known to look at
	Taken               // it goes into server.environment
	Left                // it does not, and why
	Ours                // vtune sets it itself, as the script does
)

// FateOf a variable by its name. why is for people.
func FateOf(name string) (fate Fate, why string) {
	switch name {
	case "VLLM_USE_V1":
		return Left, "is left out: vLLM has but one engine now, and knows this variable no more"
	case "VLLM_SERVER_DEV_MODE", "VLLM_TORCH_PROFILER_DIR":
		return Ours, ""
	case "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS":
		return Left, "is left out: which devices a server has is the scheduler's to say"
	}
	if !slices.ContainsFunc(prefixes(), func(p string) bool { return strings.HasPrefix(name, p) }) {
		return Unknown, ""
	}
	if f := word.Variable().Test(name); f != nil {
		why = "is left out: " + f.What
		if f.Hint != "" {
			why += "; " + f.Hint
		}
		return Left, why
	}
	return Taken, ""
}

// prefixes are those of vLLM, and of what it stands on.
func prefixes() []string {
	return []string{
		"VLLM_", "HF_", "HUGGING_FACE_", "TRANSFORMERS_", "TOKENIZERS_", "TORCH", "PYTORCH_", "NCCL_", "CUDA_", "CUBLAS_", "FLASHINFER_", "TRITON_", "OMP_", "MKL_", "RAY_",
		"GLOO_", "UCX_", "HSA_", "HIP_", "ROCR_", "ROCM_", "MIOPEN_", "TPU_", "LIBTPU_", "XLA_", "JAX_", "PJRT_",
	}
}
