package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Config is everything that decides what an engine does.
type Config struct {
	Hardware   Hardware
	Model      Model
	Options    Options
	Seed       uint64
	Noise      float64 // relative standard deviation of a step's time; 0 for none
	StartNoise float64 // the same of a start's own pace, on all its steps; 0: as Noise, below 0: none
	HeldGiB    float64 // memory that other processes hold on the fullest GPU
	NoHeadroom bool    // fault injection: the first step runs out of memory
}

// Request is one completion. Blocks holds a hash for each full block of the
// prompt, chained so that equal hashes mean equal prefixes (see HashTokens);
// nil means that nothing of it can be shared.
type Request struct {
	ID        uint64
	Prompt    int // tokens, at least 1
	MaxTokens int // output tokens, at least 1; always produced in full
	Blocks    []uint64
}

// Token is one output token of one request.
type Token struct {
	ID   uint64
	Last bool
}

// Step is one forward pass. Tokens come out at End.
type Step struct {
	Start, End time.Duration
	Tokens     []Token // valid until the next call of Step
	Prefill    int     // prompt tokens computed
	Decodes    int     // sequences that were already decoding
	Preempted  int
}

// Stats are gauges and counters under the meanings of vLLM's /metrics.
type Stats struct {
	Running, Waiting int
	KVUsage          float64 // share of blocks in use, 0 to 1
	CacheQueries     int     // prompt tokens looked up in the prefix cache
	CacheHits        int     // prompt tokens found there
	Preemptions      int
	Steps            int
}

// ErrIdle is returned by Step when no request is left.
var ErrIdle = errors.New("no request to work on")

// Engine is one running engine. It is not safe for concurrent use.
type Engine struct {
	*Machine
	pool    *pool
	now     time.Duration
	pending []*request // not yet arrived, by arrival
	waiting []*request // arrived or preempted, first come first served
	running []*request // by admission: the last one is preempted first
	byID    map[uint64]*request
	nextID  uint64 // above every id seen, for Bench
	stats   Stats
	batch   []work // of the current step
	tokens  []Token
}

type request struct {
	Request
	at       time.Duration
	out      int // tokens produced
	computed int // tokens whose KV is in blocks
	blocks   []int32
	hashed   int // leading blocks that the prefix cache knows
	again    bool
}

func (r *request) total() int { return r.Prompt + r.out }

type work struct {
	r *request
	n int
}

// New starts an engine. The error is a *StartError if the configuration does
// not fit the GPU, or if vLLM refuses the options themselves.
func New(c Config) (*Engine, error) {
	m, err := NewMachine(c)
	if err != nil {
		return nil, err
	}
	return &Engine{Machine: m, pool: newPool(m.mem.Blocks), byID: map[uint64]*request{}}, nil
}

// Check refuses options that vLLM refuses before it looks at any GPU.
func Check(c Config) error {
	o := c.Options
	refuse := func(format string, args ...any) error {
		return &StartError{Type: "ValueError", Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case o.MaxSeqs < 1:
		return refuse("max_num_seqs must be at least 1, got %d.", o.MaxSeqs)
	case o.MaxTokens < 1:
		return refuse("max_num_batched_tokens must be at least 1, got %d.", o.MaxTokens)
	case o.MaxTokens < o.MaxSeqs:
		return refuse("max_num_batched_tokens (%d) must be greater than or equal to max_num_seqs (%d).", o.MaxTokens, o.MaxSeqs)
	case !(o.Utilization > 0 && o.Utilization <= 1): // also refuses NaN
		return refuse("GPU memory utilization must be greater than 0 and at most 1.0. Got %s.", pyFloat(o.Utilization))
	case o.MaxLength < 1:
		return refuse("max_model_len must be at least 1, got %d.", o.MaxLength)
	case o.MaxLength > c.Model.MaxLength:
		return refuse("User-specified max_model_len (%d) is greater than the derived max_model_len (max_position_embeddings=%d in model's config.json).", o.MaxLength, c.Model.MaxLength)
	case o.TensorParallel < 1:
		return refuse("tensor_parallel_size must be at least 1, got %d.", o.TensorParallel)
	case o.PipelineParallel < 0 || o.PipelineParallel > c.Model.Layers:
		return refuse("pipeline_parallel_size must be from 1 to the number of layers (%d), got %d.", c.Model.Layers, o.PipelineParallel)
	case c.Model.Heads%o.TensorParallel != 0:
		return refuse("Total number of attention heads (%d) must be divisible by tensor parallel size (%d).", c.Model.Heads, o.TensorParallel)
	}
	return nil
}

// Now is the virtual time at which the last step ended.
func (e *Engine) Now() time.Duration { return e.now }

// Stats returns the gauges and counters as of the last step.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Running, s.Waiting = len(e.running), len(e.waiting)
	s.KVUsage = 1 - float64(e.pool.free)/float64(e.pool.capacity())
	return s
}

// Submit queues a request that arrives at a virtual time; one in the past
// arrives now. It refuses what the server answers with 400.
func (e *Engine) Submit(q Request, at time.Duration) error {
	switch {
	case q.Prompt < 1 || q.MaxTokens < 1:
		return fmt.Errorf("request %d: a prompt of %d tokens and %d output tokens: both must be at least 1", q.ID, q.Prompt, q.MaxTokens)
	// Compared by subtraction, since the sum of two hostile numbers can wrap.
	case q.Prompt > e.cfg.Options.MaxLength || q.MaxTokens > e.cfg.Options.MaxLength-q.Prompt:
		return fmt.Errorf("request %d: %d prompt and %d output tokens exceed the model's maximum of %d", q.ID, q.Prompt, q.MaxTokens, e.cfg.Options.MaxLength)
	case len(q.Blocks) > q.Prompt/BlockSize:
		return fmt.Errorf("request %d: %d block hashes for %d tokens", q.ID, len(q.Blocks), q.Prompt)
	case e.byID[q.ID] != nil:
		return fmt.Errorf("request %d is already there", q.ID)
	}
	r := &request{Request: q, at: max(at, e.now)}
	e.byID[q.ID] = r
	e.nextID = max(e.nextID, q.ID+1)
	i := len(e.pending)
	for i > 0 && e.pending[i-1].at > r.at {
		i--
	}
	e.pending = slices.Insert(e.pending, i, r)
	return nil
}

// Abort forgets a request whose client has gone; an unknown id is no error,
// since the request may have ended in the meantime.
func (e *Engine) Abort(id uint64) {
	r := e.byID[id]
	if r == nil {
		return
	}
	same := func(x *request) bool { return x == r }
	e.pending = slices.DeleteFunc(e.pending, same)
	e.waiting = slices.DeleteFunc(e.waiting, same)
	e.running = slices.DeleteFunc(e.running, same)
	e.free(r)
	delete(e.byID, id)
}

// ResetPrefixCache forgets all cached prefixes. It does nothing and returns
// false while a request holds blocks.
func (e *Engine) ResetPrefixCache() bool { return e.pool.reset() }

// Step runs one forward pass and moves time to its end; an engine without work
// first moves on to the next arrival. It returns ErrIdle when there is none,
// and a *StartError that says how memory ran out, after which the engine is
// dead and must be dropped.
func (e *Engine) Step() (Step, error) {
	if len(e.running) == 0 && len(e.waiting) == 0 && len(e.pending) > 0 {
		e.now = max(e.now, e.pending[0].at)
	}
	e.arrive()
	if len(e.running) == 0 && len(e.waiting) == 0 {
		return Step{}, ErrIdle
	}
	s := Step{Start: e.now}
	e.schedule(&s)
	var b Batch
	for _, w := range e.batch {
		b.Add(w.n, w.r.computed-w.n, w.r.computed == w.r.total())
	}
	cost, err := e.Cost(b)
	if err != nil {
		return Step{}, err
	}
	e.now += cost
	s.End = e.now
	e.emit()
	s.Tokens = e.tokens
	e.stats.Steps++
	return s, nil
}

func (e *Engine) arrive() {
	n := 0
	for n < len(e.pending) && e.pending[n].at <= e.now {
		n++
	}
	e.waiting = append(e.waiting, e.pending[:n]...)
	e.pending = e.pending[n:]
}

// emit gives one token to every request whose whole context is computed.
func (e *Engine) emit() {
	e.tokens = e.tokens[:0]
	ended := false
	for _, w := range e.batch {
		if w.r.computed < w.r.total() {
			continue
		}
		w.r.out++
		last := w.r.out == w.r.MaxTokens
		e.tokens = append(e.tokens, Token{ID: w.r.ID, Last: last})
		if last {
			ended = true
			e.free(w.r)
			delete(e.byID, w.r.ID)
		}
	}
	if ended {
		e.running = slices.DeleteFunc(e.running, func(r *request) bool { return r.out == r.MaxTokens })
	}
}

// free gives the blocks back, last one first: the tail of a prompt is the
// least likely to be shared, so it shall be overwritten first.
func (e *Engine) free(r *request) {
	for _, b := range slices.Backward(r.blocks) {
		e.pool.release(b)
	}
	r.blocks, r.computed, r.hashed = r.blocks[:0], 0, 0
}
