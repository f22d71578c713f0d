package load

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
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

func TestMetricsAreThoseOfTheVLLMClient(t *testing.T) {
	at := func(ms ...int) (d []time.Duration) {
		for _, m := range ms {
			d = append(d, time.Duration(m)*time.Millisecond)
		}
		return d
	}
	line := func(sent, first int, gaps []int, tokens int) Timeline {
		r := Timeline{Sent: at(sent)[0], First: at(first)[0], Gaps: at(gaps...), PromptTokens: 10, OutputTokens: tokens}
		r.Done = r.First
		for _, g := range r.Gaps {
			r.Done += g
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

func TestStreamsAreReadByEventAndCountedByUsage(t *testing.T) {
	now := func() time.Time { return time.Time{} }
	const chunk, done = `data: {"choices":[{"text":""}],"usage":null}` + "\n\n", "data: [DONE]\n\n"
	for _, tc := range []struct {
		name, stream, err string
		chunks, tokens    int
	}{
		{name: "plain", stream: chunk + chunk + done, chunks: 2, tokens: -1},
		{name: "usage", stream: chunk + `data: {"choices":[],"usage":{"completion_tokens":7}}` + "\n\n" + done, chunks: 1, tokens: 7},
		{name: "comments and CRLF", stream: ": ping\r\n\r\n" + strings.ReplaceAll(chunk, "\n", "\r\n") + done, chunks: 1, tokens: -1},
		{name: "cut", stream: chunk, err: "broke off before [DONE]", chunks: 1, tokens: -1},
		{name: "half an event", stream: `data: {"choi`, err: "read stream", tokens: -1},
		{name: "nothing", stream: done, err: errNoToken.Error(), tokens: -1},
		{name: "error event", stream: chunk + `data: {"error":{"message":"dead"}}` + "\n\n" + done, err: "dead", chunks: 1, tokens: -1},
		{name: "endless line", stream: "data: " + strings.Repeat("x", 2*maxLine), err: "token too long", tokens: -1},
	} {
		a, err := readStream(strings.NewReader(tc.stream), now)
		if len(a.chunks) != tc.chunks || a.tokens != tc.tokens {
			t.Errorf("%s: %d chunks, %d tokens, want %d and %d", tc.name, len(a.chunks), a.tokens, tc.chunks, tc.tokens)
		}
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add("data: {\"choices\":[{}]}\n\ndata: [DONE]\n")
	f.Add("data: {\"usage\":{\"completion_tokens\":-9}}\n")
	f.Add("data: null\n\ndata:[DONE]")
	f.Fuzz(func(t *testing.T, stream string) {
		a, err := readStream(strings.NewReader(stream), func() time.Time { return time.Time{} })
		if err == nil && len(a.chunks) == 0 {
			t.Error("success without a token")
		}
	})
}
