// Package uniform is a sim.Engine for requests that are all alike, a hundred
// times faster: the tuner's benchmark needs runs of 30,000 requests. It is as
// pure as sim.
package uniform

import (
	"fmt"
	"math"
	"slices"
	"time"

	"vtune/internal/sim"
)

// Shape of every request: Prompt tokens, of
// which all share the first Prefix, and Output tokens of answer.
type Shape struct{ Prompt, Prefix, Output int }

// Engine serves requests of one shape. Its times are those of a sim.Engine
// to the nanosecond, at a cost per step and per request instead of per
// token: whoever decodes gets one token a step, so all that is kept of those
// requests is their sums and in which step each one ends; and since nothing
// but the prefix can be found in the cache, blocks are numbers.
type Engine struct {
	*sim.Machine
	options    sim.Options
	shape      Shape
	now        time.Duration
	requests   []request // by id
	arrived    int       // ids below have arrived
	admitted   int       // ids below have been admitted before
	again      []int     // preempted, the next to be admitted last
	running    []int     // by admission; all but the last decode, and it may
	chunked    bool      // the last one does not
	ticks      int       // steps so far: each gave a token to all who decode
	admissions int

	decoding int     // how many
	contexts int     // sum of request.offset over them
	ends     [][]int // who ends in which step, modulo; may hold ids preempted since
	phases   [sim.BlockSize]int
	step     Progress
	pieces   []int // whose prompt is computed to its end in this step

	capacity, free int // blocks
	prefix         int // blocks of the shared prefix that the cache can hold
	cached         int // and those it holds: never fewer again, since whoever is admitted takes them first
}

// request is one. While it decodes, its numbers are offsets to the
// engine's ticks.
type request struct {
	at        time.Duration
	out       int // tokens produced; while decoding, minus ticks
	offset    int // tokens computed; while decoding, minus ticks
	blocks    int // not kept while decoding: it follows from the tokens
	admission int
	decoding  bool
}

// Progress of a step: which requests got their first and their last token.
type Progress struct {
	End         time.Duration
	First, Last []int // valid until the next call of Step
}

// New starts an engine, as sim.New does.
func New(c sim.Config, s Shape) (*Engine, error) {
	if s.Prompt < 1 || s.Output < 1 || s.Prefix < 0 || s.Prefix >= s.Prompt || s.Prompt+s.Output > c.Options.MaxLength {
		return nil, fmt.Errorf("requests of %+v: a prompt is longer than its prefix and with its answer no longer than %d", s, c.Options.MaxLength)
	}
	m, err := sim.NewMachine(c)
	if err != nil {
		return nil, err
	}
	blocks := m.Memory().Blocks
	e := &Engine{Machine: m, options: c.Options, shape: s, ends: make([][]int, s.Output+1), capacity: blocks, free: blocks}
	if c.Options.PrefixCaching {
		e.prefix = s.Prefix / sim.BlockSize
	}
	return e, nil
}

// Now is the virtual time at which the last step ended.
func (e *Engine) Now() time.Duration { return e.now }

// Submit queues a request under the next id, counted from 0 since the last
// Clear. It must not arrive before those queued already.
func (e *Engine) Submit(at time.Duration) {
	e.requests = append(e.requests, request{at: max(at, e.now)})
}

// Clear aborts all requests, forgets the prefix cache and counts ids from 0.
func (e *Engine) Clear() {
	e.requests, e.again, e.running = e.requests[:0], e.again[:0], e.running[:0]
	e.arrived, e.admitted, e.decoding, e.contexts, e.chunked = 0, 0, 0, 0, false
	for i := range e.ends {
		e.ends[i] = e.ends[i][:0]
	}
	e.phases = [sim.BlockSize]int{}
	e.free, e.cached = e.capacity, 0
}

// Step runs forward passes until one gives a first or a last token or ends at
// a time given or later. Errors are those of sim.Engine.Step.
func (e *Engine) Step(until time.Duration) (*Progress, error) {
	e.step.First, e.step.Last = e.step.First[:0], e.step.Last[:0]
	for {
		coasted, err := e.coast(until)
		if err == nil && !(coasted && e.now >= until) {
			err = e.pass()
		}
		if err != nil {
			return nil, err
		}
		if len(e.step.First)+len(e.step.Last) > 0 || e.now >= until {
			e.step.End = e.now
			return &e.step, nil
		}
	}
}

// coast runs passes in which clearly nobody begins or ends, nor lacks a block,
// up to a time. It reports whether there was one.
func (e *Engine) coast(until time.Duration) (coasted bool, err error) {
	full := len(e.running) == e.options.MaxSeqs
	if e.decoding == 0 || e.chunked || len(e.again) > 0 || e.admitted < e.arrived && !full {
		return false, nil
	}
	arrival := time.Duration(math.MaxInt64)
	if !full && e.arrived < len(e.requests) {
		arrival = e.requests[e.arrived].at
	}
	b := sim.Batch{Seqs: e.decoding, Tokens: e.decoding, Sampled: e.decoding}
	before, half := e.contexts+e.decoding*e.ticks, float64(e.decoding)/2
	next := (e.ticks + 1) % len(e.ends)
	for len(e.ends[next]) == 0 && e.now < arrival && (!coasted || e.now < until) {
		need := e.phases[(sim.BlockSize-e.ticks%sim.BlockSize)%sim.BlockSize]
		if need > e.free {
			break
		}
		b.Attention, b.Context = float64(before)+half, float64(before+e.decoding)
		cost, err := e.Cost(b)
		if err != nil {
			return coasted, err
		}
		coasted = true
		e.ticks++
		e.free -= need
		e.now += cost
		before += e.decoding
		if next++; next == len(e.ends) {
			next = 0
		}
	}
	return coasted, nil
}

func (e *Engine) pass() error {
	if len(e.running) == 0 && len(e.again) == 0 && e.admitted == e.arrived && e.arrived < len(e.requests) {
		e.now = max(e.now, e.requests[e.arrived].at)
	}
	for e.arrived < len(e.requests) && e.requests[e.arrived].at <= e.now {
		e.arrived++
	}
	if len(e.running) == 0 && len(e.again) == 0 && e.admitted == e.arrived {
		return sim.ErrIdle
	}
	cost, err := e.Cost(e.schedule())
	if err != nil {
		return err
	}
	e.now += cost
	e.emit()
	return nil
}

// schedule fills the batch as sim.Engine does.
func (e *Engine) schedule() sim.Batch {
	e.ticks++
	e.pieces = e.pieces[:0]
	preempted := e.makeRoom()
	// Who decodes attends to what it has computed, and half of the new token.
	before := e.contexts + e.decoding*(e.ticks-1)
	b := sim.Batch{
		Seqs: e.decoding, Tokens: e.decoding, Sampled: e.decoding,
		Attention: float64(before) + float64(e.decoding)/2, Context: float64(before + e.decoding),
	}
	budget := e.options.MaxTokens - e.decoding
	if e.chunked && budget > 0 {
		r := &e.requests[e.running[len(e.running)-1]]
		n := min(e.shape.Prompt+r.out-r.offset, budget)
		if e.roomForChunk(r, n) {
			e.chunked = false
			e.compute(e.running[len(e.running)-1], n, &b)
			budget -= n
		} else {
			preempted = true
		}
	}
	for !preempted && budget > 0 && len(e.running) < e.options.MaxSeqs {
		n := e.admit(budget, &b)
		if n == 0 {
			break
		}
		budget -= n
	}
	return b
}

// makeRoom takes a block for all whose last one is full, and preempts the
// newest ones until they have them.
func (e *Engine) makeRoom() (preempted bool) {
	phase := (e.ticks - 1) % sim.BlockSize
	need := e.phases[(sim.BlockSize-phase)%sim.BlockSize]
	if need <= e.free {
		e.free -= need
		return false
	}
	// As many as are preempted are never asked: order decides.
	for i := 0; i < len(e.running); i++ {
		r := &e.requests[e.running[i]]
		if !r.decoding || (r.offset+e.ticks-1)%sim.BlockSize != 0 {
			continue
		}
		for e.free == 0 && i < len(e.running) {
			e.preempt(e.ticks - 1)
			preempted = true
		}
		if i < len(e.running) {
			e.free -= 1
		}
	}
	return preempted
}

// roomForChunk is makeRoom for the next tokens of a prompt, whose request is
// the newest and so preempts nobody but itself.
func (e *Engine) roomForChunk(r *request, n int) bool {
	if blocksFor(r.offset+n)-r.blocks <= e.free {
		return true
	}
	e.preempt(e.ticks - 1)
	return false
}

// preempt takes the newest request off, with the ticks that those who decode
// have computed.
func (e *Engine) preempt(ticks int) {
	id := e.running[len(e.running)-1]
	e.running = e.running[:len(e.running)-1]
	r := &e.requests[id]
	if r.decoding {
		e.leave(r)
		r.out += ticks
		r.blocks = blocksFor(r.offset + ticks)
	}
	e.chunked = false
	e.release(r.blocks, len(e.running) == 0)
	e.again = append(e.again, id)
}

// admit starts the first waiting request if all of it fits, and returns the
// tokens scheduled.
func (e *Engine) admit(budget int, b *sim.Batch) int {
	fresh := len(e.again) == 0
	id := e.admitted
	if !fresh {
		id = e.again[len(e.again)-1]
	} else if e.admitted == e.arrived {
		return 0
	}
	r := &e.requests[id]
	fromFree := 0
	if len(e.running) == 0 {
		fromFree = e.cached
	}
	total := e.shape.Prompt + r.out
	if blocksFor(total)-e.cached+fromFree > e.free {
		return 0
	}
	e.free -= fromFree
	r.offset, r.blocks = e.cached*sim.BlockSize, e.cached
	e.admissions++
	r.admission = e.admissions
	if fresh {
		e.admitted++
	} else {
		e.again = e.again[:len(e.again)-1]
	}
	e.running = append(e.running, id)
	n := min(total-r.offset, budget)
	e.compute(id, n, b)
	return n
}

// compute books n tokens of a prompt that is not computed to its end yet.
func (e *Engine) compute(id, n int, b *sim.Batch) {
	r := &e.requests[id]
	b.Add(n, r.offset, r.offset+n == e.shape.Prompt+r.out)
	r.offset += n
	e.free -= blocksFor(r.offset) - r.blocks
	r.blocks = blocksFor(r.offset)
	e.cached = max(e.cached, min(r.offset/sim.BlockSize, e.prefix))
	if r.offset == e.shape.Prompt+r.out {
		e.pieces = append(e.pieces, id)
	} else {
		e.chunked = true
	}
}

// emit gives a token to all who decode and to those whose prompt is complete.
func (e *Engine) emit() {
	ends := e.ends[e.ticks%len(e.ends)]
	for _, id := range ends {
		if r := &e.requests[id]; r.decoding && r.out+e.ticks == e.shape.Output {
			e.step.Last = append(e.step.Last, id)
		}
	}
	e.ends[e.ticks%len(e.ends)] = ends[:0]
	for _, id := range e.pieces {
		r := &e.requests[id]
		if r.out++; r.out == 1 {
			e.step.First = append(e.step.First, id)
		}
		if r.out == e.shape.Output {
			e.step.Last = append(e.step.Last, id)
			continue
		}
		left := e.shape.Output - r.out
		e.ends[(e.ticks+left)%len(e.ends)] = append(e.ends[(e.ticks+left)%len(e.ends)], id)
		r.decoding = true
		r.out -= e.ticks
		r.offset -= e.ticks
		e.decoding++
		e.contexts += r.offset
		e.phases[residue(r.offset)]++
	}
	if len(e.step.Last) > 0 {
		e.finish()
	}
}

// finish takes those off that got their last token, in the order of their
// admission.
func (e *Engine) finish() {
	last := e.step.Last
	slices.SortFunc(last, func(a, b int) int { return e.requests[a].admission - e.requests[b].admission })
	kept, done := e.running[:0], 0
	for _, id := range e.running {
		if done == len(last) || id != last[done] {
			kept = append(kept, id)
			continue
		}
		done++
	}
	holders := len(e.running)
	e.running = kept
	for _, id := range last {
		r := &e.requests[id]
		if r.decoding {
			e.leave(r)
			r.blocks = blocksFor(r.offset + e.ticks)
		}
		holders--
		e.release(r.blocks, holders == 0)
	}
}

// leave takes a request out of the sums over those who decode.
func (e *Engine) leave(r *request) {
	r.decoding = false
	e.decoding--
	e.contexts -= r.offset
	e.phases[residue(r.offset)]--
}

// release gives a request's blocks back. Those of the prefix stay in use as
// long as anybody runs: whoever is admitted beside others has found all of it.
func (e *Engine) release(blocks int, alone bool) {
	e.free += blocks
	if !alone {
		e.free -= e.prefix
	}
}

// residue of a number that may be negative.
func residue(n int) int { return (n%sim.BlockSize + sim.BlockSize) % sim.BlockSize }

func blocksFor(tokens int) int { return (tokens + sim.BlockSize - 1) / sim.BlockSize }
