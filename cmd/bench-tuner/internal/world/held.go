package world

import (
	"math"

	"vtune/internal/verdict"
)

// gauge watches a long run at a finite rate and ends it as soon as it is settled whether the rate is held: whether the share of
// requests beyond the limit is within the bound, and the queue does not grow without end. A limit that is lenient enough is met
// for a long time by a server that falls behind; such a rate is not sustained.
type gauge struct {
	limitMS, bound, rate float64
	n                    int // requests of the whole run

	beyond, answered int
	slowest, worst   float64 // latency since the last mark, and of the stretch before it
	marks            []mark
	decided          bool
	grows            bool
}

// mark is the run after another thirtieth of its requests were due.
type mark struct {
	due, answered int
	at            float64
}

const stretches = 30

func (g *gauge) share() float64 { return float64(g.beyond) / math.Max(1, float64(g.answered)) }

func (g *gauge) held() bool { return g.share() <= g.bound && !g.grows }

// each is told of every answer. Once more are beyond the limit than may be of the whole run, nothing can mend it.
func (g *gauge) each(r verdict.Request) bool {
	g.answered++
	g.slowest = max(g.slowest, r.E2EL)
	if r.E2EL > g.limitMS {
		g.beyond++
	}
	g.decided = float64(g.beyond) > g.bound*float64(g.n)
	return g.decided
}

// ask looks at the end of every stretch. The nearer the share is to the bound, the longer it takes.
func (g *gauge) ask(requests []verdict.Request, answered int, now float64) bool {
	if len(requests)*stretches < (len(g.marks)+1)*g.n {
		return false
	}
	g.marks = append(g.marks, mark{len(requests), answered, now})
	g.worst, g.slowest = g.slowest, 0
	k := len(g.marks)
	half, last := g.marks[(k-1)/2], g.marks[k-1]
	// Fewer answers than the rate asks for and more requests that wait: either alone may be how the arrivals fell.
	behind := g.rate*(last.at-half.at) - float64(last.answered-half.answered)
	growth := float64(last.due - last.answered - (half.due - half.answered))
	h := float64(last.due - half.due)
	// What is in the server at two moments differs by chance, by about the root of it.
	falls := min(behind, growth) - 4.5*math.Sqrt(float64(half.due-half.answered+1))
	g.grows = falls > 0.003*math.Sqrt(longest/float64(g.n))*h
	if g.grows && falls > 0.1*h && k > stretches/3 {
		return true
	}
	far := math.Sqrt(3_000 / math.Max(1, float64(answered)))
	share := g.share() / g.bound
	switch {
	case answered < 3_000:
		return false
	case share > 1+3*far:
		return true
	}
	// Even if latency grows as it could have from the start, the limit will be met.
	safe := g.worst*float64(g.n)/float64(last.due) <= g.limitMS
	return share < 1-0.75*far && safe && !g.grows
}
