package sim

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"vtune/internal/stat"
)

// Load is one observation to make: N requests at Rate per second (infinite:
// all at once), with a shared prefix before each prompt's own input. Seed
// decides arrivals and which prompts are sent.
type Load struct {
	Rate      float64
	N         int
	Seed      uint64
	Input     int
	Prefix    int
	Output    int
	GoodputMS float64 // an E2EL limit; 0: no goodput
}

// Result is the observation, in the units of `vllm bench serve`.
type Result struct {
	Completed        int
	Duration         time.Duration
	Throughput       float64 // requests/s, to the last answer
	OutputThroughput float64 // tokens/s
	Goodput          float64 // requests/s that met the limit
	P50E2EL          float64 // ms, as all below
	P90E2EL          float64
	P99E2EL          float64
	MeanTTFT         float64
	P99TTFT          float64
	MedianTPOT       float64
	P99ITL           float64
	Preemptions      int
	HitShare         float64 // of the prompt tokens, from the prefix cache
}

// Bench runs one observation on an engine in virtual time. The engine may be
// warm; what it already did stays in its prefix cache. An error is either a
// load that the engine refuses or memory that ran out (a *StartError).
func Bench(e *Engine, l Load) (Result, error) {
	if l.N < 1 || !(l.Rate > 0) || l.Input < 0 || l.Prefix < 0 {
		return Result{}, fmt.Errorf("a load of %d requests at %v per second is none", l.N, l.Rate)
	}
	base, before, start := e.nextID, e.stats, e.now
	at := arrivals(l)
	for i := range l.N {
		q := Request{ID: base + uint64(i), Prompt: l.Prefix + l.Input, MaxTokens: l.Output, Blocks: promptBlocks(l, i)}
		if err := e.Submit(q, start+at[i]); err != nil {
			return Result{}, err
		}
	}
	seen := make([]timeline, l.N)
	var itl []float64
	for {
		s, err := e.Step()
		if errors.Is(err, ErrIdle) {
			break
		}
		if err != nil {
			return Result{}, err
		}
		for _, t := range s.Tokens {
			if t.ID < base {
				continue // left over from before
			}
			r := &seen[t.ID-base]
			if r.tokens == 0 {
				r.first = s.End
			} else {
				itl = append(itl, ms(s.End-r.last))
			}
			r.last = s.End
			r.tokens++
		}
	}
	res := summarize(l, seen, at, start, itl)
	res.Preemptions = e.stats.Preemptions - before.Preemptions
	if queries := e.stats.CacheQueries - before.CacheQueries; queries > 0 {
		res.HitShare = float64(e.stats.CacheHits-before.CacheHits) / float64(queries)
	}
	return res, nil
}

type timeline struct {
	first, last time.Duration
	tokens      int
}

func summarize(l Load, seen []timeline, at []time.Duration, start time.Duration, itl []float64) Result {
	var e2el, ttft, tpot []float64
	res, good, end, tokens := Result{}, 0, start, 0
	for i, r := range seen {
		if r.tokens == 0 {
			continue
		}
		latency := ms(r.last - start - at[i])
		e2el = append(e2el, latency)
		ttft = append(ttft, ms(r.first-start-at[i]))
		res.MeanTTFT += ttft[len(ttft)-1]
		if r.tokens > 1 {
			tpot = append(tpot, ms(r.last-r.first)/float64(r.tokens-1))
		}
		if l.GoodputMS > 0 && latency <= l.GoodputMS {
			good++
		}
		end = max(end, r.last)
		tokens += r.tokens
	}
	res.Completed = len(e2el)
	res.Duration = end - start
	seconds := res.Duration.Seconds()
	res.Throughput, res.Goodput = float64(res.Completed)/seconds, float64(good)/seconds
	res.OutputThroughput = float64(tokens) / seconds
	res.MeanTTFT /= float64(res.Completed)
	for _, x := range [][]float64{e2el, ttft, tpot, itl} {
		slices.Sort(x)
	}
	res.P50E2EL, res.P90E2EL, res.P99E2EL = stat.Percentile(e2el, 50), stat.Percentile(e2el, 90), stat.Percentile(e2el, 99)
	res.P99TTFT, res.MedianTPOT, res.P99ITL = stat.Percentile(ttft, 99), stat.Percentile(tpot, 50), stat.Percentile(itl, 99)
	return res
}

// arrivals are Poisson, rescaled so that the last one is at N/Rate, as
// `vllm bench serve` does. internal/load draws its own: this package imports
// nothing of its siblings.
func arrivals(l Load) []time.Duration {
	at := make([]time.Duration, l.N)
	if math.IsInf(l.Rate, 1) {
		return at
	}
	rng := rand.New(rand.NewPCG(l.Seed, 0x6172726976616c))
	sums, sum := make([]float64, l.N), 0.0
	for i := range sums {
		sum += rng.ExpFloat64()
		sums[i] = sum
	}
	for i := range at {
		at[i] = time.Duration(sums[i] / sum * float64(l.N) / l.Rate * float64(time.Second))
	}
	return at
}

// promptBlocks are hashes as HashTokens would give them: equal inside the
// shared prefix, different from the first block on that a prompt owns.
func promptBlocks(l Load, i int) []uint64 {
	blocks := make([]uint64, (l.Prefix+l.Input)/BlockSize)
	h := mix(0, l.Seed)
	for b := range blocks {
		if (b+1)*BlockSize > l.Prefix {
			h = mix(h, uint64(i)+1)
		}
		h = mix(h, uint64(b))
		blocks[b] = h
	}
	return blocks
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
