package compare

import (
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"

	"vtune/internal/record"
)

// startNoise is by how much (one standard deviation, relative) one start of a server is faster or slower than another of the same build on
// the same node. No run shows it, for a run measures a start from within; so it is a number: two starts on one H200 differed by up to
// 3.4 % (docs/methods.md), which is what two of this deviation differ by in nine of ten cases.
const startNoise = 0.015

// estimate is a quantity as one run knows it, on the scale of logarithms: what is compared are ratios.
type estimate struct {
	log      float64
	variance float64 // within the run; NaN: one number, and nobody knows how far it can be trusted
	df       float64 // of that variance
	between  float64 // variance between starts
	n        int     // batches, or runs at a rate
}

func (e estimate) tested() bool { return !math.IsNaN(e.variance) }

// single is a number without an interval.
func single(v float64) *estimate {
	if !(v > 0) || math.IsInf(v, 0) {
		return nil
	}
	return &estimate{log: math.Log(v), variance: math.NaN(), between: startNoise * startNoise, n: 1}
}

// compared are the observations of a cell's own server, those that mean something.
func compared(c record.CellState) []record.Observation {
	return slices.DeleteFunc(slices.Clone(c.Observations), func(o record.Observation) bool {
		return o.Emulated || o.Alone || o.Verdict == record.Invalid
	})
}

// starts are how many servers made the observations.
func starts(obs []record.Observation) float64 {
	seen := map[int]bool{}
	for _, o := range obs {
		seen[o.Attempt] = true
	}
	return max(float64(len(seen)), 1)
}

// throughput is what a cell reaches when all requests come at once. Its interval in the record is Student's of batch means at 99 %, so
// that their variance can be had back from it. Of several runs the last counts: it is the one that later verdicts rest on.
func throughput(c record.CellState) *estimate {
	for _, o := range slices.Backward(compared(c)) {
		if !o.Load.Rate.IsInf() {
			continue
		}
		if o.Steady == nil {
			return single(o.Metrics.RequestThroughput)
		}
		t, df := o.Steady.Throughput, o.Steady.Effective-1
		if !(t.Value > 0) {
			continue
		}
		half := (t.High - t.Low) / 2 / t.Value
		if !believable(o) || !(half > 0) || half > 1 {
			return single(t.Value)
		}
		se := half / quantile(0.995, df)
		return &estimate{log: math.Log(t.Value), variance: se * se, df: df, between: startNoise * startNoise, n: int(o.Steady.Effective)}
	}
	return nil
}

// believable reports whether an interval of a run at inf may be counted on. Such a run's requests per second from its first one on lie
// below what its server does when it is full. Where they lie above, the interval is of a moment at which the run stood still: earlier
// versions ended runs then, and one said 1.08 ± 3 % where it had answered 1.8 a second.
func believable(o record.Observation) bool {
	return o.Steady.Effective >= 2 && o.Metrics.RequestThroughput <= o.Steady.Throughput.High
}

// line is log latency as a straight line of log rate, fitted to the runs of one cell, each weighted by its own interval. Over the rates that
// two runs have in common the curve of a queue is straight enough; what it is bent, shows in how far runs lie beside it.
type line struct {
	x, y, slope float64 // centre of weight, and the rise
	w, sxx      float64 // sum of weights; weighted squares of rates about x
	scale       float64 // variance of a run of weight 1: at least 1, more where runs differ by more than their intervals say
	n           int
	starts      float64
}

const (
	// fewestRuns at rates make a line: two that fix it, and two that say how well.
	fewestRuns = 4
	// sureInterval turns the records' 99 % intervals into standard errors.
	sureInterval = 2.576
	// leastError of one percentile, relative: ranks of a few requests can lie on top of each other.
	leastError = 0.01
)

// runAt is one run at a rate: logarithms of rate and latency, and the weight of the latter.
type runAt struct {
	x, y, w float64
	o       record.Observation
}

// runsAt are a cell's runs at rates that have an interval of a limit's percentile.
func runsAt(c record.CellState, l record.Limit) []runAt {
	var runs []runAt
	for _, o := range compared(c) {
		if o.Load.Rate.IsInf() || !(o.Load.Rate > 0) {
			continue
		}
		for _, s := range o.Standings {
			if s.Limit == l && s.At.Low > 0 && s.At.High >= s.At.Low {
				se := max(math.Log(s.At.High/s.At.Low)/2/sureInterval, leastError)
				runs = append(runs, runAt{math.Log(float64(o.Load.Rate)), math.Log(s.At.Value), 1 / (se * se), o})
			}
		}
	}
	return runs
}

// span of log rates.
func span(runs []runAt) (from, to float64) {
	from, to = math.Inf(1), math.Inf(-1)
	for _, r := range runs {
		from, to = min(from, r.x), max(to, r.x)
	}
	return from, to
}

// fit is nil where the runs between two log rates are too few.
func fit(runs []runAt, from, to float64) *line {
	f := &line{}
	var obs []record.Observation
	var in []runAt
	for _, r := range runs {
		if r.x < from || r.x > to {
			continue
		}
		in, obs = append(in, r), append(obs, r.o)
		f.w += r.w
		f.x += r.w * r.x
		f.y += r.w * r.y
	}
	if len(in) < fewestRuns {
		return nil
	}
	f.n, f.starts, f.x, f.y = len(in), starts(obs), f.x/f.w, f.y/f.w
	sxy := 0.0
	for _, r := range in {
		f.sxx += r.w * (r.x - f.x) * (r.x - f.x)
		sxy += r.w * (r.x - f.x) * (r.y - f.y)
	}
	if f.sxx <= 0 {
		return nil
	}
	f.slope = sxy / f.sxx
	chi := 0.0
	for _, r := range in {
		d := r.y - f.y - f.slope*(r.x-f.x)
		chi += r.w * d * d
	}
	f.scale = max(1, chi/f.df())
	return f
}

func (f *line) df() float64 { return float64(f.n - 2) }

// latencyAt is the latency at a rate. A start that is slower by x makes latencies longer by x and, since it is nearer to its capacity, by
// the rise once more.
func (f *line) latencyAt(log float64) *estimate {
	d := startNoise * (1 + max(f.slope, 0))
	return &estimate{log: f.y + f.slope*(log-f.x), variance: f.scale * (1/f.w + (log-f.x)*(log-f.x)/f.sxx), df: f.df(), between: d * d / f.starts, n: f.n}
}

// feasible is the request rate that a cell was shown to hold. No interval belongs to it, see the package's comment.
func feasible(c record.CellState) *estimate {
	if c.Accepted == nil || c.Accepted.Load.Rate.IsInf() {
		return nil
	}
	e := single(float64(c.Accepted.Load.Rate))
	if e != nil {
		e.between *= rateRise * rateRise
	}
	return e
}

// rateRise is how many times as much as its speed the rate at a server's limit moves. A server that is slower by x has latencies that are longer
// by x, and reaches its limit before a lower capacity. With b the rise of log latency over log rate it is (1+b)/b: 2 at half of the capacity, less above.
const rateRise = 2

// quantile of Student's t, of p above a half: Newton's steps from the normal one, which lies below. The CDF is concave there, so that they
// come from below and never leave. (The library's own bisects, at ten times the cost.)
func quantile(p, df float64) float64 {
	t := stats.TDist{V: df}
	x := math.Sqrt2 * math.Erfinv(2*p-1)
	for range 50 {
		step := (p - t.CDF(x)) / t.PDF(x)
		if x += step; step < 1e-10*x {
			break
		}
	}
	return x
}
