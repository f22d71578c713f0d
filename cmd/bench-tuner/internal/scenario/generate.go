package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"

	"vtune/internal/record"
	"vtune/internal/sim"
)

// machine is a sensible combination; weight is how often it is drawn.
type machine struct {
	hardware, model string
	tp, weight      int
}

var machines = []machine{
	{"h200-like", "8b", 1, 4},
	{"h100-like", "8b", 1, 4},
	{"a10-like", "8b", 1, 4},
	{"h200-like", "70b", 2, 2},
	{"h200-like", "70b", 4, 2},
	{"h100-like", "70b", 4, 2},
	{"h100-like", "70b", 8, 1},
	{"a10-like", "tiny", 1, 2},
}

// traffic is a kind of workload: ranges of prompt and answer.
type traffic struct{ inLow, inHigh, outLow, outHigh int }

var traffics = []traffic{
	{64, 512, 64, 300},     // short chat
	{1000, 4000, 8, 60},    // long prompts, short answers
	{2000, 6000, 100, 300}, // summaries
	{32, 256, 300, 500},    // long answers
	{100, 1500, 1, 8},      // classification
	{500, 2000, 50, 200},   // retrieval
}

var (
	shapes     = [][2]int{{2, 2}, {2, 4}, {2, 4}, {3, 4}, {3, 3}, {4, 3}, {5, 5}, {1, 4}}
	seqValues  = []int{8, 16, 32, 64, 128, 256, 512}
	tokenSizes = []int{512, 1024, 2048, 4096, 8192, 16384}
)

// Saturated throughputs outside of this range make tunings of days or of requests that no client can send.
const (
	slowest = 0.3
	fastest = 150
)

// Generate draws the scenario of a number. startNoise is the deviation of a server's start.
func Generate(seed uint64, number int, startNoise float64) (Scenario, error) {
	id := fmt.Sprintf("%03d", number)
	rng := rand.New(rand.NewPCG(seed, uint64(number)))
	for range 1000 {
		s := draw(rng)
		s.ID, s.Seed, s.StartNoise = id, Hash(seed, id), startNoise
		ok, err := s.measure()
		if err != nil {
			return Scenario{}, fmt.Errorf("scenario %s: %w", id, err)
		}
		if ok {
			s.limit(rng)
			return s, nil
		}
	}
	return Scenario{}, fmt.Errorf("scenario %s: nothing drawn can be tuned", id)
}

func draw(rng *rand.Rand) Scenario {
	total := 0
	for _, m := range machines {
		total += m.weight
	}
	at, pick := rng.IntN(total), machine{}
	for _, m := range machines {
		if pick = m; at < m.weight {
			break
		}
		at -= m.weight
	}
	t := traffics[rng.IntN(len(traffics))]
	s := Scenario{Hardware: pick.hardware, Model: pick.model, TP: pick.tp, Noise: 0.02}
	s.Workload = record.Workload{InputLen: between(rng, t.inLow, t.inHigh), OutputLen: between(rng, t.outLow, t.outHigh)}
	if rng.IntN(3) == 0 {
		s.Workload.CacheHitPct = 60
	}
	for s.MaxLength = 2048; s.MaxLength < s.Workload.InputLen+s.Workload.OutputLen; {
		s.MaxLength *= 2
	}
	shape := shapes[rng.IntN(len(shapes))]
	firstSeqs, firstTokens := rng.IntN(len(seqValues)-shape[0]+1), rng.IntN(len(tokenSizes)-shape[1]+1)
	for _, seqs := range seqValues[firstSeqs : firstSeqs+shape[0]] {
		for _, tokens := range tokenSizes[firstTokens : firstTokens+shape[1]] {
			s.Cells = append(s.Cells, record.Cell{ID: record.CellID(seqs, tokens), MaxNumSeqs: seqs, MaxNumBatchedTokens: tokens})
		}
	}
	held := rng.Float64()
	if rng.IntN(7) == 0 {
		s.HeldGiB = held // a share of the GPU's memory until measure knows the GPU
	}
	return s
}

// between is log-uniform.
func between(rng *rand.Rand, low, high int) int {
	return int(math.Round(math.Exp(math.Log(float64(low)) + rng.Float64()*math.Log(float64(high)/float64(low)))))
}

// measure resolves names and fills in what limits are drawn from. It reports whether the scenario can be tuned at all.
func (s *Scenario) measure() (bool, error) {
	var err error
	if s.hardware, err = sim.HardwareNamed(s.Hardware); err != nil {
		return false, err
	}
	if s.model, err = sim.ModelNamed(s.Model); err != nil {
		return false, err
	}
	if s.MaxLength > s.model.MaxLength {
		return false, nil
	}
	// One to seven steps of the probe fail.
	s.HeldGiB *= 0.07 * s.hardware.MemoryGiB
	quiet := *s
	quiet.Noise, quiet.StartNoise, quiet.HeldGiB = 0, 0, 0
	for _, c := range s.Cells {
		if _, err := sim.New(s.Config(c, 0.90, 1)); err != nil {
			return false, nil
		}
	}
	bench := func(rate float64, n int) (sim.Result, error) {
		e, err := sim.New(quiet.Config(s.Largest(), 0.80, 1))
		if err != nil {
			return sim.Result{}, err
		}
		shape := s.Shape()
		return sim.Bench(e, sim.Load{Rate: rate, N: n, Prefix: shape.Prefix, Input: shape.Prompt - shape.Prefix, Output: shape.Output})
	}
	// So far apart that none meets another; the first has no prefix to share, the median one has.
	alone, err := bench(0.001, 3)
	if err != nil {
		return false, nil
	}
	burst, err := bench(math.Inf(1), 300)
	if err != nil {
		return false, nil
	}
	s.UnloadedMS, s.Saturated = alone.P50E2EL, burst.Throughput
	return s.Saturated >= slowest && s.Saturated <= fastest, nil
}

// limit draws one. A fifth of the scenarios has none, one in twelve cannot be met.
func (s *Scenario) limit(rng *rand.Rand) {
	within := func(low, high float64) float64 { return s.UnloadedMS * low * math.Pow(high/low, rng.Float64()) }
	switch p := rng.Float64(); {
	case p < 0.20:
		s.Kind = NoLimit
		return
	case p < 0.28:
		s.Kind, s.LimitMS = Infeasible, within(0.4, 0.9)
	case p < 0.53:
		s.Kind, s.LimitMS = Strict, within(1.3, 3)
	case p < 0.85:
		s.Kind, s.LimitMS = Moderate, within(3, 12)
	default:
		// Around what the script's burst of 1000 takes, so that in some of them it is accepted.
		s.Kind, s.LimitMS = Lenient, max(within(12, 40), (0.6+1.4*rng.Float64())*1000*1000/s.Saturated)
	}
	// People write round limits.
	grain := math.Pow(10, math.Floor(math.Log10(s.LimitMS))-1)
	s.LimitMS = math.Round(math.Round(s.LimitMS/grain) * grain)
}
