package load

import "math/rand/v2"

// Prompt returns the token ids of request i. All prompts of a seed begin with
// the same PrefixLen tokens and share nothing behind them: the own part begins
// with the request's number, written in as many ids as the run needs. Text
// prompts cannot promise that, since a server tokenises them its own way.
func Prompt(w Workload, i int) []int {
	low, high := idRange(w.Vocab)
	ids := make([]int, w.PrefixLen+w.InputLen)
	draw := func(part []int, stream uint64) {
		rng := rand.New(rand.NewPCG(w.Seed, stream))
		for k := range part {
			part[k] = low + rng.IntN(high-low)
		}
	}
	draw(ids[:w.PrefixLen], 0)
	own := ids[w.PrefixLen:]
	draw(own, uint64(i)+1)
	base := high - low
	n := i
	for k := 0; k < len(own) && w.Requests > pow(base, k); k++ {
		own[k] = low + n%base
		n /= base
	}
	return ids
}

// idRange leaves out the low ids, where tokenizers keep their special tokens,
// if the vocabulary is large enough to do without them.
func idRange(vocab int) (low, high int) {
	if vocab == 0 {
		vocab = defaultVocab
	}
	if vocab > 1000 {
		return 256, vocab
	}
	return 0, vocab
}

// pow is base to the k, saturating far above any number of requests.
func pow(base, k int) int {
	p := 1
	for range k {
		if p > 1<<40 {
			return p
		}
		p *= base
	}
	return p
}
