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

func (e estimate) se() float64 { return math.Sqrt(e.variance + e.between) }

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
		if df < fewestBatches-1 || !(half > 0) || half > 1 {
			return single(t.Value)
		}
		se := half / quantile(0.995, df)
		return &estimate{log: math.Log(t.Value), variance: se * se, df: df, between: startNoise * startNoise, n: int(o.Steady.Effective)}
	}
	return nil
}

// fewestBatches make an interval; with fewer the record's is a guess.
const fewestBatches = 4

// line is log latency as a straight line of log rate, fitted to the runs of one cell at one limit, each weighted by its own interval. Near
// the limit, where the search looks, the curve of a queue is straight enough; what it is bent, shows in how far runs lie beside it.
type line struct {
	x, y, slope float64 // centre of weight, and the rise
	w, sxx      float64 // sum of weights; weighted squares of rates about x
	scale       float64 // variance of a run of weight 1: at least 1, more where runs differ by more than their intervals say
	from, to    float64 // log rates
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

func fit(c record.CellState, l record.Limit) *line {
	var runs []record.Observation
	var xs, ys, ws []float64
	for _, o := range compared(c) {
		if o.Load.Rate.IsInf() || !(o.Load.Rate > 0) {
			continue
		}
		for _, s := range o.Standings {
			if s.Limit == l && s.At.Low > 0 && s.At.High >= s.At.Low {
				se := max(math.Log(s.At.High/s.At.Low)/2/sureInterval, leastError)
				runs, xs, ys, ws = append(runs, o), append(xs, math.Log(float64(o.Load.Rate))), append(ys, math.Log(s.At.Value)), append(ws, 1/(se*se))
			}
		}
	}
	if len(xs) < fewestRuns {
		return nil
	}
	f := &line{from: slices.Min(xs), to: slices.Max(xs), n: len(xs), starts: starts(runs)}
	for i, w := range ws {
		f.w += w
		f.x += w * xs[i]
		f.y += w * ys[i]
	}
	f.x, f.y = f.x/f.w, f.y/f.w
	sxy := 0.0
	for i, w := range ws {
		f.sxx += w * (xs[i] - f.x) * (xs[i] - f.x)
		sxy += w * (xs[i] - f.x) * (ys[i] - f.y)
	}
	if f.sxx <= 0 {
		return nil
	}
	f.slope = sxy / f.sxx
	chi := 0.0
	for i, w := range ws {
		r := ys[i] - f.y - f.slope*(xs[i]-f.x)
		chi += w * r * r
	}
	f.scale = max(1, chi/f.df())
	return f
}

func (f *line) df() float64 { return float64(f.n - 2) }

// reach is how far beyond its outermost rates a line is believed.
var reach = math.Log(1.25)

// rateAt is the request rate at which the line reaches a latency: inverse regression, its variance by the delta method. It is nil where the
// rise is not known well enough for that (Fieller's g: the squared half-width of the rise's interval over the rise), or the latency is
// beyond the line's reach.
func (f *line) rateAt(latency float64) *estimate {
	variance := f.scale / f.sxx
	t := quantile(0.975, f.df())
	if f.slope <= 0 || t*t*variance/(f.slope*f.slope) > mostG {
		return nil
	}
	x := f.x + (math.Log(latency)-f.y)/f.slope
	if x < f.from-reach || x > f.to+reach {
		return nil
	}
	return &estimate{log: x, variance: f.scale / (f.slope * f.slope) * (1/f.w + (x-f.x)*(x-f.x)/f.sxx), df: f.df(),
		between: startNoise * startNoise / f.starts, n: f.n}
}

const mostG = 0.5

// latencyAt is the latency at a rate. A start that is slower by x makes latencies longer by x and, since it is nearer to its capacity, by
// the rise once more.
func (f *line) latencyAt(log float64) *estimate {
	d := startNoise * (1 + max(f.slope, 0))
	return &estimate{log: f.y + f.slope*(log-f.x), variance: f.scale * (1/f.w + (log-f.x)*(log-f.x)/f.sxx), df: f.df(), between: d * d / f.starts, n: f.n}
}

// feasible is the request rate at which a cell is at its limits: at the first that it meets. Without intervals it is the accepted rate.
func feasible(c record.CellState, p record.Policy) *estimate {
	if p.GoodputPct > 0 || !intervals(c) {
		if a := c.Accepted; a != nil && !a.Load.Rate.IsInf() && !intervals(c) {
			return single(float64(a.Load.Rate))
		}
		return nil
	}
	var least *estimate
	for _, l := range p.SLOs() {
		f := fit(c, l)
		if f == nil {
			return nil // it could be the one that is met first
		}
		e := f.rateAt(l.MS)
		if e == nil && f.y+f.slope*(f.to-f.x) < math.Log(l.MS) && len(p.SLOs()) > 1 {
			continue // met nowhere near: another limit is first
		}
		if e == nil {
			return nil
		}
		if least == nil || e.log < least.log {
			least = e
		}
	}
	return least
}

// intervals reports whether the cell's runs have them.
func intervals(c record.CellState) bool {
	return slices.ContainsFunc(c.Observations, func(o record.Observation) bool { return o.Steady != nil })
}

// quantile of Student's t.
func quantile(p, df float64) float64 { return stats.InvCDF(stats.TDist{V: df})(p) }
