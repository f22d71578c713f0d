package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Start says how long a start takes, part by part, in virtual time. Fitted to
// an H200 and an 8B model: 27 s eager, 34 s with a warm compile cache, 51 s
// with a cold one; a start that fails takes 25 to 30 s.
type Start struct {
	Imports   time.Duration // API server, until it starts the engine process
	Process   time.Duration // engine process, until it looks at the GPU
	Weights   time.Duration
	Compile   time.Duration
	Silent    time.Duration // between warm-up and profiling; nobody knows why
	Profiling time.Duration
	Graphs    time.Duration
}

// Total is the time from spawn to the first healthy answer.
func (s Start) Total() time.Duration { return s.Imports + s.Process + s.AfterProcess() }

// AfterProcess is what the engine does once it has passed the check of free
// memory, the first thing that can fail.
func (s Start) AfterProcess() time.Duration {
	return s.Weights + s.Compile + s.Silent + s.Profiling + s.Graphs
}

// ClientStart is what `vllm bench serve` spends on imports before it sends.
const ClientStart = 12 * time.Second

// StartTimes computes the parts. warm says that this CompileKey was compiled
// before. Loading dummy weights costs next to nothing; real ones come from
// disk at 2 GiB/s.
func StartTimes(c Config, warm, dummy bool) Start {
	rng := rand.New(rand.NewPCG(c.Seed, 0x7374617274))
	about := func(seconds float64) time.Duration {
		if c.Noise > 0 {
			seconds *= 1 + 0.05*(2*rng.Float64()-1)
		}
		return time.Duration(seconds * float64(time.Second))
	}
	layers := float64(c.Model.Layers) / 32
	s := Start{Imports: about(10), Process: about(15), Weights: about(0.4), Profiling: about(1.2)}
	if !dummy {
		s.Weights = about(c.Model.WeightsGiB() / 2)
	}
	if c.Options.Eager {
		return s
	}
	s.Compile, s.Silent = about(14.5*layers), about(6)
	if warm {
		s.Compile, s.Silent = about(3.1*layers), about(0.5)
	}
	s.Graphs = about(4 * layers * float64(graphSize(c.Options)) / 512)
	return s
}

// CompileKey names the compiled code that a start needs: it depends on the
// token budget and the set of CUDA graphs, not on the memory utilisation, so
// nearly every cell of a grid compiles once. Eager servers have no key ("").
func CompileKey(c Config) string {
	if c.Options.Eager {
		return ""
	}
	key := fmt.Sprintf("%s-l%d-h%d-tp%d-len%d-tokens%d-graphs%d", c.Model.Name, c.Model.Layers, c.Model.Hidden,
		c.Options.TensorParallel, c.Options.MaxLength, c.Options.MaxTokens, graphSize(c.Options))
	if c.Options.PipelineParallel > 1 {
		key += fmt.Sprintf("-pp%d", c.Options.PipelineParallel)
	}
	return key
}
