// Package scenario makes up machines to tune: hardware, model, workload, limit and grid, all drawn from one seed, so that a
// table can be made again and a single row of it looked at alone.
package scenario

import (
	"vtune/internal/record"
	"vtune/internal/sim"
	"vtune/internal/sim/uniform"
)

// Scenario is one tuning to do. Its answer follows from it (see world.Find), but no method is told more than a spec would say.
type Scenario struct {
	ID         string          `json:"id"`
	Seed       uint64          `json:"seed"` // of everything that happens in it
	Hardware   string          `json:"hardware"`
	Model      string          `json:"model"`
	TP         int             `json:"tensor_parallel_size"` // GPUs of a server
	Workload   record.Workload `json:"workload"`
	MaxLength  int             `json:"max_model_len"`
	Kind       Kind            `json:"kind"`
	LimitMS    float64         `json:"p99_e2el_ms,omitempty"` // 0: none
	UnloadedMS float64         `json:"unloaded_ms"`           // E2EL of a request alone but for its prefix, on the largest cell
	Saturated  float64         `json:"saturated"`             // requests/s at rate inf, on the largest cell
	HeldGiB    float64         `json:"held_gib,omitempty"`
	Noise      float64         `json:"noise"`
	StartNoise float64         `json:"start_noise"`
	Cells      []record.Cell   `json:"cells"` // grid order: seqs outer, both ascending

	hardware sim.Hardware
	model    sim.Model
}

// Kind of limit.
type Kind string

const (
	Strict     Kind = "strict"     // within three times the unloaded latency
	Moderate   Kind = "moderate"   // up to twelve times
	Lenient    Kind = "lenient"    // so that saturation itself decides, or the script's burst of 1000 meets it
	Infeasible Kind = "infeasible" // below the unloaded latency
	NoLimit    Kind = "none"
)

// Config of the scenario's server for a cell. Nominal servers have no deviation of their own: the truth is about them.
func (s Scenario) Config(c record.Cell, utilization float64, seed uint64) sim.Config {
	// Zero would mean to sim that a start deviates as much as a step.
	start := s.StartNoise
	if start == 0 {
		start = -1
	}
	return sim.Config{
		Hardware: s.hardware, Model: s.model, Seed: seed, Noise: s.Noise, StartNoise: start, HeldGiB: s.HeldGiB,
		Options: sim.Options{
			TensorParallel: s.TP, MaxSeqs: c.MaxNumSeqs, MaxTokens: c.MaxNumBatchedTokens, Utilization: utilization,
			MaxLength: s.MaxLength, PrefixCaching: true,
		},
	}
}

// Shape of every request.
func (s Scenario) Shape() uniform.Shape {
	return uniform.Shape{Prompt: s.Workload.InputLen, Prefix: s.Workload.PrefixLen(), Output: s.Workload.OutputLen}
}

// Largest cell: the greatest value of each axis, where the probe starts.
func (s Scenario) Largest() record.Cell { return s.Cells[len(s.Cells)-1] }

// Limits are the policy's.
func (s Scenario) Limits() []record.Limit {
	if s.LimitMS == 0 {
		return nil
	}
	return []record.Limit{{Metric: record.E2EL, Percentile: 99, MS: s.LimitMS}}
}

// Hash mixes a seed with words and numbers, so that what happens in one run hangs on its name and not on what ran before it.
func Hash(seed uint64, words ...string) uint64 {
	h := seed ^ 0xcbf29ce484222325
	for _, w := range words {
		for _, b := range []byte(w) {
			h = (h ^ uint64(b)) * 0x100000001b3
		}
		h = (h ^ 0xff) * 0x100000001b3
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
