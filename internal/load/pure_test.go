package load

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vtune/internal/load/wire"
)

func TestTheLastArrivalIsWhereTheRateSaysWhenRescaled(t *testing.T) {
	for _, burstiness := range []float64{0, 0.3, 1, 4, math.Inf(1)} {
		w := Workload{Requests: 40, Rate: 8, Burstiness: burstiness, Rescale: true, Seed: 3}
		due := Arrivals(w)
		if last := due[len(due)-1]; (last - 5*time.Second).Abs() > time.Microsecond {
			t.Errorf("burstiness %v: the last of 40 requests at 8/s is due at %v", burstiness, last)
		}
		if !slices.IsSorted(due) {
			t.Errorf("burstiness %v: arrivals are out of order", burstiness)
		}
		if diff := cmp.Diff(due, Arrivals(w)); diff != "" {
			t.Errorf("burstiness %v: the same seed differs:\n%s", burstiness, diff)
		}
		w.Seed++
		if slices.Equal(due, Arrivals(w)) != math.IsInf(burstiness, 1) {
			t.Errorf("burstiness %v: another seed is wrong about being another pattern", burstiness)
		}
	}
}

func TestIntervalsHaveTheMeanAndSpreadOfTheirDistribution(t *testing.T) {
	for _, tc := range []struct{ burstiness, variation float64 }{
		{0.25, 2}, {1, 1}, {4, 0.5}, {math.Inf(1), 0},
	} {
		due := Arrivals(Workload{Requests: 40000, Rate: 10, Burstiness: tc.burstiness, Seed: 1})
		mean, square, last := 0.0, 0.0, time.Duration(0)
		for _, at := range due {
			gap := (at - last).Seconds() * 10
			mean += gap / float64(len(due))
			square += gap * gap / float64(len(due))
			last = at
		}
		variation := math.Sqrt(max(0, square-mean*mean)) / mean
		if math.Abs(mean-1) > 0.05 || math.Abs(variation-tc.variation) > 0.08 {
			t.Errorf("burstiness %v: mean %.3f, coefficient of variation %.3f, want 1 and %v", tc.burstiness, mean, variation, tc.variation)
		}
	}
}

func TestAtInfEverythingIsDueAtOnce(t *testing.T) {
	for i, at := range Arrivals(Workload{Requests: 5, Rate: math.Inf(1), Rescale: true}) {
		if at != 0 {
			t.Errorf("request %d is due at %v", i, at)
		}
	}
}

func TestPromptsShareExactlyTheirPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Workload{
			Requests: rapid.IntRange(2, 400).Draw(t, "requests"), Seed: rapid.Uint64().Draw(t, "seed"),
			PrefixLen: rapid.IntRange(0, 40).Draw(t, "prefix"), InputLen: rapid.IntRange(9, 40).Draw(t, "input"),
			Vocab: rapid.SampledFrom([]int{0, 2, 100, 1001, 128256}).Draw(t, "vocab"),
		}
		i := rapid.IntRange(0, w.Requests-2).Draw(t, "i")
		j := rapid.IntRange(i+1, w.Requests-1).Draw(t, "j")
		a, b := Prompt(w, i), Prompt(w, j)
		if len(a) != w.PrefixLen+w.InputLen || len(b) != len(a) {
			t.Fatalf("prompts of %d and %d tokens, want %d", len(a), len(b), w.PrefixLen+w.InputLen)
		}
		if !slices.Equal(a[:w.PrefixLen], b[:w.PrefixLen]) {
			t.Fatal("the prefix differs")
		}
		// The number of a request takes up to 9 ids of a vocabulary of two.
		if slices.Equal(a[w.PrefixLen:w.PrefixLen+9], b[w.PrefixLen:w.PrefixLen+9]) {
			t.Fatalf("requests %d and %d begin with the same own tokens", i, j)
		}
		vocab := w.Vocab
		if vocab == 0 {
			vocab = defaultVocab
		}
		for _, id := range a {
			if id < 0 || id >= vocab {
				t.Fatalf("id %d of a vocabulary of %d", id, vocab)
			}
		}
	})
}

func TestPromptsAreMadeOfTheGivenIDsAndSentAsDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Workload{
			Requests: rapid.IntRange(1, 50).Draw(t, "requests"), Seed: rapid.Uint64().Draw(t, "seed"), OutputLen: 1,
			PrefixLen: rapid.IntRange(0, 20).Draw(t, "prefix"), InputLen: rapid.IntRange(0, 20).Draw(t, "input"),
			IDs: rapid.SliceOfNDistinct(rapid.IntRange(0, 1<<18), 2, 100, rapid.ID).Draw(t, "ids"), Vocab: 7,
		}
		i := rapid.IntRange(0, w.Requests-1).Draw(t, "i")
		m, err := newMessage(w)
		if err != nil {
			t.Fatal(err)
		}
		var sent struct{ Prompt []int }
		if err := json.Unmarshal(m.body(i).Data, &sent); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sent.Prompt, Prompt(w, i)) {
			t.Fatalf("sent %v, drawn %v", sent.Prompt, Prompt(w, i))
		}
		for _, id := range sent.Prompt {
			if !slices.Contains(w.IDs, id) {
				t.Fatalf("id %d is not of %v", id, w.IDs)
			}
		}
		if own := sent.Prompt[w.PrefixLen:]; len(own) > 0 && w.Requests > 1 && len(w.IDs) >= w.Requests && own[0] != w.IDs[i] {
			t.Fatalf("request %d begins with id %d, which another's may too", i, own[0])
		}
	})
}

func TestMetricsAreThoseOfTheVLLMClient(t *testing.T) {
	at := func(ms ...int) (d []time.Duration) {
		for _, m := range ms {
			d = append(d, time.Duration(m)*time.Millisecond)
		}
		return d
	}
	line := func(sent, first int, gaps []int, tokens int) Timeline {
		r := Timeline{Due: at(sent)[0], Sent: at(sent)[0], First: at(first)[0], PromptTokens: 10, OutputTokens: tokens}
		r.Done = r.First
		for _, g := range gaps {
			r.Gaps = append(r.Gaps, uint32(1000*g))
			r.Done += at(g)[0]
		}
		return r
	}
	requests := []Timeline{
		line(0, 100, []int{10, 20, 30}, 4),                                      // ttft 100, tpot 20, e2el 160
		line(1000, 1300, []int{40, 60}, 3),                                      // ttft 300, tpot 50, e2el 400
		line(2000, 2200, nil, 1),                                                // ttft 200, no tpot, e2el 200
		{Sent: at(2100)[0], Done: at(4000)[0], Error: "lost", PromptTokens: 10}, // counts for nothing but the duration
	}
	s := Summarize(requests, Workload{
		Percentiles: []float64{50, 99}, Goodput: []Objective{{E2EL, 300}, {TPOT, 20}},
	})
	if s.Completed != 3 || s.Failed != 1 || s.FirstError != "lost" {
		t.Errorf("%d completed, %d failed, first error %q", s.Completed, s.Failed, s.FirstError)
	}
	if s.InputTokens != 30 || s.OutputTokens != 8 {
		t.Errorf("%d tokens in, %d out, want 30 and 8", s.InputTokens, s.OutputTokens)
	}
	if s.Duration != 4*time.Second || s.RequestRate != 0.75 || s.OutputRate != 2 || s.TotalTokenRate != 9.5 {
		t.Errorf("duration %v, %v req/s, %v and %v tok/s", s.Duration, s.RequestRate, s.OutputRate, s.TotalTokenRate)
	}
	// The first and the third meet both limits; one token makes a TPOT of 0.
	if s.Goodput == nil || *s.Goodput != 0.5 {
		t.Errorf("goodput %v, want 0.5", s.Goodput)
	}
	round := func(x float64) string { return fmt.Sprintf("%.4f", x) }
	for _, tc := range []struct {
		m                      Metric
		mean, median, std, p99 float64
	}{
		{TTFT, 200, 200, 81.6497, 298},
		{TPOT, 35, 35, 15, 49.7},
		{ITL, 32, 30, 17.2047, 59.2},
		{E2EL, 253.3333, 200, 104.9868, 396},
	} {
		d := s.Latency[tc.m]
		got := []string{round(d.Mean), round(d.Median), round(d.Std), round(d.Percentiles[1].Value)}
		want := []string{round(tc.mean), round(tc.median), round(tc.std), round(tc.p99)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: mean, median, std, p99 (-want +got):\n%s", tc.m, diff)
		}
	}
}

func TestAllFailedIsZerosAndNotNaN(t *testing.T) {
	s := Summarize([]Timeline{{Error: "refused"}}, Workload{Percentiles: []float64{99}, Goodput: []Objective{{E2EL, 1}}})
	if s.Failed != 1 || s.RequestRate != 0 || *s.Goodput != 0 {
		t.Errorf("got %+v", s)
	}
	want := Distribution{Percentiles: []Percentile{{99, 0}}}
	for _, m := range Metrics() {
		if diff := cmp.Diff(want, s.Latency[m]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", m, diff)
		}
	}
}

func TestWhatIsAskedForFollowsTheRequest(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Workload)
		want   wire.Asked
	}{
		"plain":              {func(*Workload) {}, wire.Asked{Usage: true, Prompt: 25, Completion: 3}},
		"without ignore_eos": {func(w *Workload) { w.IgnoreEOS = false }, wire.Asked{Usage: true, Prompt: 25, Completion: -1}},
		"another length":     {func(w *Workload) { w.ExtraBody = map[string]any{"max_tokens": 5} }, wire.Asked{Usage: true, Prompt: 25, Completion: -1}},
		"a prompt":           {func(w *Workload) { w.ExtraBody = map[string]any{"prompt": "x"} }, wire.Asked{Usage: true, Prompt: -1, Completion: 3}},
		"no usage":           {func(w *Workload) { w.ExtraBody = map[string]any{"stream_options": nil} }, wire.Asked{Usage: false, Prompt: 25, Completion: 3}},
	} {
		w := plain()
		c.change(&w)
		m, err := newMessage(w)
		if err != nil || m.asked != c.want {
			t.Errorf("%s: %+v, %v, want %+v", name, m.asked, err, c.want)
		}
		var fields map[string]any
		if err := json.Unmarshal(m.body(0).Data, &fields); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkBody(b *testing.B) {
	w := plain()
	w.PrefixLen, w.InputLen, w.Vocab, w.Requests = 720, 1080, 128256, 1000
	m, err := newMessage(w)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.body(i % w.Requests).Done()
	}
}
