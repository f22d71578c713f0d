// Package fleet compares the nodes of a run: which of them is slow, or hot, and what was measured there; and says what is to be
// measured again because of it. A node that is not as good as the others gives numbers that are true of it alone. Pure, but for the
// records of what is asked for.
package fleet

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"vtune/internal/record"
	"vtune/internal/stat"
)

// Job is what is known of one of a run's jobs and its node.
type Job struct {
	record.Job
	Claim  *record.Attempt // nil: it has not begun
	Health *record.Health  // nil: nothing was learned
}

// When a node is an outlier: when its typical check is above the median of the other nodes' by more than a floor and by more than
// spreads times the spread. On one H200 two starts of a server differed by up to 3.4 %, so a tenth is three times what is usual.
// The time to the first token has the client and the CPU in it, whose share nobody has measured; its floor is twice as high, and
// enough to see a GPU at half its clock.
const (
	floorTPOT = 0.10
	floorTTFT = 0.20
	spreads   = 5
	// fewestNodes that can tell which of them is wrong.
	fewestNodes = 3
	// onlyOnce widens the margin of a node that was checked once: it may have met a moment of trouble.
	onlyOnce = 2
)

// lag is by how much a node's times are above the others'.
type lag struct {
	share       float64 // 0.2: a fifth
	own, others float64 // ms
}

// lags are those of the nodes that are outliers, by the checks made on each, in ms. Pure, and of the order of its arguments free.
func lags(checks map[string][]float64, floor float64) map[string]lag {
	slow := map[string]lag{}
	if len(checks) < fewestNodes {
		return slow
	}
	noise, medians := within(checks), map[string]float64{}
	for node, times := range checks {
		medians[node] = typical(times)
	}
	for node, own := range medians {
		var others []float64
		for other, m := range medians {
			if other != node {
				others = append(others, m)
			}
		}
		usual := median(others)
		if l, beyond := behind(own, usual, max(noise, deviation(others, usual)), len(checks[node]), floor); beyond {
			slow[node] = l
		}
	}
	return slow
}

// behind compares a node's median with what is usual. spread is relative.
func behind(own, usual, spread float64, checks int, floor float64) (l lag, beyond bool) {
	if !(usual > 0) {
		return l, false
	}
	margin := max(floor, spreads*spread)
	if checks == 1 {
		margin *= onlyOnce
	}
	l = lag{own/usual - 1, own, usual}
	return l, l.share > margin
}

// apart are the slowest and the fastest node where they differ by more than their noise explains and no node is an outlier: one of
// them is not as it should be, and nobody can tell which. With two nodes that is all that can be said.
func apart(checks map[string][]float64, floor float64) (slowest, fastest string, l lag, yes bool) {
	for _, node := range slices.Sorted(maps.Keys(checks)) {
		if slowest == "" || typical(checks[node]) > typical(checks[slowest]) {
			slowest = node
		}
		if fastest == "" || median(checks[node]) < median(checks[fastest]) {
			fastest = node
		}
	}
	if slowest == fastest {
		return "", "", l, false
	}
	l, yes = behind(typical(checks[slowest]), median(checks[fastest]), within(checks), min(len(checks[slowest]), len(checks[fastest])), floor)
	return slowest, fastest, l, yes
}

// within is how much checks on one node differ: the median deviation from their node's median, relative. Of nodes checked once
// nothing is known.
func within(checks map[string][]float64) float64 {
	var deviations []float64
	for _, times := range checks {
		if m := median(times); len(times) > 1 && m > 0 {
			for _, t := range times {
				deviations = append(deviations, math.Abs(t-m)/m)
			}
		}
	}
	return median(deviations)
}

// deviation is the median absolute deviation from the median, relative to it.
func deviation(values []float64, from float64) float64 {
	var deviations []float64
	for _, v := range values {
		deviations = append(deviations, math.Abs(v-from)/from)
	}
	return median(deviations)
}

// typical of a node's checks: their median, of an even number the lower one of the two in the middle. A moment of trouble makes a check
// slower and never faster, so that of two checks the faster one says more of the node.
func typical(times []float64) float64 {
	if len(times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(times))[(len(times)-1)/2]
}

func median(values []float64) float64 {
	return stat.Percentile(slices.Sorted(slices.Values(values)), 50)
}

// The reasons for which a GPU's clocks are down and that have to do with its node. A power cap is how a GPU under full load is kept
// within its limit everywhere; a hardware slowdown alone may be a change of clocks that was under way.
var ofTheNode = []string{record.ThrottleThermal, record.ThrottleHotHardware, record.ThrottlePowerBrake}

// throttled is what an attempt's GPUs said that makes its numbers theirs alone.
func throttled(j Job) (words []string) {
	gpus := func(of []record.GPU) {
		for _, g := range of {
			for _, r := range ofTheNode {
				if slices.Contains(g.Throttle, r) {
					words = append(words, fmt.Sprintf("%s of GPU %d", r, g.Index))
				}
			}
			if g.Uncorrected > 0 {
				words = append(words, fmt.Sprintf("uncorrected memory errors of GPU %d", g.Index))
			}
		}
	}
	if j.Claim != nil && j.Claim.Hardware != nil {
		var errors []record.GPU // the clocks of a GPU without a load mean nothing
		for _, g := range j.Claim.Hardware.GPUs {
			errors = append(errors, record.GPU{Index: g.Index, Uncorrected: g.Uncorrected})
		}
		gpus(errors)
	}
	if j.Health != nil {
		gpus(j.Health.Loaded)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// nodeOf is where a job ran; empty: nowhere yet.
func nodeOf(j Job) string {
	if j.Claim == nil {
		return ""
	}
	return j.Claim.Node
}

// comparison is what the run's jobs say of its nodes.
type comparison struct {
	nodes    map[string]*record.NodeState
	warnings []warning
}

// warning is what a reader must know of a node.
type warning struct{ node, words string }

func compare(jobs []Job) comparison {
	c := comparison{nodes: map[string]*record.NodeState{}}
	tpot, ttft := map[string][]float64{}, map[string][]float64{}
	seen := map[string]map[string]string{} // node: GPU: name
	for _, j := range jobs {
		name := nodeOf(j)
		if name == "" {
			continue
		}
		n := c.nodes[name]
		if n == nil {
			n = &record.NodeState{Node: name}
			c.nodes[name], seen[name] = n, map[string]string{}
		}
		if h := j.Claim.Hardware; h != nil {
			n.Driver, n.CPU, n.Kernel = h.Driver, h.CPU, h.Kernel
			for _, g := range h.GPUs {
				seen[name][fmt.Sprint(g.Index, g.UUID)] = g.Name
				if g.MemoryMiB > 0 && (n.Memory == 0 || g.MemoryMiB < n.Memory) {
					n.Memory = g.MemoryMiB
				}
			}
		}
		if j.Health != nil && j.Health.Check != nil && j.Health.Check.TPOT > 0 {
			n.Checks++
			tpot[name], ttft[name] = append(tpot[name], j.Health.Check.TPOT), append(ttft[name], j.Health.Check.TTFT)
		}
		n.Throttled = append(n.Throttled, throttled(j)...)
	}
	for name, n := range c.nodes {
		n.GPUs, n.TPOT, n.TTFT = kinds(seen[name]), typical(tpot[name]), typical(ttft[name])
		slices.Sort(n.Throttled)
		n.Throttled = slices.Compact(n.Throttled)
	}
	c.judge(tpot, floorTPOT, "a token")
	c.judge(ttft, floorTTFT, "to the first token")
	return c
}

// kinds are names of GPUs, each with how many there are.
func kinds(gpus map[string]string) (names []string) {
	count := map[string]int{}
	for _, name := range gpus {
		count[name]++
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		names = append(names, fmt.Sprintf("%d x %s", count[name], name))
	}
	return names
}

func (c *comparison) judge(checks map[string][]float64, floor float64, what string) {
	slow := lags(checks, floor)
	for _, name := range slices.Sorted(maps.Keys(slow)) {
		l := slow[name]
		n := c.nodes[name]
		before := n.Slow
		if n.Slow = max(before, l.share); before > 0 {
			continue // one sentence about a node is enough
		}
		c.warnings = append(c.warnings, warning{name, fmt.Sprintf(
			"%s is %.0f %% slower than the run's other nodes (self-check: %.3g ms %s, others %.3g ms)", name, 100*l.share, l.own, what, l.others)})
	}
	if len(c.warnings) > 0 {
		return
	}
	if slowest, fastest, l, yes := apart(checks, floor); yes {
		c.warnings = append(c.warnings, warning{slowest, fmt.Sprintf(
			"%s is %.0f %% slower than %s (self-check: %.3g ms %s and %.3g ms), and the run's nodes do not tell which of them is as it should be",
			slowest, 100*l.share, fastest, l.own, what, l.others)})
	}
}

// marked reports whether what a job measured is held against its node.
func (c comparison) marked(j Job) bool {
	n := c.nodes[nodeOf(j)]
	return n != nil && n.Slow > 0 || len(throttled(j)) > 0
}

// Mark puts into the state what is known of the nodes: beside each attempt, for each node, and in words for whoever reads the answer.
func Mark(st *record.State, all []Job) {
	c := compare(all)
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		if n := *c.nodes[name]; n.Checks > 0 || n.CPU != "" || len(n.GPUs) > 0 {
			st.Nodes = append(st.Nodes, n)
		}
	}
	jobs := map[string]Job{}
	for _, j := range all {
		jobs[j.ID] = j
	}
	attempts := func(w *record.WorkState) {
		for i := range w.Attempts {
			a := &w.Attempts[i]
			if n := c.nodes[nodeOf(jobs[a.Job])]; n != nil {
				a.Slow, a.Throttled = n.Slow, throttled(jobs[a.Job])
			}
		}
	}
	attempts(&st.Probe)
	attempts(&st.Profile)
	made := Made(all)
	there := map[string][]string{} // cells by the node that their numbers come from
	for i := range st.Cells {
		cell := &st.Cells[i]
		attempts(&cell.WorkState)
		for _, j := range made.Of(*cell) {
			if node := nodeOf(j); c.marked(j) && !slices.Contains(there[node], cell.ID) {
				there[node] = append(there[node], cell.ID)
			}
		}
	}
	for _, w := range c.warnings {
		st.Warnings = append(st.Warnings, w.words+measured(there[w.node]))
	}
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		if n := c.nodes[name]; len(n.Throttled) > 0 {
			st.Warnings = append(st.Warnings, fmt.Sprintf("%s had %s%s", name, strings.Join(n.Throttled, ", "), measured(there[name])))
		}
	}
}

// measured says which cells' numbers come from a node.
func measured(cells []string) string {
	const some = 8
	switch n := len(cells); {
	case n == 0:
		return ""
	case n > some:
		return fmt.Sprintf(": %s and %d more were measured there", strings.Join(cells[:some], ", "), n-some)
	case n == 1:
		return ": " + cells[0] + " was measured there"
	default:
		return ": " + strings.Join(cells, ", ") + " were measured there"
	}
}

// Maker finds the job that made an observation, by the cell, whether on its own server, and the attempt.
type Maker map[load]Job

type load struct {
	cell     string
	emulated bool
	attempt  int
}

// Made is who made what of a run.
func Made(jobs []Job) Maker {
	m := Maker{}
	for _, j := range jobs {
		if j.Kind != record.KindCell {
			continue
		}
		m[load{j.Cell, false, j.Attempt}] = j
		for _, c := range j.Emulates {
			m[load{c, true, j.Attempt}] = j
		}
	}
	return m
}

// Of are the jobs whose observations a cell's standing is made of: those of its own server, or where it has shown nothing, of the
// server that stood for it.
func (m Maker) Of(c record.CellState) (jobs []Job) {
	own := slices.ContainsFunc(c.Observations, func(o record.Observation) bool { return !o.Emulated })
	for _, o := range c.Observations {
		j, known := m[load{c.ID, !own, o.Attempt}]
		if known && o.Emulated != own && !slices.ContainsFunc(jobs, func(of Job) bool { return of.ID == j.ID }) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}
