package verdict

import (
	"math"

	"vtune/internal/stat"
)

// tail is a run's upper tail: what exceeds the threshold does so by excess on average, as exponentially distributed. Latencies of
// a server that keeps up end in tails of this kind or lighter; a second mode that is rare and independent is what the plain count
// beside it is for.
type tail struct {
	sorted    []float64
	threshold float64 // the percentile tailFrom
	excess    float64 // mean, in the unit of the values
	n         float64
	clusters  float64 // so many independent excursions above the threshold say as much
	inflation float64 // of the series that tells who is above it
}

// fewest excursions that say anything of a tail.
const fewest = 5

// tailFrom is the share of requests above the threshold: high enough to be tail, low enough that a short run has some.
const tailFrom = 0.1

func tailOf(sorted, series []float64) tail {
	t := tail{sorted: sorted, n: float64(len(sorted)), threshold: stat.Percentile(sorted, 100*(1-tailFrom))}
	above := make([]float64, len(series))
	n := 0.0
	for i, v := range series {
		if v > t.threshold {
			above[i] = 1
			t.excess += v - t.threshold
			n++
		}
	}
	if n > 0 {
		t.excess /= n
	}
	t.clusters = min(excursions(series, stat.Percentile(sorted, 50), t.threshold), n/inflation(above))
	t.inflation = max(2*n/max(t.clusters, 0.5)-1, 1)
	return t
}

// excursions are how often a series rose above high after it had been below low. Each begins anew from where the series is half
// of the time, so they are nearly independent, however slowly the series moves; a short look at a slow series sees few of them,
// where an estimate of its correlation would see none.
func excursions(series []float64, low, high float64) float64 {
	n, below := 0.0, false
	for _, v := range series {
		switch {
		case v <= low:
			below = true
		case v > high && below:
			n, below = n+1, false
		}
	}
	return n
}

// beyond is an upper bound, wrong with probability alpha, on the share beyond a limit.
func (t tail) beyond(limit, alpha float64) float64 {
	if t.clusters < fewest || limit <= t.threshold {
		return 1
	}
	if t.excess == 0 {
		return 0
	}
	// Excursions differ in length, which makes the mean of what they exceed by about as uncertain as that of half as many; and the
	// threshold was a percentile of this run, not of the queue: its true share may be greater.
	independent := t.clusters / 2
	high := t.excess * 2 * independent / chiSquare(2*independent, alpha)
	above := tailFrom * math.Exp(2/math.Sqrt(independent))
	return above * math.Exp(-(limit-t.threshold)/high)
}

// length of an excursion, in requests.
func (t tail) length() float64 { return max(1, tailFrom*t.n/max(t.clusters, 0.5)) }

// at is the value that a share of the requests exceeds: by rank where enough of them do, else by the tail.
func (t tail) at(share float64) float64 {
	const enough = 8
	if share >= tailFrom || share*float64(len(t.sorted)) >= enough {
		return stat.Percentile(t.sorted, 100*(1-share))
	}
	return t.threshold + t.excess*math.Log(tailFrom/share)
}

// chiSquare is the quantile alpha of the chi-square distribution, after Wilson and Hilferty (1931).
func chiSquare(df, alpha float64) float64 {
	z := -math.Sqrt2 * math.Erfinv(1-2*alpha)
	c := 2 / (9 * df)
	return max(df*math.Pow(max(1-c+z*math.Sqrt(c), 0), 3), 1e-9)
}
