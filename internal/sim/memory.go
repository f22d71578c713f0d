package sim

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Options are the server's flags that the engine depends on, already defaulted.
type Options struct {
	TensorParallel int
	// PipelineParallel is the number of stages, each with the layers that follow the last one's; 0: one. A batch passes through all of
	// them before the next one begins. The real scheduler fills the pipeline with as many batches as there are stages, so a real
	// server of several stages has the latency of a simulated one and more throughput.
	PipelineParallel int
	MaxSeqs          int     // --max-num-seqs
	MaxTokens        int     // --max-num-batched-tokens, the budget of a step
	Utilization      float64 // --gpu-memory-utilization
	MaxLength        int     // --max-model-len
	PrefixCaching    bool
	Eager            bool // --enforce-eager: no compilation, no CUDA graphs
}

// DefaultOptions are those of vLLM 0.20 and later for this GPU and model.
func DefaultOptions(h Hardware, m Model) Options {
	o := Options{TensorParallel: 1, MaxSeqs: 256, MaxTokens: 2048, Utilization: 0.92, MaxLength: m.MaxLength, PrefixCaching: true}
	if h.BigServer {
		o.MaxSeqs, o.MaxTokens = 1024, 8192
	}
	return o
}

// stages of the pipeline.
func (o Options) stages() int { return max(1, o.PipelineParallel) }

// BlockSize is the number of tokens in one block of KV cache.
const BlockSize = 16

// StartError is a start that vLLM would not survive. Message is the
// exception's text and Type its class, both as the real engine prints them.
// Memory tells the failures that less utilisation or smaller limits can cure
// from flags that are wrong whatever the GPU holds; Late those that only
// loading and profiling find from those of the first look.
type StartError struct {
	Type    string
	Message string
	Memory  bool
	Late    bool
}

func (e *StartError) Error() string { return e.Type + ": " + e.Message }

// Memory is how one GPU is divided, in GiB.
type Memory struct {
	Total       float64
	Free        float64 // when the engine starts: total minus reserved minus held by others
	Budget      float64 // utilisation x total: what the engine may take
	Weights     float64
	Activation  float64 // peak of a step that fills the token budget
	Graphs      float64
	KVCache     float64
	Blocks      int
	KVTokens    int
	Concurrency float64 // requests of the maximum length that fit at once
}

// headroom is what is still free when the engine has taken its budget.
func (m Memory) headroom() float64 { return m.Free - m.Budget }

// otherGiB is the CUDA context and the communication buffers of one process.
const otherGiB = 0.3

// divide splits the GPU as vLLM does: free memory is compared with the budget
// first, then weights are loaded, one full step is profiled, and what remains
// of the budget becomes KV cache. heldGiB belongs to other processes.
func divide(h Hardware, m Model, o Options, heldGiB float64) (Memory, error) {
	tp, pp := float64(o.TensorParallel), float64(o.stages())
	mem := Memory{
		Total:      h.MemoryGiB,
		Free:       max(0, h.MemoryGiB-h.ReservedGiB-heldGiB),
		Budget:     o.Utilization * h.MemoryGiB,
		Weights:    m.WeightsGiB() / tp / pp,
		Activation: activationGiB(m, o.MaxTokens, o.MaxSeqs) / tp,
		Graphs:     graphsGiB(m, o) / pp,
	}
	if mem.Free < mem.Budget {
		err := memoryError("ValueError", "Free memory on device cuda:0 (%s/%s GiB) on startup is less than desired GPU memory utilization (%s, %s GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
			pyGiB(mem.Free), pyGiB(mem.Total), pyFloat(o.Utilization), pyGiB(mem.Budget))
		err.Late = false
		return mem, err
	}
	for _, need := range []struct{ before, piece float64 }{
		{otherGiB, mem.Weights},
		{otherGiB + mem.Weights, mem.Activation},
	} {
		if need.before+need.piece > mem.Free {
			return mem, cudaError(mem, need.piece, mem.Free-need.before, h.ReservedGiB)
		}
	}
	mem.KVCache = mem.Budget - otherGiB - mem.Weights - mem.Activation - mem.Graphs
	if mem.KVCache <= 0 {
		return mem, memoryError("ValueError", "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.")
	}
	perToken := m.kvBytes() / tp / pp / gib
	mem.Blocks = int(mem.KVCache / (perToken * BlockSize))
	mem.KVTokens = mem.Blocks * BlockSize
	mem.Concurrency = float64(mem.KVTokens) / float64(o.MaxLength)
	if blocksFor(o.MaxLength) > mem.Blocks {
		return mem, memoryError("ValueError", "To serve at least one request with the models's max seq len (%d), (%s GiB KV cache is needed, which is larger than the available KV cache memory (%s GiB). Based on the available memory, the estimated maximum model length is %d. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
			o.MaxLength, pyGiB(float64(o.MaxLength)*perToken), pyGiB(mem.KVCache), mem.KVTokens)
	}
	return mem, nil
}

// activationGiB grows with the tokens of a step (the two halves of the MLP and
// the residual stream are alive together) and with its sequences (logits are
// kept in fp32, twice while sampling).
func activationGiB(m Model, tokens, seqs int) float64 {
	perToken := float64(2*m.Intermediate+4*m.Hidden) * 2
	perSeq := float64(m.Vocabulary) * 4 * 2
	return (float64(tokens)*perToken + float64(min(tokens, seqs))*perSeq) / gib
}

// graphSize is the largest batch for which CUDA graphs are captured: twice the
// sequences, in powers of two, at most 512 (32 -> 64, 128 -> 256, 256 -> 512).
func graphSize(o Options) int {
	if o.Eager {
		return 0
	}
	size := 1
	for size < 2*o.MaxSeqs && size < 512 {
		size *= 2
	}
	return size
}

// graphsGiB was 0.50 to 0.64 GiB for 32 layers and graphs up to 512.
func graphsGiB(m Model, o Options) float64 {
	return 0.5 * float64(graphSize(o)) / 512 * float64(m.Layers) / 32
}

// loadPeak is how far a step under load can exceed the activation that the
// profile run saw: real steps mix shapes, and the allocator keeps fragments of
// the shapes before. The excess over what was reserved must fit into the
// headroom, so a high utilisation with a large token budget starts well and
// dies when the first step fills that budget.
const loadPeak = 1.25

// fitsUnderLoad applies the rule of loadPeak to one step.
func (e *Machine) fitsUnderLoad(tokens, seqs int) error {
	reserved, headroom := e.mem.Activation, e.mem.headroom()
	if e.cfg.NoHeadroom {
		reserved, headroom = 0, 0
	}
	need := loadPeak * activationGiB(e.cfg.Model, tokens, seqs) / float64(e.cfg.Options.TensorParallel)
	if need-reserved <= headroom {
		return nil
	}
	return cudaError(e.mem, need, max(0, headroom), e.cfg.Hardware.ReservedGiB)
}

func cudaError(mem Memory, need, free, reserved float64) *StartError {
	return memoryError("torch.OutOfMemoryError", "CUDA out of memory. Tried to allocate %.2f GiB. GPU 0 has a total capacity of %.2f GiB of which %.2f MiB is free. Including non-PyTorch memory, this process has %.2f GiB memory in use.",
		need, mem.Total, free*1024, max(0, mem.Free-free+reserved))
}

func memoryError(class, format string, args ...any) *StartError {
	return &StartError{Type: class, Message: fmt.Sprintf(format, args...), Memory: true, Late: true}
}

// pyGiB and pyFloat print numbers as the real messages do, whose f-strings
// round to two places and never drop the last digit behind the point.
func pyGiB(x float64) string { return pyFloat(math.Round(x*100) / 100) }

func pyFloat(x float64) string {
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func blocksFor(tokens int) int { return (tokens + BlockSize - 1) / BlockSize }
