package sim

// schedule fills the batch of one step under the token budget: running
// requests first, in the order of their admission (so decodes come before the
// chunked prefill of newer ones), then waiting ones while there is room.
func (e *Engine) schedule(s *Step) {
	e.batch = e.batch[:0]
	budget := e.cfg.Options.MaxTokens
	for i := 0; i < len(e.running) && budget > 0; i++ {
		r := e.running[i]
		n := min(r.total()-r.computed, budget)
		if !e.makeRoom(r, n, s) {
			break // r itself was the last one and has been preempted
		}
		if r.out > 0 && n == 1 {
			s.Decodes++
		} else {
			s.Prefill += n
		}
		e.compute(r, n)
		budget -= n
	}
	// After a preemption nobody is admitted: the newcomer would take the
	// blocks that the preempted request waits for.
	if s.Preempted > 0 {
		return
	}
	for len(e.waiting) > 0 && budget > 0 && len(e.running) < e.cfg.Options.MaxSeqs {
		n := e.admit(e.waiting[0], budget)
		if n == 0 {
			break
		}
		s.Prefill += n
		budget -= n
	}
}

// makeRoom preempts by recomputation, newest request first, until r's next n
// tokens have blocks. It returns false if r had to give up its own.
func (e *Engine) makeRoom(r *request, n int, s *Step) bool {
	need := blocksFor(r.computed+n) - len(r.blocks)
	for need > e.pool.free {
		last := e.running[len(e.running)-1]
		e.running = e.running[:len(e.running)-1]
		e.free(last)
		last.again = true
		e.waiting = append([]*request{last}, e.waiting...)
		e.stats.Preemptions++
		s.Preempted++
		if last == r {
			return false
		}
	}
	return true
}

// admit starts the first waiting request if its whole context fits into free
// blocks: admitting one whose first chunk fits would preempt it right again.
// It returns the tokens scheduled, 0 if it has to wait.
func (e *Engine) admit(r *request, budget int) int {
	hits, fromFree := 0, 0
	if e.cfg.Options.PrefixCaching {
		// The last token is always computed: its logits give the next one.
		hits, fromFree = e.pool.lookup(r.Blocks[:min(len(r.Blocks), (r.total()-1)/BlockSize)])
	}
	if blocksFor(r.total())-hits+fromFree > e.pool.free {
		return 0
	}
	for _, hash := range r.Blocks[:hits] {
		i := e.pool.cached[hash]
		e.pool.share(i)
		r.blocks = append(r.blocks, i)
	}
	r.computed, r.hashed = hits*BlockSize, hits
	if e.cfg.Options.PrefixCaching && !r.again {
		e.stats.CacheQueries += r.Prompt
		e.stats.CacheHits += r.computed
	}
	n := min(r.total()-r.computed, budget)
	e.waiting = e.waiting[1:]
	e.running = append(e.running, r)
	e.compute(r, n)
	return n
}

// compute books n tokens of r into this step's batch. Blocks become findable
// now and not at the end of the step, so that two equal prompts admitted
// together share them, as in vLLM.
func (e *Engine) compute(r *request, n int) {
	e.batch = append(e.batch, work{r, n})
	r.computed += n
	for len(r.blocks) < blocksFor(r.computed) {
		r.blocks = append(r.blocks, e.pool.take())
	}
	if !e.cfg.Options.PrefixCaching {
		return
	}
	for full := min(r.computed/BlockSize, len(r.Blocks)); r.hashed < full; r.hashed++ {
		e.pool.remember(r.blocks[r.hashed], r.Blocks[r.hashed])
	}
}
