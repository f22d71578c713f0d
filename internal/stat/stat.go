// Package stat holds the statistics that more than one room needs, as plain functions of numbers.
package stat

// Percentile of sorted values, p from 0 to 100, interpolated linearly between neighbours: the definition of numpy.percentile,
// so that numbers are those of `vllm bench serve`. Zero for no values.
func Percentile(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := p / 100 * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}
