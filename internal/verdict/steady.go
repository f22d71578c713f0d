package verdict

import (
	"math"
	"slices"

	"vtune/internal/record"
)

// window is the steady part of a run.
type window struct {
	now  float64
	from float64 // s: requests due before are the start-up
	sent int     // requests due by now
	skip int     // of them in the start-up
}

// The start-up: an empty server answers the first requests faster than it will answer any later one. What was due in the first
// startUpLatencies median latencies is left out, at least startUpRequests, at most a third of all.
const (
	startUpLatencies = 2
	startUpRequests  = 10
)

func steadyWindow(requests []Request, now float64) window {
	w := window{now: now, sent: len(requests)}
	var latencies []float64
	for i := range requests {
		if requests[i].End > 0 {
			latencies = append(latencies, requests[i].End-requests[i].Due)
		}
	}
	if len(latencies) == 0 {
		w.skip = len(requests) / 3
	} else {
		slices.Sort(latencies)
		w.from = startUpLatencies * latencies[len(latencies)/2]
		for w.skip < len(requests) && (requests[w.skip].Due < w.from || w.skip < startUpRequests) {
			w.skip++
		}
		w.skip = min(w.skip, len(requests)/3)
	}
	if w.skip < len(requests) {
		w.from = requests[w.skip].Due
	}
	return w
}

// steady fills in what does not depend on a limit.
func (w window) steady(requests []Request) record.Steady {
	s := record.Steady{From: w.from, To: w.now, Peak: peak(requests)}
	if w.now <= w.from {
		return s
	}
	const batches = 10
	var counts [batches]float64
	span := w.now - w.from
	for i := range requests {
		if e := requests[i].End; e > w.from && e <= w.now {
			counts[min(batches-1, int(batches*(e-w.from)/span))]++
		}
	}
	for i := range counts {
		counts[i] *= batches / span
	}
	s.Throughput = meanInterval(counts[:])
	return s
}

// peak is the most requests in flight at one time.
func peak(requests []Request) int {
	ends := make([]float64, 0, len(requests))
	for i := range requests {
		if requests[i].End > 0 {
			ends = append(ends, requests[i].End)
		}
	}
	slices.Sort(ends)
	most, ended := 0, 0
	for i := range requests {
		for ended < len(ends) && ends[ended] <= requests[i].Due {
			ended++
		}
		most = max(most, i+1-ended)
	}
	return most
}

// meanInterval is the mean of batch means with its 99 % interval by Student's t.
func meanInterval(x []float64) record.Interval {
	n := float64(len(x))
	if n == 0 {
		return record.Interval{}
	}
	mean, square := 0.0, 0.0
	for _, v := range x {
		mean += v / n
	}
	for _, v := range x {
		square += (v - mean) * (v - mean)
	}
	if n < 2 {
		return record.Interval{Value: mean, Low: 0, High: math.MaxFloat64}
	}
	half := student99(len(x)-1) * math.Sqrt(square/(n-1)/n)
	return record.Interval{Value: mean, Low: max(0, mean-half), High: mean + half}
}

// student99 is the 99.5 % quantile of Student's t.
func student99(df int) float64 {
	table := [...]float64{63.66, 9.92, 5.84, 4.60, 4.03, 3.71, 3.50, 3.36, 3.25, 3.17, 3.11, 3.05, 3.01, 2.98, 2.95}
	if df <= len(table) {
		return table[df-1]
	}
	return 2.576 * (1 + 1.5/float64(df))
}

// inflation is by how much the variance of the mean of x exceeds that of independent values: batch means over 16 and over 32
// batches, whichever says more. x is a series in due order; neighbours in a queue share their fate.
func inflation(x []float64) float64 {
	f := 1.0
	for _, batches := range []int{16, 32} {
		f = max(f, batchInflation(x, batches))
	}
	return f
}

func batchInflation(x []float64, batches int) float64 {
	size := len(x) / batches
	if size < 2 {
		return 1
	}
	x = x[len(x)-size*batches:]
	n := float64(len(x))
	mean := 0.0
	for _, v := range x {
		mean += v / n
	}
	total, between := 0.0, 0.0
	for b := range batches {
		sum := 0.0
		for _, v := range x[b*size : (b+1)*size] {
			sum += v - mean
			total += (v - mean) * (v - mean)
		}
		m := sum / float64(size)
		between += m * m
	}
	if total == 0 {
		return 1
	}
	return float64(size) * (between / float64(batches-1)) / (total / (n - 1))
}

// A saturated throughput needs so many windows before its interval means anything. They last for two answers at least: in the first
// batch nobody begins while others go on.
const (
	minWindows       = 4
	mostWindows      = 20
	windowsPerAnswer = 2 // at most so many in the time of one
)

// saturated is the throughput of a server that has more than it can do. Answers of one batch end together, so whole answers would
// come in waves; what is counted is the progress of each, as even from its first token to its last. The first answers are the
// start-up; the end, when the batch runs empty, is left out.
func saturated(requests []Request) (t record.Interval, windows int) {
	var inside []float64
	first, last := math.Inf(1), 0.0
	answered := 0
	for i := range requests {
		if q := &requests[i]; q.End > 0 {
			inside = append(inside, (q.E2EL-q.TTFT)/1000)
			first, last = min(first, q.End), max(last, q.End)
			answered++
		}
	}
	if answered < 2*startUpRequests {
		return t, 0
	}
	slices.Sort(inside)
	long := inside[len(inside)*9/10]
	// Of what began in the last moments, not all has ended, and at the end fewer and fewer are beside each other.
	last -= long + (last-first)/20
	if last <= first {
		return t, 0
	}
	// Progress is even within an answer, so windows much shorter than one would be alike whatever the server does: where it or the
	// client stands still, all would show the same small number. The length is that of a long answer, as one is that was interrupted.
	windows = min(answered/startUpRequests, mostWindows)
	if lives := (last - first) / long; lives*windowsPerAnswer < float64(windows) {
		windows = int(lives * windowsPerAnswer)
	}
	if windows < minWindows {
		return t, 0
	}
	width := (last - first) / float64(windows)
	done := make([]float64, windows)
	for i := range requests {
		q := &requests[i]
		if q.End == 0 || q.End <= first {
			continue
		}
		begin := q.Due + q.TTFT/1000
		whole := q.End - begin
		if whole <= 0 {
			begin, whole = q.End-1e-9, 1e-9
		}
		for k := max(0, int((begin-first)/width)); k < windows; k++ {
			from, to := first+float64(k)*width, first+float64(k+1)*width
			if from >= q.End {
				break
			}
			done[k] += max(0, min(to, q.End)-max(from, begin)) / whole / width
		}
	}
	return meanInterval(done), windows
}
