package sim

import (
	"fmt"
	"slices"
	"strings"
)

// Hardware is one GPU of a kind, as far as a step's time and memory need it.
// Peak numbers are the vendor's; the efficiencies are what a serving engine
// reaches of them. Those of h200-like were fitted to measurements of an 8B
// model (1800 tokens in, 20 out: 200 ms for a step of 8192 tokens, 15 ms for
// one of 512; 5.5 ms for a decode step of 32 sequences); the others share
// its efficiencies, since nobody measured them.
type Hardware struct {
	Name         string
	MemoryGiB    float64 // what the driver reports as total
	ReservedGiB  float64 // never free, even on an idle GPU
	TeraFLOPS    float64 // dense bf16 peak
	ComputeShare float64 // share of that peak a large step reaches
	GBPerSecond  float64 // memory bandwidth peak
	MemoryShare  float64 // share of that peak a decode step reaches
	LinkGBPerSec float64 // between GPUs of one tensor-parallel group
	StepMicros   float64 // scheduling, sampling and launch that no batch hides
	SeqMicros    float64 // the same, for every sequence of the step
	BigServer    bool    // gets the larger defaults that vLLM gives to large GPUs
}

var hardware = [...]Hardware{
	{
		Name: "h200-like", MemoryGiB: 139.80, ReservedGiB: 0.51,
		TeraFLOPS: 989, ComputeShare: 0.60, GBPerSecond: 4800, MemoryShare: 0.75,
		LinkGBPerSec: 450, StepMicros: 1400, SeqMicros: 10, BigServer: true,
	},
	{
		Name: "h100-like", MemoryGiB: 79.11, ReservedGiB: 0.51,
		TeraFLOPS: 989, ComputeShare: 0.60, GBPerSecond: 3350, MemoryShare: 0.75,
		LinkGBPerSec: 450, StepMicros: 1400, SeqMicros: 10, BigServer: true,
	},
	{
		Name: "a10-like", MemoryGiB: 22.06, ReservedGiB: 0.36,
		TeraFLOPS: 125, ComputeShare: 0.60, GBPerSecond: 600, MemoryShare: 0.75,
		LinkGBPerSec: 24, StepMicros: 1800, SeqMicros: 12,
	},
}

// HardwareNamed finds a row of the table. The error lists the names there are.
func HardwareNamed(name string) (Hardware, error) {
	for _, h := range hardware {
		if h.Name == name {
			return h, nil
		}
	}
	return Hardware{}, fmt.Errorf("no simulated hardware is called %q: there is %s", name, strings.Join(HardwareNames(), ", "))
}

// HardwareNames lists the table in its order.
func HardwareNames() []string {
	var names []string
	for _, h := range hardware {
		names = append(names, h.Name)
	}
	return slices.Clip(names)
}
