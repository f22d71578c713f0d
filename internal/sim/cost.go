package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// launchMicros is what launching one layer's kernels from Python takes. CUDA
// graphs hide it; without them no step is faster than its launches.
const launchMicros = 250

// eagerShare is the compute lost without compilation's fused kernels
// (20.7 against 22.3 requests/s on an H200).
const eagerShare = 0.95

// Machine is what a step's time and memory follow from, whatever the
// bookkeeping of the engine around it.
type Machine struct {
	cfg   Config
	mem   Memory
	rng   *rand.Rand
	pace  float64 // this start's own deviation, on every step
	roomy bool    // no step can run out of memory

	// What a step's cost is made of, since it is asked for millions of times.
	block, head, attend float64 // operations of a token, of one that is sampled, and for each token that one attends to
	compute             float64 // operations per second
	weights, kv         float64 // bytes of a step and of a token of context
	traffic             float64 // bytes per second
	launch              float64 // seconds
	graphs              int     // tokens up to which there is a graph
	latency, moved      float64 // between GPUs: seconds of a step, bytes of a token
	link                float64 // bytes per second
}

// NewMachine fails as New does.
func NewMachine(c Config) (*Machine, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	mem, err := divide(c.Hardware, c.Model, c.Options, c.HeldGiB)
	if err != nil {
		return nil, err
	}
	m := &Machine{cfg: c, mem: mem, rng: rand.New(rand.NewPCG(c.Seed, 0x766c6c6d)), pace: 1}
	m.price()
	m.roomy = m.fitsUnderLoad(c.Options.MaxTokens, c.Options.MaxSeqs) == nil
	if c.StartNoise == 0 {
		c.StartNoise = c.Noise
	}
	if c.StartNoise > 0 {
		m.pace = m.jitter(c.StartNoise)
	}
	return m, nil
}

// Batch is what of one step its cost depends on.
type Batch struct {
	Seqs, Tokens, Sampled int
	Attention             float64 // tokens x the mean context that each attends to
	Context               float64 // tokens of KV cache read
}

// Add counts n tokens of a sequence that had computed so many before.
func (b *Batch) Add(n, before int, samples bool) {
	b.Seqs++
	b.Tokens += n
	if samples {
		b.Sampled++
	}
	b.Attention += float64(n) * (float64(before) + float64(n)/2)
	b.Context += float64(before + n)
}

// Memory says how the GPU was divided.
func (c *Machine) Memory() Memory { return c.mem }

// Cost is the time of a batch: max(compute, memory traffic, kernel
// launches) + overhead. Small batches are bound by reading the weights, so
// more sequences are almost free up to the knee; large prefills are bound by
// compute, so a larger budget only delays everybody who decodes beside it.
func (c *Machine) Cost(b Batch) (time.Duration, error) {
	if !c.roomy {
		if err := c.fitsUnderLoad(b.Tokens, b.Seqs); err != nil {
			return 0, err
		}
	}
	tokens := float64(b.Tokens)
	compute := (tokens*c.block + float64(b.Sampled)*c.head + c.attend*b.Attention) / c.compute
	if c.cfg.Options.Eager {
		compute /= eagerShare
	}
	traffic := (c.weights + b.Context*c.kv) / c.traffic
	launch := 0.0
	if b.Tokens > c.graphs {
		launch = c.launch
	}
	overhead := (c.cfg.Hardware.StepMicros + c.cfg.Hardware.SeqMicros*float64(b.Seqs)) * 1e-6
	if c.latency > 0 {
		overhead += c.latency + tokens*c.moved/c.link
	}
	seconds := (max(compute, traffic, launch) + overhead) * c.pace * c.jitter(c.cfg.Noise)
	return time.Duration(seconds * float64(time.Second)), nil
}

// price works out what Cost multiplies.
func (c *Machine) price() {
	m, h, o := c.cfg.Model, c.cfg.Hardware, c.cfg.Options
	tp := float64(o.TensorParallel)
	c.block, c.head, c.attend = 2*m.blockParameters(), 2*m.headParameters(), 4*float64(m.Layers*m.Heads*m.HeadDim)
	c.compute = h.TeraFLOPS * 1e12 * h.ComputeShare * tp
	c.weights, c.kv = (m.blockParameters()+m.headParameters())*float64(m.WeightBytes), m.kvBytes()
	c.traffic = h.GBPerSecond * 1e9 * h.MemoryShare * tp
	c.launch, c.graphs = launchMicros*1e-6*float64(m.Layers), graphSize(o)
	c.link = h.LinkGBPerSec * 1e9
	hidden := float64(m.Hidden * m.WeightBytes)
	// Two all-reduces a layer; each has a latency and moves the hidden states.
	if o.TensorParallel > 1 {
		all := 2 * float64(m.Layers)
		c.latency, c.moved = all*8e-6, all*hidden*2*(tp-1)/tp
	}
	// Between two stages the hidden states go once, over the same kind of link: what a network adds is not simulated.
	hops := float64(o.stages() - 1)
	c.latency, c.moved = c.latency+hops*20e-6, c.moved+hops*hidden
}

// jitter is log-normal, so that no noise makes a step take negative time.
func (c *Machine) jitter(noise float64) float64 {
	if noise == 0 {
		return 1
	}
	return math.Exp(noise * c.rng.NormFloat64())
}
