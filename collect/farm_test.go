package collect

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// farm is the nodes of a world. Jobs go to them in turn, past those that they shall avoid.
type farm struct {
	names []string
	slow  map[string]float64 // by how much more time they take
	hot   map[string]bool    // their GPUs slow down under load
	at    map[string]string  // by job
	noise float64
	rng   *rand.Rand
	next  int
}

func newFarm(n int) *farm {
	f := &farm{slow: map[string]float64{}, hot: map[string]bool{}, at: map[string]string{}, noise: 0.01, rng: rand.New(rand.NewPCG(1, 2))}
	for i := range n {
		f.names = append(f.names, fmt.Sprintf("n%d", i+1))
	}
	return f
}

// placed is the node of a job.
func (w *world) placed(j record.Job) string {
	f := w.farm
	if f == nil {
		return "n1"
	}
	for f.at[j.ID] == "" {
		name := f.names[f.next%len(f.names)]
		if f.next++; !slices.Contains(w.follow[j.ID].Avoid, name) {
			f.at[j.ID] = name
		}
	}
	return f.at[j.ID]
}

// factor is how much longer everything takes on the node of a job.
func (w *world) factor(j record.Job) float64 {
	if w.farm == nil {
		return 1
	}
	return 1 + w.farm.slow[w.placed(j)]
}

// check is what an agent learns of its node.
func (w *world) check(j record.Job, dir record.AttemptDir) {
	if w.farm == nil || j.Kind != record.KindCell {
		return
	}
	times := func(ms float64) float64 { return ms * w.factor(j) * (1 + w.farm.noise*w.farm.rng.NormFloat64()) }
	h := record.Health{Job: j.ID, Node: w.placed(j), Check: &record.Check{Requests: 8, TPOT: times(33), TTFT: times(20)}}
	if w.farm.hot[h.Node] {
		h.Loaded = []record.GPU{{Index: 2, Throttle: []string{record.ThrottlePowerCap, record.ThrottleHotHardware}}}
	}
	w.must(fsx.PublishJSON(dir.Health(), h))
}

// at is the curve on a node on which everything takes longer.
func (c curve) at(factor float64) curve {
	c.throughput, c.meets = c.throughput/factor, int(float64(c.meets)/factor)
	return c
}
