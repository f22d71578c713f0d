package load

import (
	"math"
	"math/rand/v2"
	"time"
)

// Arrivals draws when each request is due, from the start of the run, in
// order. An infinite rate is due at once. Intervals are gamma distributed with
// mean 1/Rate and shape Burstiness.
func Arrivals(w Workload) []time.Duration {
	due := make([]time.Duration, w.Requests)
	if math.IsInf(w.Rate, 1) {
		return due
	}
	rng := rand.New(rand.NewPCG(w.Seed, 0x61727269))
	shape := w.Burstiness
	if shape == 0 {
		shape = 1
	}
	at, sum := make([]float64, w.Requests), 0.0
	for i := range at {
		sum += interval(rng, shape)
		at[i] = sum
	}
	scale := 1 / w.Rate
	if w.Rescale && sum > 0 {
		scale = float64(w.Requests) / sum / w.Rate
	}
	for i := range due {
		due[i] = time.Duration(at[i] * scale * float64(time.Second))
	}
	return due
}

// interval has mean 1.
func interval(rng *rand.Rand, shape float64) float64 {
	switch {
	case math.IsInf(shape, 1):
		return 1
	case shape == 1:
		return rng.ExpFloat64()
	}
	return gamma(rng, shape) / shape
}

// gamma is the method of Marsaglia and Tsang (2000); shapes below 1 are
// reduced to shape+1 by a power of a uniform number.
func gamma(rng *rand.Rand, shape float64) float64 {
	boost := 1.0
	if shape < 1 {
		boost = math.Pow(1-rng.Float64(), 1/shape)
		shape++
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v * boost
		}
	}
}
