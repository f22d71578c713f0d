package page

import (
	"fmt"
	"math"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// spread is how the winner's latencies of one metric are distributed.
type spread struct {
	Lens               lens
	Count              int64
	P50, P90, P99, Max float64 // ms
	Bins               []bin
}

type bin struct {
	Low, High float64 // ms
	Count     int64
}

// mostBins are enough for a shape, and a table of them can still be read.
const mostBins = 40

// longest is more than any histogram of a record takes.
const longest = 1 << 20

// spreads read the winner's histograms. What cannot be read is left out: a newer build may have written it.
func spreads(texts map[string]string, ls []lens) (all []spread) {
	done := map[string]bool{}
	for _, l := range ls {
		text, ok := texts[string(l.Metric)]
		if !ok || done[string(l.Metric)] || len(text) > longest {
			continue
		}
		done[string(l.Metric)] = true
		h, err := hdrhistogram.Decode([]byte(text))
		if err != nil || h.TotalCount() == 0 {
			continue
		}
		toMS := func(µs int64) float64 { return float64(µs) / 1000 }
		s := spread{
			Lens: l, Count: h.TotalCount(), P50: toMS(h.ValueAtPercentile(50)), P90: toMS(h.ValueAtPercentile(90)),
			P99: toMS(h.ValueAtPercentile(99)), Max: toMS(h.Max()),
		}
		s.Bins = bins(h)
		all = append(all, s)
	}
	return all
}

// bins are of equal width, a round number of ms, from the smallest value to the largest.
func bins(h *hdrhistogram.Histogram) []bin {
	low, high := float64(h.Min())/1000, float64(h.Max())/1000
	width := step((high - low) / mostBins)
	first := math.Floor(low/width) * width
	all := make([]bin, int((high-first)/width)+1)
	for i := range all {
		all[i].Low, all[i].High = first+float64(i)*width, first+float64(i+1)*width
	}
	for _, b := range h.Distribution() {
		if b.Count > 0 {
			mid := (float64(b.From) + float64(b.To)) / 2000
			all[min(max(int((mid-first)/width), 0), len(all)-1)].Count += b.Count
		}
	}
	return all
}

// step is the next greater number of 1, 2 or 5 times a power of ten.
func step(least float64) float64 {
	if least <= 0.001 {
		return 0.001 // a µs, which is what is recorded
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= least {
			return f * power
		}
	}
	return 10 * power
}

func (s spread) Name() string { return strings.ToUpper(string(s.Lens.Metric)) }

func (b bin) Range() string { return fmt.Sprintf("%s to %s", sig(b.Low, 4), sig(b.High, 4)) }
