package sim

import (
	"math"
	"time"
)

// launchMicros is what launching one layer's kernels from Python takes. CUDA
// graphs hide it; without them no step is faster than its launches.
const launchMicros = 250

// eagerShare is the compute lost without compilation's fused kernels
// (20.7 against 22.3 requests/s on an H200).
const eagerShare = 0.95

// cost is the time of the current batch: max(compute, memory traffic, kernel
// launches) + overhead. Small batches are bound by reading the weights, so
// more sequences are almost free up to the knee; large prefills are bound by
// compute, so a larger budget only delays everybody who decodes beside it.
func (e *Engine) cost() (time.Duration, error) {
	m, h, o := e.cfg.Model, e.cfg.Hardware, e.cfg.Options
	tp := float64(o.TensorParallel)
	tokens, sampled, attention, context := 0, 0, 0.0, 0.0
	for _, w := range e.batch {
		tokens += w.n
		if w.r.computed == w.r.total() {
			sampled++
		}
		before := float64(w.r.computed - w.n)
		attention += float64(w.n) * (before + float64(w.n)/2)
		context += float64(w.r.computed)
	}
	if err := e.fitsUnderLoad(tokens, len(e.batch)); err != nil {
		return 0, err
	}
	flops := 2*float64(tokens)*m.blockParameters() + 2*float64(sampled)*m.headParameters() +
		4*float64(m.Layers*m.Heads*m.HeadDim)*attention
	compute := flops / (h.TeraFLOPS * 1e12 * h.ComputeShare * tp)
	if o.Eager {
		compute /= eagerShare
	}
	bytes := (m.blockParameters()+m.headParameters())*float64(m.WeightBytes) + context*m.kvBytes()
	traffic := bytes / (h.GBPerSecond * 1e9 * h.MemoryShare * tp)
	launch := 0.0
	if tokens > graphSize(o) {
		launch = launchMicros * 1e-6 * float64(m.Layers)
	}
	overhead := (h.StepMicros + h.SeqMicros*float64(len(e.batch))) * 1e-6
	if o.TensorParallel > 1 {
		// Two all-reduces a layer; each has a latency and moves the hidden states.
		moved := float64(tokens*m.Hidden*m.WeightBytes) * 2 * (tp - 1) / tp
		overhead += 2 * float64(m.Layers) * (8e-6 + moved/(h.LinkGBPerSec*1e9))
	}
	seconds := (max(compute, traffic, launch) + overhead) * e.pace * e.jitter()
	return time.Duration(seconds * float64(time.Second)), nil
}

// jitter is log-normal, so that no noise makes a step take negative time.
func (e *Engine) jitter() float64 {
	if e.cfg.Noise == 0 {
		return 1
	}
	return math.Exp(e.cfg.Noise * e.rng.NormFloat64())
}
