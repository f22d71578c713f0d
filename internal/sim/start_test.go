package sim

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// The texts were printed by vLLM 0.20.2 on an H200.
func TestFailedStartsReadLikeTheRealOnes(t *testing.T) {
	for _, tc := range []struct {
		name        string
		held, util  float64
		length      int
		late        bool
		want, class string
	}{
		{
			name: "memory held by another process", held: 130.52, util: 0.98, length: 2048, class: "ValueError",
			want: "Free memory on device cuda:0 (8.77/139.8 GiB) on startup is less than desired GPU memory utilization (0.98, 137.0 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
		},
		{
			name: "60 GiB held", held: 60.52, util: 0.9, length: 2048, class: "ValueError",
			want: "Free memory on device cuda:0 (78.77/139.8 GiB) on startup is less than desired GPU memory utilization (0.9, 125.82 GiB).",
		},
		{
			name: "all of it", util: 1, length: 2048, class: "ValueError",
			want: "Free memory on device cuda:0 (139.29/139.8 GiB) on startup is less than desired GPU memory utilization (1.0, 139.8 GiB).",
		},
		{name: "too little", util: 0.10, length: 2048, late: true, class: "ValueError", want: "No available memory for the cache blocks."},
		{name: "too long", util: 0.15, length: 131072, late: true, class: "ValueError", want: "max seq len (131072), (16.0 GiB KV cache is needed, which is larger than the available KV cache memory (4."},
	} {
		c := h200(256, 8192)
		c.HeldGiB, c.Options.Utilization, c.Options.MaxLength = tc.held, tc.util, tc.length
		_, err := New(c)
		var start *StartError
		if !errors.As(err, &start) {
			t.Errorf("%s: started (%v)", tc.name, err)
			continue
		}
		if !strings.Contains(start.Message, tc.want) || start.Type != tc.class || start.Late != tc.late || !start.Memory {
			t.Errorf("%s: got %+v\nwant %s: %s", tc.name, start, tc.class, tc.want)
		}
	}
}

func TestAModelThatDoesNotFitIsACUDAError(t *testing.T) {
	h, _ := HardwareNamed("a10-like")
	m, _ := ModelNamed("70b")
	_, err := New(Config{Hardware: h, Model: m, Options: DefaultOptions(h, m)})
	var start *StartError
	if !errors.As(err, &start) || start.Type != "torch.OutOfMemoryError" || !strings.HasPrefix(start.Message, "CUDA out of memory.") {
		t.Errorf("got %v", err)
	}
}

func TestWrongFlagsAreNoMatterOfMemory(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"budget below sequences": func(o *Options) { o.MaxTokens = o.MaxSeqs - 1 },
		"no sequences":           func(o *Options) { o.MaxSeqs = 0 },
		"utilisation 1.5":        func(o *Options) { o.Utilization = 1.5 },
		"utilisation NaN":        func(o *Options) { o.Utilization = math.NaN() },
		"longer than the model":  func(o *Options) { o.MaxLength = 1 << 20 },
		"heads do not divide":    func(o *Options) { o.TensorParallel = 5 },
	} {
		c := h200(64, 512)
		change(&c.Options)
		_, err := New(c)
		var start *StartError
		if !errors.As(err, &start) || start.Memory {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMemoryIsDividedAsMeasured(t *testing.T) {
	for _, tc := range []struct{ util, kvGiB, tokens float64 }{
		{0.92, 111.01, 909408}, {0.90, 109.2, 894992}, {0.99, 121.7, 997104},
	} {
		c := h200(256, 8192)
		c.Options.Utilization = tc.util
		e, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		m := e.Memory()
		if math.Abs(m.KVCache/tc.kvGiB-1) > 0.02 || math.Abs(float64(m.KVTokens)/tc.tokens-1) > 0.02 {
			t.Errorf("at %v: %.2f GiB, %d tokens of KV cache, measured %.2f and %.0f", tc.util, m.KVCache, m.KVTokens, tc.kvGiB, tc.tokens)
		}
	}
	less := h200(256, 2048)
	less.Options.Utilization = 0.92
	a, _ := New(less)
	less.Options.MaxTokens = 32768
	b, _ := New(less)
	less.Options.MaxTokens, less.Options.MaxSeqs = 2048, 16
	c, _ := New(less)
	if !(b.Memory().Blocks < a.Memory().Blocks && a.Memory().Blocks < c.Memory().Blocks) {
		t.Errorf("blocks %d with a large budget, %d with a small one, %d with few sequences: must grow", b.Memory().Blocks, a.Memory().Blocks, c.Memory().Blocks)
	}
}

func TestStartsTakeAsLongAsMeasured(t *testing.T) {
	eager := h200(256, 8192)
	eager.Options.Eager = true
	for _, tc := range []struct {
		name     string
		c        Config
		warm     bool
		low, hig float64
	}{
		{"cold", h200(256, 8192), false, 49, 60},
		{"warm", h200(256, 8192), true, 32, 37},
		{"eager", eager, true, 25, 29},
	} {
		if got := StartTimes(tc.c, tc.warm, true).Total().Seconds(); got < tc.low || got > tc.hig {
			t.Errorf("%s: %.1f s, want %v to %v", tc.name, got, tc.low, tc.hig)
		}
	}
	s := StartTimes(h200(256, 8192), false, true)
	if early, late := s.Imports+s.Process, s.Imports+s.Process+s.Weights+s.Profiling; early < 24*time.Second || late > 30*time.Second {
		t.Errorf("failures after %v and %v, want 25 to 30 s", early, late)
	}
}

func TestCellsShareACompileCacheOnlyByBudgetAndGraphs(t *testing.T) {
	key := func(seqs, tokens int, util float64) string {
		c := h200(seqs, tokens)
		c.Options.Utilization = util
		return CompileKey(c)
	}
	if key(256, 2048, 0.9) != key(512, 2048, 0.98) {
		t.Error("256 and 512 sequences have the same graphs and must share")
	}
	if key(32, 2048, 0.9) == key(128, 2048, 0.9) || key(32, 2048, 0.9) == key(32, 512, 0.9) {
		t.Error("different graphs or budgets must not share")
	}
}

func TestModelsAreKnownByNameAndByConfiguration(t *testing.T) {
	for name, want := range map[string]string{
		"meta-llama/Llama-3.1-8B-Instruct": "8b", "meta-llama/Llama-3.1-70B-Instruct": "70b", "some/model": "8b", "site/models/tiny": "tiny",
	} {
		if got := GuessModel(name).Name; got != want {
			t.Errorf("%s: guessed %s, want %s", name, got, want)
		}
	}
	got, err := ParseModel([]byte(`{"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_hidden_layers":32,
		"num_attention_heads":32,"num_key_value_heads":8,"vocab_size":128256,"max_position_embeddings":131072}`))
	if err != nil {
		t.Fatal(err)
	}
	want, _ := ModelNamed("8b")
	want.Name = "llama"
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if w := got.WeightsGiB(); math.Abs(w-14.99) > 0.1 {
		t.Errorf("weights of %.2f GiB, measured 14.99", w)
	}
}

func FuzzParseModel(f *testing.F) {
	f.Add([]byte(`{"hidden_size":512,"intermediate_size":1536,"num_hidden_layers":8,"num_attention_heads":8,"vocab_size":32000,"max_position_embeddings":1024}`))
	f.Add([]byte(`{"hidden_size":-1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseModel(data)
		if err == nil && !(m.WeightsGiB() > 0 && m.kvBytes() > 0) {
			t.Errorf("accepted %+v", m)
		}
	})
}

// Two stages have half the layers each, so half the weights and twice the tokens of cache and more; a batch still passes through all
// layers, and once from GPU to GPU.
func TestAPipelineHalvesMemoryAndNotTime(t *testing.T) {
	one := h200(32, 2048)
	one.Noise = 0
	two := one
	two.Options.PipelineParallel = 2
	a, err := NewMachine(one)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewMachine(two)
	if err != nil {
		t.Fatal(err)
	}
	if x, y := a.Memory(), b.Memory(); y.Weights != x.Weights/2 || y.KVTokens <= 2*x.KVTokens {
		t.Errorf("one stage: %+v\ntwo:       %+v", x, y)
	}
	for _, tokens := range []int{1, 2048} {
		var batch Batch
		batch.Add(tokens, 0, true)
		x, err1 := a.Cost(batch)
		y, err2 := b.Cost(batch)
		if err1 != nil || err2 != nil || y <= x || y > x+x/10 {
			t.Errorf("a step of %d tokens takes %v in one stage and %v in two (%v, %v)", tokens, x, y, err1, err2)
		}
	}
	if CompileKey(one) == CompileKey(two) {
		t.Error("stages of other layers share their compiled code")
	}
}
