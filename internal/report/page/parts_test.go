package page

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"pgregory.net/rapid"

	"vtune/internal/record"
)

func TestNoLoadBeatsTheFrontAndEveryOtherIsBeaten(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []mark
		for i := range rapid.IntRange(0, 30).Draw(rt, "loads") {
			m := mark{Cell: i, Observation: &record.Observation{}}
			m.Load.Rate = 1
			m.Metrics.RequestThroughput, m.Value = float64(rapid.IntRange(1, 8).Draw(rt, "throughput")), float64(rapid.IntRange(1, 8).Draw(rt, "latency"))
			m.Verdict = rapid.SampledFrom([]record.Verdict{record.Pass, record.Miss, record.Invalid}).Draw(rt, "verdict")
			m.Emulated = rapid.Bool().Draw(rt, "emulated")
			all = append(all, m)
		}
		on := map[int]bool{}
		best := front(all)
		for i, m := range best {
			on[m.Cell] = true
			if i > 0 && (m.Metrics.RequestThroughput <= best[i-1].Metrics.RequestThroughput || m.Value <= best[i-1].Value) {
				rt.Fatalf("the front is no line: %v", best)
			}
		}
		// As good in both and better in none is no better.
		asGood := func(a, b mark) bool {
			return a.Metrics.RequestThroughput >= b.Metrics.RequestThroughput && a.Value <= b.Value
		}
		for _, m := range all {
			if m.Verdict == record.Invalid || m.Emulated {
				if on[m.Cell] {
					rt.Fatalf("%v is no choice", m)
				}
				continue
			}
			beaten := false
			for _, f := range best {
				beaten = beaten || f.Cell != m.Cell && asGood(f, m)
				if on[m.Cell] && f.Cell != m.Cell && asGood(f, m) {
					rt.Fatalf("%v is on the front beside %v", m, f)
				}
			}
			if !on[m.Cell] && !beaten {
				rt.Fatalf("%v is not on the front, and nothing beats it", m)
			}
		}
	})
}

func TestALoadOfAllRequestsAtOnceIsOnTheFrontOnlyAmongItsKind(t *testing.T) {
	one := func(r record.Rate) mark {
		m := mark{Observation: &record.Observation{Load: record.Load{Rate: r}, Verdict: record.Pass}}
		m.Metrics.RequestThroughput, m.Value = 5, 10
		if r.IsInf() {
			m.Metrics.RequestThroughput = 9
		}
		return m
	}
	if got := front([]mark{one(record.Inf), one(2)}); len(got) != 1 || got[0].Load.Rate != 2 {
		t.Errorf("%v", got)
	}
	if got := front([]mark{one(record.Inf)}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestJobsOfALaneDoNotOverlapAndLanesAreNoMoreThanNeeded(t *testing.T) {
	begin := time.Unix(1e9, 0)
	rapid.Check(t, func(rt *rapid.T) {
		var st record.State
		for i := range rapid.IntRange(0, 20).Draw(rt, "jobs") {
			a := record.AttemptState{Job: fmt.Sprint(i), Node: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "node")}
			if rapid.IntRange(0, 9).Draw(rt, "begun") > 0 {
				a.StartedAt = begin.Add(time.Duration(rapid.IntRange(0, 50).Draw(rt, "start")) * time.Second)
				if rapid.IntRange(0, 9).Draw(rt, "ended") > 0 {
					a.EndedAt = a.StartedAt.Add(time.Duration(rapid.IntRange(1, 30).Draw(rt, "for")) * time.Second)
				}
			}
			st.Probe.Attempts = append(st.Probe.Attempts, a)
		}
		all, lanes := jobs(st)
		end := last(all).Add(time.Hour)
		until := func(j job) time.Time {
			if j.Finished.IsZero() {
				return end
			}
			return j.Finished
		}
		most := map[string]int{}
		for _, a := range all {
			if (a.Lane < 0) != a.Started.IsZero() || a.Lane >= 0 && lanes[a.Lane] != a.Node {
				rt.Fatalf("%+v in %v", a, lanes)
			}
			if a.Started.IsZero() {
				continue
			}
			at := 0
			for _, b := range all {
				if b.Started.IsZero() || b.Node != a.Node {
					continue
				}
				if !b.Started.After(a.Started) && until(b).After(a.Started) {
					at++
				}
				if a.Name != b.Name && a.Lane == b.Lane && a.Started.Before(until(b)) && b.Started.Before(until(a)) {
					rt.Fatalf("%+v and %+v overlap", a, b)
				}
			}
			most[a.Node] = max(most[a.Node], at)
		}
		if len(lanes) != most["a"]+most["b"] {
			rt.Fatalf("lanes %v, at once %v", lanes, most)
		}
	})
}

func TestABaselineIsNamedOnlyWhereTheDefaultsAreKnown(t *testing.T) {
	node := func(memory float64, gpu string) []record.NodeState {
		return []record.NodeState{{Node: "n", GPUs: []string{"1 x " + gpu}, Memory: memory}}
	}
	grid := []record.CellState{{Cell: record.Cell{ID: "s256-t2048", MaxNumSeqs: 256, MaxNumBatchedTokens: 2048}}, {Cell: record.Cell{ID: "s1024-t8192", MaxNumSeqs: 1024, MaxNumBatchedTokens: 8192}}}
	for _, c := range []struct {
		version string
		nodes   []record.NodeState
		server  record.Server
		cell    int
		words   string
	}{
		{"0.32.0", node(143771, "NVIDIA H200"), record.Server{System: "GPU"}, 1, "1024 and max_num_batched_tokens 8192."},
		{"0.32.0+sim", node(24564, "NVIDIA A10"), record.Server{System: "GPU"}, 0, "256 and max_num_batched_tokens 2048."},
		{"0.32.0", node(81920, "NVIDIA A100-SXM4-80GB"), record.Server{System: "GPU"}, 0, "256 and max_num_batched_tokens 2048."},
		{"0.32.0", nil, record.Server{System: "GPU"}, -1, "no node told"},
		{"0.10.2", node(143771, "NVIDIA H200"), record.Server{System: "GPU"}, -1, "not known for this version"},
		{"dev", node(143771, "NVIDIA H200"), record.Server{System: "GPU"}, -1, "not known for this version"},
		{"0.32.0", nil, record.Server{System: "TPU"}, -1, "depends on the accelerator"},
		{"0.32.0+cpu", nil, record.Server{System: "CPU", TensorParallel: 1}, -1, "128 with max_num_batched_tokens 2048, are not in the grid"},
		{"1.0.0", nil, record.Server{System: "CPU", TensorParallel: 4, MaxModelLen: 8}, -1, "512 with max_num_batched_tokens 4096, are not in the grid"},
	} {
		cell, words := baseline(record.State{ServerVersion: c.version, Nodes: c.nodes, Cells: grid}, c.server)
		if cell != c.cell || !strings.Contains(words, c.words) {
			t.Errorf("%s on %v: cell %d, %q", c.version, c.nodes, cell, words)
		}
	}
}

func TestAHistogramLosesNoValueInItsBins(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := hdrhistogram.New(1, int64(24*time.Hour/time.Microsecond), 3)
		n := rapid.IntRange(1, 200).Draw(rt, "values")
		for range n {
			if err := h.RecordValue(rapid.Int64Range(1, 1e8).Draw(rt, "µs")); err != nil {
				rt.Fatal(err)
			}
		}
		text, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		if err != nil {
			rt.Fatal(err)
		}
		s := spreads(map[string]string{"e2el": string(text)}, lenses(record.Policy{}))
		if len(s) != 1 {
			rt.Fatal("it is not read")
		}
		sum := int64(0)
		for i, b := range s[0].Bins {
			sum += b.Count
			if i > 0 && math.Abs(b.Low-s[0].Bins[i-1].High) > 1e-6*b.Low {
				rt.Fatalf("a gap before %v", b)
			}
		}
		if sum != int64(n) || len(s[0].Bins) > mostBins+2 {
			rt.Fatalf("%d of %d values in %d bins", sum, n, len(s[0].Bins))
		}
	})
}

func FuzzSpreads(f *testing.F) {
	f.Add("HISTFAAAAS942kSRwW3cMBRE")
	f.Add("")
	f.Fuzz(func(_ *testing.T, text string) {
		spreads(map[string]string{"e2el": text, "ttft": text}, lenses(record.Policy{}))
	})
}

func TestNumbersAreWrittenToTheirDigits(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{{0, "0"}, {1.04815, "1.048"}, {502034.4, "502034"}, {0.000123456, "0.0001235"}, {7000, "7000"}, {math.NaN(), "0"}, {-12.3456, "-12.35"}} {
		if got := sig(c.v, 4); got != c.want {
			t.Errorf("%g is %s, want %s", c.v, got, c.want)
		}
	}
}
