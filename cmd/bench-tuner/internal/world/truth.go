package world

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"vtune/cmd/bench-tuner/internal/scenario"
	"vtune/internal/load"
	"vtune/internal/record"
	"vtune/internal/sim"
	"vtune/internal/verdict"
)

// Requests of the truth's longest run: ten times a method's.
const longest = 30_000

// Truth is what a scenario's cells hold in the long run, on a server without a deviation of its own: the highest request rate
// whose share beyond the limit is at most 1 %, or the saturated throughput where there is no limit. Zero: no rate.
type Truth struct {
	Cells map[string]float64 `json:"cells"`
	Best  float64            `json:"best"`
	Cell  string             `json:"cell"` // one that holds Best
	// Saturated throughput of requests that come all at once. It is no bound of the rates above: answers of one length keep
	// in step, so that the server prefills and decodes by turns, and a queue makes more of them run at once than is best.
	Saturated map[string]float64 `json:"saturated"`
}

// Oracle finds the truth. It is economical: the further a cell is from the best, the less precisely it is known.
type Oracle struct {
	scenario    scenario.Scenario
	utilization map[string]float64
	shares      map[asked]float64
	unit        []time.Duration // arrivals at one a second; at other rates they are closer or further apart
	due         []time.Duration
	memory      []verdict.Request
	Truth       Truth
}

type asked struct {
	cell string
	rate float64
}

// Find measures a scenario.
func Find(s scenario.Scenario) (*Oracle, error) {
	s.StartNoise = 0
	o := &Oracle{scenario: s, utilization: map[string]float64{}, shares: map[asked]float64{}, Truth: Truth{Cells: map[string]float64{}, Saturated: map[string]float64{}}}
	o.unit = load.Arrivals(load.Workload{Rate: 1, Requests: longest, Seed: scenario.Hash(s.Seed, "truth")})
	o.due, o.memory = make([]time.Duration, longest), make([]verdict.Request, longest)
	saturated := o.Truth.Saturated
	var err error
	for _, c := range s.Cells {
		if saturated[c.ID], err = o.saturate(c); err != nil {
			return nil, err
		}
	}
	if s.LimitMS == 0 {
		o.Truth.Cells = saturated
		o.greatest()
		return o, nil
	}
	for _, c := range s.Cells {
		if o.Truth.Cells[c.ID], err = o.bisect(c, [2]float64{0, 1.05 * saturated[c.ID]}, coarse); err != nil {
			return nil, err
		}
	}
	return o, o.refine()
}

// level of precision.
type level struct {
	n         int     // requests of a run
	tolerance float64 // of the result
}

var (
	coarse = level{1_500, 0.04}
	better = level{8_000, 0.012}
	best   = level{longest, 0.004}
)

// refine finds the best cell and its rate precisely. What is near it is placed within two hundredths of it, what is not stays
// known as it is.
func (o *Oracle) refine() error {
	order := slices.Clone(o.scenario.Cells)
	slices.SortStableFunc(order, func(a, b record.Cell) int { return cmp.Compare(o.Truth.Cells[b.ID], o.Truth.Cells[a.ID]) })
	for _, c := range order {
		r, known := o.Truth.Best, o.Truth.Cells[c.ID]
		if known == 0 || known < 0.85*r {
			continue
		}
		rate, err := o.place(c, known)
		if err != nil {
			return err
		}
		if o.Truth.Cells[c.ID] = rate; rate > o.Truth.Best {
			o.Truth.Best, o.Truth.Cell = rate, c.ID
		}
	}
	return nil
}

// place is a cell's rate, known roughly, in relation to the best so far.
func (o *Oracle) place(c record.Cell, known float64) (float64, error) {
	r, width := o.Truth.Best, 0.02
	if r > 0 {
		for _, ask := range []struct {
			times  float64
			n      int
			missed float64
		}{
			{0.96, better.n, min(known, 0.96*r)},
			{0.985, best.n, 0.9725 * r},
			{1 + best.tolerance, best.n, 0.9925 * r},
		} {
			if g, err := o.gauge(c, ask.times*r, ask.n, 0.01); err != nil || !g.held() {
				return ask.missed, err
			}
		}
		known = r * (1 + width)
	} else {
		var err error
		if known, err = o.bisect(c, [2]float64{known * 0.92, known * 1.08}, better); err != nil || known == 0 {
			return 0, err
		}
	}
	return o.bisect(c, [2]float64{known * (1 - width), known * (1 + width)}, best)
}

func (o *Oracle) greatest() {
	o.Truth.Best, o.Truth.Cell = 0, ""
	for _, c := range o.scenario.Cells {
		if r := o.Truth.Cells[c.ID]; r > o.Truth.Best {
			o.Truth.Best, o.Truth.Cell = r, c.ID
		}
	}
}

// bisect finds the highest rate that is met. The bracket is a guess: where the answer lies at one of its ends, that end is asked,
// and moves if it was wrong.
func (o *Oracle) bisect(c record.Cell, bracket [2]float64, l level) (float64, error) {
	low, high := bracket[0], bracket[1]
	width, floor := min(high-low, 0.1*high), 0.01*high
	lowKnown, highKnown := low == 0, false
	for {
		rate := (low + high) / 2
		switch {
		case high-low > l.tolerance*high:
		case !lowKnown:
			rate = low
		case !highKnown:
			rate = high
		default:
			return low, nil
		}
		if rate < floor {
			return 0, nil
		}
		g, err := o.gauge(c, rate, l.n, 0.01)
		ok := err == nil && g.held()
		switch {
		case err != nil:
			return 0, err
		case ok && rate == high:
			low, high, lowKnown, width = high, high+width, true, 2*width
		case ok:
			low, lowKnown = rate, true
		case rate == low:
			low, high, highKnown, width = max(0, low-width), low, true, 2*width
			lowKnown = low == 0
		default:
			high, highKnown = rate, true
		}
	}
}

// Share of requests beyond the limit at a rate, in the longest run; sure to the side of the bound on which it lies.
func (o *Oracle) Share(c record.Cell, rate, bound float64) (float64, error) {
	key := asked{c.ID, rate}
	if s, known := o.shares[key]; known {
		return s, nil
	}
	g, err := o.gauge(c, rate, longest, bound)
	if err != nil {
		return 0, err
	}
	share := g.share()
	if g.grows { // sooner or later all are beyond
		share = 1
	}
	o.shares[key] = share
	return share, nil
}

// gauge runs up to n requests at a rate.
func (o *Oracle) gauge(c record.Cell, rate float64, n int, bound float64) (*gauge, error) {
	due := o.due[:n]
	for i := range due {
		due[i] = time.Duration(float64(o.unit[i]) / rate)
	}
	g := &gauge{limitMS: o.scenario.LimitMS, bound: bound, rate: rate, n: n}
	_, err := o.run(c, Load{Due: due, Each: g.each, Ask: g.ask})
	return g, err
}

// saturate is the throughput while requests wait, without the beginning and the end.
func (o *Oracle) saturate(c record.Cell) (float64, error) {
	n := 1_500
	if o.scenario.LimitMS == 0 {
		n = 4_000
	}
	n = max(n, 12*c.MaxNumSeqs)
	for percent := 98; ; percent-- {
		o.utilization[c.ID] = float64(percent) / 100
		var ends []float64
		_, err := o.run(c, Load{Due: load.Arrivals(load.Workload{Rate: math.Inf(1), Requests: n}), Each: func(r verdict.Request) bool {
			ends = append(ends, r.End)
			return false
		}})
		var died *sim.StartError
		switch {
		case errors.As(err, &died) && o.utilization[c.ID] > Lowest: // at its start or under load
			continue
		case err != nil:
			return 0, err
		}
		from, to := n/5, n-n/5
		return float64(to-from) / (ends[to] - ends[from]), nil
	}
}

func (o *Oracle) run(c record.Cell, l Load) (Run, error) {
	server, boot, err := NewSite(o.scenario).Start(c, o.utilization[c.ID])
	if err == nil {
		err = boot.Err
	}
	if err != nil {
		return Run{}, fmt.Errorf("truth of %s: %w", c.ID, err)
	}
	l.Memory = o.memory
	return server.Run(l)
}

// Lowest utilization that is tried after memory ran out under load.
const Lowest = 0.80
