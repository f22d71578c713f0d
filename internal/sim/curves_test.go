package sim

import (
	"errors"
	"math"
	"testing"
)

var inf = math.Inf(1)

// h200 is a server as facts about a real one were measured: 8B, bf16.
func h200(seqs, tokens int) Config {
	h, _ := HardwareNamed("h200-like")
	m, _ := ModelNamed("8b")
	o := DefaultOptions(h, m)
	o.MaxSeqs, o.MaxTokens, o.MaxLength = seqs, tokens, 2048
	return Config{Hardware: h, Model: m, Options: o, Seed: 1, Noise: 0.02}
}

func observe(t *testing.T, c Config, l Load) Result {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Bench(e, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The measured numbers are of one H200 with vLLM 0.20.2.
func TestThroughputAtInfIsNearTheMeasuredOne(t *testing.T) {
	long := Load{Rate: inf, N: 300, Input: 1800, Output: 20}
	chat := Load{Rate: inf, N: 600, Input: 512, Output: 128}
	for _, tc := range []struct {
		seqs, tokens int
		load         Load
		measured     float64
	}{
		{32, 512, long, 18.27},
		{32, 2048, long, 20.52},
		{32, 8192, long, 20.77},
		{128, 2048, long, 20.48},
		{256, 512, long, 18.42},
		{256, 2048, long, 20.56},
		{256, 8192, long, 21.89},
		{32, 2048, chat, 28.9},
		{64, 2048, chat, 39.0},
		{256, 2048, chat, 50.26},
	} {
		got := observe(t, h200(tc.seqs, tc.tokens), tc.load).Throughput
		if math.Abs(got/tc.measured-1) > 0.15 {
			t.Errorf("%d x %d, %d in: %.2f req/s, measured %.2f", tc.seqs, tc.tokens, tc.load.Input, got, tc.measured)
		}
	}
}

func TestTheOrderOfCellsTurnsRoundUnderALatencyLimit(t *testing.T) {
	at18 := Load{Rate: 18, N: 100, Input: 1800, Output: 20}
	big, small := observe(t, h200(256, 8192), at18), observe(t, h200(256, 512), at18)
	if !(big.P99E2EL > 1.5*small.P99E2EL) {
		t.Errorf("at 18 req/s: P99 %.0f ms with 8192 tokens, %.0f ms with 512", big.P99E2EL, small.P99E2EL)
	}
	at18.Rate, at18.N = inf, 300
	if b, s := observe(t, h200(256, 8192), at18).Throughput, observe(t, h200(256, 512), at18).Throughput; !(b > 1.05*s) {
		t.Errorf("at inf: %.2f req/s with 8192 tokens, %.2f with 512", b, s)
	}
}

func TestMoreSequencesHelpUpToAKnee(t *testing.T) {
	chat := Load{Rate: inf, N: 400, Input: 128, Output: 128}
	var last float64
	var gains []float64
	for _, seqs := range []int{8, 16, 32, 64, 128, 256} {
		got := observe(t, h200(seqs, 2048), chat).Throughput
		if last > 0 {
			gains = append(gains, got/last)
		}
		last = got
	}
	if gains[0] < 1.7 {
		t.Errorf("8 to 16 sequences: %.2f times the throughput, want nearly twice", gains[0])
	}
	if end := gains[len(gains)-1]; end > 1.45 {
		t.Errorf("128 to 256 sequences: %.2f times the throughput, want little", end)
	}
	for i := 1; i < len(gains); i++ {
		if gains[i] > gains[i-1]+0.05 {
			t.Errorf("gains %.2f do not fall", gains)
		}
	}
}

func TestALargerBudgetCostsInterTokenLatency(t *testing.T) {
	at16 := Load{Rate: 16, N: 200, Input: 1800, Output: 20}
	last := 0.0
	for _, tokens := range []int{512, 2048, 8192} {
		got := observe(t, h200(256, tokens), at16).P99ITL
		if got < 1.2*last {
			t.Errorf("P99 ITL is %.1f ms with %d tokens, %.1f before", got, tokens, last)
		}
		last = got
	}
}

func TestLatencyGrowsWithTheRate(t *testing.T) {
	last := 0.0
	for _, rate := range []float64{2, 8, 14, 18, 22, 40} {
		got := observe(t, h200(256, 8192), Load{Rate: rate, N: 300, Input: 1800, Output: 20}).P99E2EL
		if got < last {
			t.Errorf("P99 is %.0f ms at %v req/s, %.0f at the rate before", got, rate, last)
		}
		last = got
	}
}

func TestTheEdgeOfMemoryPreempts(t *testing.T) {
	h, _ := HardwareNamed("a10-like")
	m, _ := ModelNamed("8b")
	o := Options{TensorParallel: 1, MaxSeqs: 128, MaxTokens: 2048, Utilization: 0.9, MaxLength: 4096, PrefixCaching: true}
	r := observe(t, Config{Hardware: h, Model: m, Options: o}, Load{Rate: inf, N: 100, Input: 500, Output: 1000})
	if r.Preemptions == 0 || r.Completed != 100 {
		t.Errorf("%d preemptions, %d of 100 completed", r.Preemptions, r.Completed)
	}
	o.MaxSeqs = 8
	if r := observe(t, Config{Hardware: h, Model: m, Options: o}, Load{Rate: inf, N: 30, Input: 500, Output: 1000}); r.Preemptions > 0 {
		t.Errorf("%d preemptions with few sequences", r.Preemptions)
	}
}

func TestMemoryRunsOutUnderLoadThoughTheStartWasFine(t *testing.T) {
	h, _ := HardwareNamed("a10-like")
	m, _ := ModelNamed("8b")
	try := func(utilization float64, tokens int) error {
		o := Options{TensorParallel: 1, MaxSeqs: 64, MaxTokens: tokens, Utilization: utilization, MaxLength: 4096, PrefixCaching: true}
		e, err := New(Config{Hardware: h, Model: m, Options: o})
		if err != nil {
			t.Fatalf("%v x %d does not start: %v", utilization, tokens, err)
		}
		_, err = Bench(e, Load{Rate: inf, N: 40, Input: 1800, Output: 20})
		return err
	}
	var oom *StartError
	if err := try(0.98, 8192); !errors.As(err, &oom) || oom.Type != "torch.OutOfMemoryError" {
		t.Errorf("0.98 x 8192: got %v, want an out of memory error", err)
	}
	if err := try(0.98, 2048); err != nil {
		t.Errorf("0.98 x 2048: %v", err)
	}
	if err := try(0.95, 8192); err != nil {
		t.Errorf("0.95 x 8192: %v", err)
	}
	if err := observeErr(h200(256, 8192), 0.99); err != nil {
		t.Errorf("an H200 at 0.99 survives 300 prompts in the real world, here: %v", err)
	}
}

func observeErr(c Config, utilization float64) error {
	c.Options.Utilization = utilization
	e, err := New(c)
	if err != nil {
		return err
	}
	_, err = Bench(e, Load{Rate: inf, N: 300, Input: 1800, Output: 20})
	return err
}

func TestTensorParallelismMakesStepsFasterAndModelsFit(t *testing.T) {
	h, _ := HardwareNamed("h100-like")
	m, _ := ModelNamed("70b")
	c := Config{Hardware: h, Model: m, Options: DefaultOptions(h, m)}
	c.Options.MaxLength = 4096
	if _, err := New(c); err == nil {
		t.Error("70B fits one H100")
	}
	l := Load{Rate: inf, N: 50, Input: 1000, Output: 100}
	c.Options.TensorParallel = 4
	four := observe(t, c, l)
	c.Options.TensorParallel = 8
	eight := observe(t, c, l)
	if gain := eight.Throughput / four.Throughput; gain < 1.2 || gain > 2 {
		t.Errorf("8 GPUs give %.2f times the throughput of 4", gain)
	}
}

func BenchmarkObservation(b *testing.B) {
	for b.Loop() {
		e, err := New(h200(256, 2048))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Bench(e, Load{Rate: inf, N: 1000, Input: 1800, Output: 20}); err != nil {
			b.Fatal(err)
		}
	}
}
