package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Three significant digits: a latency of 500 ms is told from one of 501.
const (
	histogramDigits = 3
	histogramMost   = int64(24 * time.Hour / time.Microsecond)
)

// Histogram is the distribution of a metric over the answered requests, in µs from when they were due, as a line of text: an
// HdrHistogram in its V2 compressed form, which tools in many languages read. Longer times than a day count as a day.
func Histogram(requests []Timeline, m Metric) (string, error) {
	h := hdrhistogram.New(1, histogramMost, histogramDigits)
	record := func(µs float64) error { return h.RecordValue(min(max(int64(µs+0.5), 0), histogramMost)) }
	for _, r := range requests {
		if !r.OK() {
			continue
		}
		if m == ITL {
			for _, gap := range r.Gaps {
				if err := record(float64(gap)); err != nil {
					return "", fmt.Errorf("histogram of %s: %w", m, err)
				}
			}
			continue
		}
		v, ok := r.value(m, FromDue)
		if !ok {
			continue
		}
		if err := record(v * 1000); err != nil {
			return "", fmt.Errorf("histogram of %s: %w", m, err)
		}
	}
	text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("histogram of %s: %w", m, err)
	}
	return string(text), nil
}

// Quantiles are what a histogram still knows of its values, each within a thousandth.
type Quantiles struct{ h *hdrhistogram.Histogram }

// histogramText is more than any histogram of these digits takes.
const histogramText = 1 << 20

// ReadHistogram reads what Histogram wrote.
func ReadHistogram(text string) (Quantiles, error) {
	if len(text) > histogramText {
		return Quantiles{}, fmt.Errorf("read histogram: %d bytes", len(text))
	}
	h, err := hdrhistogram.Decode([]byte(text))
	if err != nil {
		return Quantiles{}, fmt.Errorf("read histogram: %w", err)
	}
	return Quantiles{h}, nil
}

// Count is the number of values.
func (q Quantiles) Count() int64 { return q.h.TotalCount() }

// At is the smallest value that p percent of all are not above, p from 0 to 100; zero if there are none.
func (q Quantiles) At(p float64) time.Duration {
	return time.Duration(q.h.ValueAtPercentile(p)) * time.Microsecond
}
