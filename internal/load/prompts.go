package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"

	"vtune/internal/load/wire"
)

// Prompt returns the token ids of request i. All prompts of a seed begin with the same PrefixLen tokens and share nothing
// behind them: the own part begins with the request's number, written in as many ids as the run needs. Text prompts cannot
// promise that, since a server tokenises them its own way.
func Prompt(w Workload, i int) []int {
	ids, prompt := newAlphabet(w), make([]int, w.PrefixLen+w.InputLen)
	ids.prefix(prompt[:w.PrefixLen], w)
	ids.own(prompt[w.PrefixLen:], w, i)
	return prompt
}

// alphabet is what prompts are drawn from: a list of ids, or the size of a range from low on.
type alphabet struct {
	ids       []int
	low, size int
}

func newAlphabet(w Workload) alphabet {
	if len(w.IDs) > 0 {
		return alphabet{ids: w.IDs, size: len(w.IDs)}
	}
	low, high := idRange(w.Vocab)
	return alphabet{low: low, size: high - low}
}

// idRange leaves out the low ids, where tokenizers keep their special tokens, if the vocabulary is large enough to do without
// them.
func idRange(vocab int) (low, high int) {
	if vocab == 0 {
		vocab = defaultVocab
	}
	if vocab > 1000 {
		return 256, vocab
	}
	return 0, vocab
}

func (a alphabet) id(n int) int {
	if a.ids != nil {
		return a.ids[n]
	}
	return a.low + n
}

func (a alphabet) draw(into []int, seed, stream uint64) {
	rng := rand.New(rand.NewPCG(seed, stream))
	for k := range into {
		into[k] = a.id(rng.IntN(a.size))
	}
}

func (a alphabet) prefix(into []int, w Workload) { a.draw(into, w.Seed, 0) }

func (a alphabet) own(into []int, w Workload, i int) {
	a.draw(into, w.Seed, uint64(i)+1)
	n := i
	for k := 0; k < len(into) && w.Requests > pow(a.size, k); k++ {
		into[k] = a.id(n % a.size)
		n /= a.size
	}
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

// message makes the bodies of a run's requests: everything but the own part of the prompt is written once.
type message struct {
	w       Workload
	ids     alphabet
	head    []byte // up to where the own part of the prompt begins
	tail    []byte // behind it
	fixed   bool   // ExtraBody has a prompt of its own: head is the whole body
	asked   wire.Asked
	own     []int     // of the last prompt
	buffers sync.Pool // of *wire.Body
}

func newMessage(w Workload) (*message, error) {
	fields := map[string]any{
		"model": w.Model, "max_tokens": w.OutputLen, "stream": true,
		"stream_options": map[string]any{"include_usage": true},
	}
	if w.IgnoreEOS {
		fields["ignore_eos"] = true
	}
	if w.Temperature != nil {
		fields["temperature"] = *w.Temperature
	}
	m := &message{w: w, ids: newAlphabet(w), asked: wire.Asked{Usage: true, Prompt: w.PrefixLen + w.InputLen, Completion: -1}}
	if w.IgnoreEOS {
		m.asked.Completion = w.OutputLen
	}
	for name, value := range w.ExtraBody {
		fields[name] = value
		switch name {
		case "prompt", "prompt_embeds", "truncate_prompt_tokens", "add_special_tokens":
			m.asked.Prompt = -1
		case "max_tokens", "n", "ignore_eos", "stop", "stop_token_ids":
			m.asked.Completion = -1
		case "stream_options":
			options, _ := value.(map[string]any)
			m.asked.Usage, _ = options["include_usage"].(bool)
		}
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("the request: %w", err)
	}
	if _, m.fixed = fields["prompt"]; m.fixed {
		m.head = rest
		return m, nil
	}
	prefix := make([]int, w.PrefixLen)
	m.ids.prefix(prefix, w)
	m.head, m.own = appendIDs([]byte(`{"prompt":[`), prefix), make([]int, w.InputLen)
	m.tail = append([]byte("],"), rest[1:]...)
	return m, nil
}

// body is for one goroutine at a time.
func (m *message) body(i int) *wire.Body {
	b, _ := m.buffers.Get().(*wire.Body)
	if b == nil {
		b = wire.NewBody(func(b *wire.Body) { m.buffers.Put(b) })
	}
	b.Hold()
	b.Data = append(b.Data[:0], m.head...)
	if m.fixed {
		return b
	}
	if m.w.PrefixLen > 0 && m.w.InputLen > 0 {
		b.Data = append(b.Data, ',')
	}
	m.ids.own(m.own, m.w, i)
	b.Data = appendIDs(b.Data, m.own)
	b.Data = append(b.Data, m.tail...)
	return b
}

// size is about what a body takes.
func (m *message) size() int { return len(m.head) + 7*m.w.InputLen + len(m.tail) }

func appendIDs(to []byte, ids []int) []byte {
	for k, id := range ids {
		if k > 0 {
			to = append(to, ',')
		}
		to = strconv.AppendInt(to, int64(id), 10)
	}
	return to
}
