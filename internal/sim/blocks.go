package sim

// pool hands out blocks of KV cache. A freed block keeps its content, so the
// free list is also the prefix cache's eviction order: the block that was
// freed first is overwritten first. The list lives in the blocks themselves,
// since a block found by its hash must leave the middle of the list in O(1).
type pool struct {
	blocks []block // the last one is the sentinel of the free list
	free   int
	cached map[uint64]int32 // hash -> block, in use or free
}

type block struct {
	hash       uint64 // 0: content unknown to the cache
	users      int32
	prev, next int32 // in the free list; meaningless while users > 0
}

func newPool(n int) *pool {
	p := &pool{blocks: make([]block, n+1), free: n, cached: map[uint64]int32{}}
	for i := range p.blocks {
		p.blocks[i].prev = int32((i + n) % (n + 1))
		p.blocks[i].next = int32((i + 1) % (n + 1))
	}
	return p
}

func (p *pool) capacity() int { return len(p.blocks) - 1 }

func (p *pool) unlink(i int32) {
	b := &p.blocks[i]
	p.blocks[b.prev].next = b.next
	p.blocks[b.next].prev = b.prev
	p.free--
}

// take returns the block that was free for the longest time. The caller has
// checked that one is free.
func (p *pool) take() int32 {
	i := p.blocks[p.capacity()].next
	p.unlink(i)
	b := &p.blocks[i]
	if b.hash != 0 {
		delete(p.cached, b.hash)
		b.hash = 0
	}
	b.users = 1
	return i
}

// share adds a user to a block found by lookup.
func (p *pool) share(i int32) {
	if p.blocks[i].users == 0 {
		p.unlink(i)
	}
	p.blocks[i].users++
}

func (p *pool) release(i int32) {
	b := &p.blocks[i]
	b.users--
	if b.users > 0 {
		return
	}
	sentinel := int32(p.capacity())
	tail := p.blocks[sentinel].prev
	b.prev, b.next = tail, sentinel
	p.blocks[tail].next = i
	p.blocks[sentinel].prev = i
	p.free++
}

// remember makes a filled block findable. The first block with some content
// stays the one that is found; a duplicate is only a block.
func (p *pool) remember(i int32, hash uint64) {
	if _, known := p.cached[hash]; known || hash == 0 {
		return
	}
	p.blocks[i].hash = hash
	p.cached[hash] = i
}

// lookup finds how many leading hashes are cached, and how many of those
// blocks are free, that is, would be taken out of the free list.
func (p *pool) lookup(hashes []uint64) (hits, fromFree int) {
	for _, h := range hashes {
		i, ok := p.cached[h]
		if !ok {
			break
		}
		if p.blocks[i].users == 0 {
			fromFree++
		}
		hits++
	}
	return hits, fromFree
}

// reset forgets all content. It refuses while a block is in use, as vLLM does.
func (p *pool) reset() bool {
	if p.free < p.capacity() {
		return false
	}
	for _, i := range p.cached {
		p.blocks[i].hash = 0
	}
	clear(p.cached)
	return true
}
