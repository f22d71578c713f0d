package sim

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// small is a GPU with room for few blocks, so that random loads preempt.
func small(t interface{ Fatal(...any) }, o Options) Config {
	h, err := HardwareNamed("a10-like")
	if err != nil {
		t.Fatal(err)
	}
	m, err := ModelNamed("tiny")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Hardware: h, Model: m, Options: o, Seed: 1, Noise: 0.05}
}

// squeeze makes the engine believe in fewer blocks than its GPU has.
func squeeze(e *Engine, blocks int) { e.pool = newPool(blocks) }

func TestNoRequestIsLostOrAnsweredTwiceAndBlocksNeverExceedCapacity(t *testing.T) {
	preempted := 0
	rapid.Check(t, func(t *rapid.T) {
		o := Options{
			TensorParallel: 1, Utilization: 0.9, MaxLength: 256, MaxSeqs: rapid.IntRange(1, 16).Draw(t, "seqs"),
			PrefixCaching: rapid.Bool().Draw(t, "caching"),
		}
		o.MaxTokens = o.MaxSeqs + rapid.IntRange(0, 300).Draw(t, "budget above seqs")
		e, err := New(small(t, o))
		if err != nil {
			t.Fatal(err)
		}
		squeeze(e, rapid.IntRange(16, 64).Draw(t, "blocks"))
		want := map[uint64]int{}
		var aborted []uint64
		for i := range rapid.IntRange(1, 40).Draw(t, "requests") {
			prompt := rapid.IntRange(1, 200).Draw(t, "prompt")
			ids := make([]int, prompt)
			for k := range ids {
				ids[k] = rapid.IntRange(0, 1).Draw(t, "group") * (k / 48)
			}
			q := Request{ID: uint64(i), Prompt: prompt, MaxTokens: rapid.IntRange(1, 256-prompt).Draw(t, "output"), Blocks: HashTokens(ids)}
			at := time.Duration(rapid.IntRange(0, 200).Draw(t, "at")) * time.Millisecond
			if err := e.Submit(q, at); err != nil {
				t.Fatal(err)
			}
			want[q.ID] = q.MaxTokens
			if rapid.IntRange(0, 9).Draw(t, "abort") == 0 {
				aborted = append(aborted, q.ID)
			}
		}
		got, ended := map[uint64]int{}, map[uint64]bool{}
		for n := 0; ; n++ {
			if n == 5 {
				for _, id := range aborted {
					e.Abort(id)
					if !ended[id] {
						delete(want, id)
						delete(got, id)
					}
				}
			}
			before := e.Now()
			s, err := e.Step()
			if errors.Is(err, ErrIdle) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if s.Start < before || s.End <= s.Start {
				t.Fatalf("time went from %v to a step from %v to %v", before, s.Start, s.End)
			}
			for _, tok := range s.Tokens {
				if ended[tok.ID] {
					t.Fatalf("request %d got a token after its last one", tok.ID)
				}
				got[tok.ID]++
				ended[tok.ID] = tok.Last
			}
			checkPool(t, e)
			if st := e.Stats(); st.Running > o.MaxSeqs || st.KVUsage > 1 {
				t.Fatalf("%d requests run with max-num-seqs %d, KV cache %v full", st.Running, o.MaxSeqs, st.KVUsage)
			}
			sum := 0
			for _, w := range e.batch {
				sum += w.n
			}
			if sum > o.MaxTokens {
				t.Fatalf("a step of %d tokens with a budget of %d", sum, o.MaxTokens)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("tokens by request (-want +got):\n%s", diff)
		}
		if e.pool.free != e.pool.capacity() {
			t.Fatalf("%d of %d blocks are free after the last request", e.pool.free, e.pool.capacity())
		}
		if len(e.byID) != 0 {
			t.Fatalf("%d requests are remembered after the last one", len(e.byID))
		}
		preempted += e.Stats().Preemptions
	})
	if preempted == 0 {
		t.Error("no example preempted: the property says nothing about preemption")
	}
}

// checkPool counts users from the requests' side and compares.
func checkPool(t *rapid.T, e *Engine) {
	users := make([]int32, e.pool.capacity())
	for _, r := range e.running {
		if r.computed > len(r.blocks)*BlockSize {
			t.Fatalf("request %d has computed %d tokens in %d blocks", r.ID, r.computed, len(r.blocks))
		}
		for _, b := range r.blocks {
			users[b]++
		}
	}
	free := 0
	for i, n := range users {
		if e.pool.blocks[i].users != n {
			t.Fatalf("block %d counts %d users, requests say %d", i, e.pool.blocks[i].users, n)
		}
		if n == 0 {
			free++
		}
	}
	listed := 0
	for i := e.pool.blocks[e.pool.capacity()].next; int(i) != e.pool.capacity(); i = e.pool.blocks[i].next {
		listed++
	}
	if free != e.pool.free || listed != free {
		t.Fatalf("%d blocks without users, %d counted free, %d in the list", free, e.pool.free, listed)
	}
}

func TestTheSameSeedGivesTheSameTimesAndAnotherOneDoesNot(t *testing.T) {
	result := func(seed uint64) Result {
		c := small(t, Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 2048, MaxSeqs: 16, MaxTokens: 512, PrefixCaching: true})
		c.Seed = seed
		e, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Bench(e, Load{Rate: 50, N: 60, Input: 300, Output: 20})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if diff := cmp.Diff(result(7), result(7)); diff != "" {
		t.Errorf("same seed (-first +second):\n%s", diff)
	}
	if result(7) == result(8) {
		t.Error("noise does not follow the seed")
	}
}

func TestPreemptedRequestsAreFinishedAndCounted(t *testing.T) {
	e, err := New(small(t, Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 512, MaxSeqs: 8, MaxTokens: 512}))
	if err != nil {
		t.Fatal(err)
	}
	squeeze(e, 32) // one request of 512 tokens, or the beginnings of several
	r, err := Bench(e, Load{Rate: 1e6, N: 8, Input: 100, Output: 300})
	if err != nil {
		t.Fatal(err)
	}
	if r.Completed != 8 || r.Preemptions == 0 {
		t.Errorf("%d of 8 completed with %d preemptions", r.Completed, r.Preemptions)
	}
}

func TestThePrefixCacheServesWhatPromptsShareAndForgetsOnReset(t *testing.T) {
	e, err := New(small(t, Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 2048, MaxSeqs: 4, MaxTokens: 2048, PrefixCaching: true}))
	if err != nil {
		t.Fatal(err)
	}
	l := Load{Rate: 1, N: 20, Prefix: 600, Input: 408, Output: 4} // 63 full blocks
	share := func() float64 {
		r, err := Bench(e, l)
		if err != nil {
			t.Fatal(err)
		}
		return r.HitShare
	}
	// 37 full blocks of the prefix, for all but the first request.
	if got, want := share(), 19.0/20*592/1008; fmt.Sprintf("%.4f", got) != fmt.Sprintf("%.4f", want) {
		t.Errorf("cold cache: %.4f of the tokens hit, want %.4f", got, want)
	}
	if got, want := share(), 62.0/63; fmt.Sprintf("%.4f", got) != fmt.Sprintf("%.4f", want) {
		t.Errorf("the same prompts again: %.4f of the tokens hit, want %.4f: all but the block of the last token", got, want)
	}
	if !e.ResetPrefixCache() {
		t.Fatal("an engine at rest refuses to reset its cache")
	}
	if got := share(); got > 0.6 {
		t.Errorf("after a reset %.4f of the tokens hit", got)
	}
}

func TestTheCacheIsNotResetWhileARequestRuns(t *testing.T) {
	e, err := New(small(t, Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 2048, MaxSeqs: 4, MaxTokens: 64, PrefixCaching: true}))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Submit(Request{ID: 1, Prompt: 100, MaxTokens: 2}, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Step(); err != nil {
		t.Fatal(err)
	}
	if e.ResetPrefixCache() {
		t.Error("the cache was reset under a running request")
	}
}

func TestTheBlockFreedFirstIsOverwrittenFirst(t *testing.T) {
	p := newPool(3)
	var held []int32
	for hash := range uint64(3) {
		i := p.take()
		p.remember(i, hash+1)
		held = append(held, i)
	}
	for _, i := range []int{2, 0, 1} {
		p.release(held[i])
	}
	p.take()
	var left []uint64
	for hash := range p.cached {
		left = append(left, hash)
	}
	slices.Sort(left)
	if diff := cmp.Diff([]uint64{1, 2}, left); diff != "" {
		t.Errorf("cached after one eviction (-want +got):\n%s", diff)
	}
}

func TestRequestsThatTheServerRefusesAreRefused(t *testing.T) {
	e, err := New(small(t, Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 100, MaxSeqs: 4, MaxTokens: 64}))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Submit(Request{ID: 1, Prompt: 10, MaxTokens: 1}, 0); err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]Request{
		"no prompt":           {ID: 2, MaxTokens: 1},
		"no output":           {ID: 2, Prompt: 1},
		"too long together":   {ID: 2, Prompt: 60, MaxTokens: 41},
		"sum wraps":           {ID: 2, Prompt: 60, MaxTokens: 1<<63 - 1},
		"more hashes":         {ID: 2, Prompt: 31, MaxTokens: 1, Blocks: []uint64{1, 2}},
		"an id that is there": {ID: 1, Prompt: 1, MaxTokens: 1},
	} {
		if err := e.Submit(q, 0); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAStartHasAPaceOfItsOwn(t *testing.T) {
	seconds := func(noise, start float64, seed uint64) time.Duration {
		c := small(t, Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 2048, MaxSeqs: 16, MaxTokens: 512})
		c.Noise, c.StartNoise, c.Seed = noise, start, seed
		e, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Bench(e, Load{Rate: 1e6, N: 200, Input: 300, Output: 20})
		if err != nil {
			t.Fatal(err)
		}
		return r.Duration
	}
	if a, b := seconds(0, 0.05, 1), seconds(0, 0.05, 2); a == b || a == seconds(0, 0, 1) {
		t.Errorf("two starts of a steady server take %v and %v", a, b)
	}
	nominal := seconds(0, 0, 1)
	if a := seconds(0.02, -1, 1); a == nominal || (a-nominal).Abs() > nominal/200 {
		t.Errorf("without a pace of its own a start takes %v, want about %v: noise of steps evens out", a, nominal)
	}
	if seconds(0.02, 0, 1) != seconds(0.02, 0.02, 1) {
		t.Error("by default starts deviate as steps do")
	}
}
