package uniform

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/sim"
)

// twin is a sim.Engine that is asked as an Engine is.
type twin struct {
	*sim.Engine
	shape  Shape
	blocks []uint64
	out    map[uint64]int
	base   uint64
}

// machine is a small GPU with a small model.
func machine(t interface{ Fatal(...any) }, o sim.Options) sim.Config {
	h, err := sim.HardwareNamed("a10-like")
	if err != nil {
		t.Fatal(err)
	}
	m, err := sim.ModelNamed("tiny")
	if err != nil {
		t.Fatal(err)
	}
	return sim.Config{Hardware: h, Model: m, Options: o, Seed: 1, Noise: 0.05}
}

// withBlocks lowers the utilization until there are only so many, so that loads preempt.
func withBlocks(t *rapid.T, c *sim.Config, want int) {
	m, err := sim.NewMachine(*c)
	if err != nil {
		t.Fatal(err)
	}
	perBlock := m.Memory().KVCache / float64(m.Memory().Blocks)
	c.Options.Utilization -= float64(m.Memory().Blocks-want) * perBlock / m.Memory().Total
	if m, err = sim.NewMachine(*c); err != nil {
		t.Fatal(err)
	}
	if got := m.Memory().Blocks; got < want-1 || got > want+1 {
		t.Fatalf("%d blocks, want %d", got, want)
	}
}

func (w *twin) submit(t *rapid.T, at time.Duration) {
	id := w.base + uint64(len(w.out))
	w.out[id] = 0
	if err := w.Submit(sim.Request{ID: id, Prompt: w.shape.Prompt, MaxTokens: w.shape.Output, Blocks: w.blocks}, at); err != nil {
		t.Fatal(err)
	}
}

func (w *twin) step(until time.Duration) (Progress, error) {
	var p Progress
	for {
		s, err := w.Step()
		if err != nil {
			return p, err
		}
		for _, tok := range s.Tokens {
			if w.out[tok.ID]++; w.out[tok.ID] == 1 {
				p.First = append(p.First, int(tok.ID-w.base))
			}
			if tok.Last {
				p.Last = append(p.Last, int(tok.ID-w.base))
			}
		}
		if p.End = s.End; len(p.First)+len(p.Last) > 0 || p.End >= until {
			return p, nil
		}
	}
}

// The benchmark of the tuner believes this engine, so it must be sim's: in every time and every order, through preemption, a shared
// prefix and aborts.
func TestTimesAreThoseOfSimToTheNanosecond(t *testing.T) {
	preempted, hits := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := sim.Options{
			TensorParallel: 1, Utilization: 0.9, MaxSeqs: rapid.IntRange(1, 16).Draw(t, "seqs"),
			PrefixCaching: rapid.IntRange(0, 3).Draw(t, "caching") > 0,
		}
		o.MaxTokens = o.MaxSeqs + rapid.IntRange(0, 300).Draw(t, "budget above seqs")
		shape := Shape{Prompt: rapid.IntRange(1, 200).Draw(t, "prompt"), Output: rapid.IntRange(1, 120).Draw(t, "output")}
		shape.Prefix = rapid.IntRange(0, shape.Prompt-1).Draw(t, "prefix")
		o.MaxLength = shape.Prompt + shape.Output
		c := machine(t, o)
		withBlocks(t, &c, blocksFor(o.MaxLength)+1+rapid.IntRange(0, 40).Draw(t, "blocks"))
		engine, err := sim.New(c)
		if err != nil {
			t.Fatal(err)
		}
		u, err := New(c, shape)
		if err != nil {
			t.Fatal(err)
		}
		w := &twin{Engine: engine, shape: shape, out: map[uint64]int{}}
		for i := range shape.Prefix / sim.BlockSize {
			w.blocks = append(w.blocks, uint64(i)+1)
		}
		for range rapid.IntRange(1, 3).Draw(t, "loads") {
			at := u.Now()
			n := rapid.IntRange(1, 40).Draw(t, "requests")
			for range n {
				at += time.Duration(rapid.SampledFrom([]int{0, 0, 1, 5, 30, 400}).Draw(t, "gap")) * time.Millisecond
				u.Submit(at)
				w.submit(t, at)
			}
			steps := rapid.SampledFrom([]int{10, 1 << 30}).Draw(t, "steps")
			for range steps {
				until := u.Now() + time.Duration(rapid.IntRange(0, 20).Draw(t, "until"))*time.Millisecond
				got, err := u.Step(until)
				want, wantErr := w.step(until)
				if !errors.Is(err, wantErr) {
					t.Fatalf("ended with %v, want %v", err, wantErr)
				}
				if err != nil {
					break
				}
				if got.End != want.End {
					t.Fatalf("the step ends at %v, want %v", got.End, want.End)
				}
				if diff := cmp.Diff([][]int{want.First, want.Last}, [][]int{append([]int(nil), got.First...), append([]int(nil), got.Last...)}); diff != "" {
					t.Fatalf("first and last tokens at %v (-want +got):\n%s", got.End, diff)
				}
				if got, want := 1-float64(u.free)/float64(u.capacity), engine.Stats().KVUsage; got != want {
					t.Fatalf("the KV cache is %.3f full at %v, want %.3f", got, u.Now(), want)
				}
			}
			preempted += engine.Stats().Preemptions
			hits += engine.Stats().CacheHits
			u.Clear()
			for id := range w.out {
				w.Abort(id)
			}
			w.ResetPrefixCache()
			w.base += uint64(len(w.out))
			clear(w.out)
		}
	})
	if preempted == 0 || hits == 0 {
		t.Errorf("%d preemptions, %d hits: the property says nothing about one of them", preempted, hits)
	}
}

func TestMemoryRunsOutAsInSim(t *testing.T) {
	c := machine(t, sim.Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 2048, MaxSeqs: 64, MaxTokens: 2048})
	c.NoHeadroom = true
	u, err := New(c, Shape{Prompt: 500, Output: 3})
	if err != nil {
		t.Fatal(err)
	}
	u.Submit(0)
	var died *sim.StartError
	if _, err := u.Step(0); !errors.As(err, &died) || !died.Memory {
		t.Errorf("got %v", err)
	}
}

func BenchmarkObservation(b *testing.B) {
	c := machine(b, sim.Options{TensorParallel: 1, Utilization: 0.9, MaxLength: 2048, MaxSeqs: 256, MaxTokens: 2048})
	for b.Loop() {
		u, err := New(c, Shape{Prompt: 1800, Output: 20})
		if err != nil {
			b.Fatal(err)
		}
		for range 1000 {
			u.Submit(0)
		}
		for {
			if _, err := u.Step(1 << 62); err != nil {
				break
			}
		}
	}
}
