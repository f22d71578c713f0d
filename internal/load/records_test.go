package load

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawTimeline(t *rapid.T) Timeline {
	micros := rapid.Map(rapid.Int64Range(0, 1e12), func(n int64) time.Duration { return time.Duration(n) * time.Microsecond })
	gaps := rapid.SliceOfN(rapid.Uint32(), 0, 20).Draw(t, "gaps")
	if len(gaps) == 0 {
		gaps = nil
	}
	return Timeline{
		Due: micros.Draw(t, "due"), Held: micros.Draw(t, "held"), Sent: micros.Draw(t, "sent"), First: micros.Draw(t, "first"),
		Done: micros.Draw(t, "done"), Gaps: gaps, PromptTokens: rapid.IntRange(0, 1<<20).Draw(t, "prompt"),
		OutputTokens: rapid.IntRange(0, 1<<20).Draw(t, "output"), Aborted: rapid.Bool().Draw(t, "aborted"),
		Error: rapid.OneOf(rapid.Just(""), rapid.StringN(0, 100, errorMost)).Draw(t, "error"),
	}
}

func TestTimelinesReadBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawTimeline), 0, 30).Draw(t, "requests")
		var file bytes.Buffer
		if err := WriteTimelines(&file, want); err != nil {
			t.Fatal(err)
		}
		got, err := ReadTimelines(&file)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == 0 {
			want = nil
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestAnErrorInAFileIsBounded(t *testing.T) {
	text := "502 Bad Gateway: " + strings.Repeat("é", 1000)
	var file bytes.Buffer
	if err := WriteTimelines(&file, []Timeline{{Error: text}}); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTimelines(&file)
	if err != nil {
		t.Fatal(err)
	}
	e := got[0].Error
	if !strings.HasPrefix(text, e) || len(e) > errorMost || len(e) < errorMost-3 || !utf8.ValidString(e) {
		t.Errorf("%d bytes: %q", len(e), e)
	}
}

// packed is a file with these bytes as records.
func packed(records []byte) []byte {
	var file bytes.Buffer
	file.WriteString(timelinesHeader)
	z := gzip.NewWriter(&file)
	_, _ = z.Write(records)
	_ = z.Close()
	return file.Bytes()
}

func TestDamagedTimelinesAreAnErrorAndCostNoMemory(t *testing.T) {
	var good bytes.Buffer
	if err := WriteTimelines(&good, []Timeline{{Due: time.Second, Gaps: make([]uint32, 1000)}}); err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(good.Bytes())
	flipped[len(flipped)-6] ^= 1 // of the checksum
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty":              {nil, "not a file of timelines"},
		"another version":    {[]byte("vtune timelines 2\nabc"), `it begins with "vtune timelines 2\n"`},
		"cut":                {good.Bytes()[:good.Len()-9], "EOF"},
		"a changed bit":      {flipped, "checksum"},
		"no gzip":            {[]byte(timelinesHeader + "abcdefghijklmnop"), "gzip"},
		"2^62 gaps":          {packed(append([]byte{0, 0, 0, 0, 0}, 255, 255, 255, 255, 255, 255, 255, 255, 63)), "damaged"},
		"an error of 1 GB":   {packed([]byte{hasError, 0, 0, 0, 0, 128, 128, 128, 128, 4}), "damaged"},
		"a gap of 2^33":      {packed([]byte{0, 0, 0, 0, 0, 1, 128, 128, 128, 128, 32}), "damaged"},
		"an unknown bit":     {packed([]byte{128, 0, 0, 0, 0, 0}), "damaged"},
		"half a record":      {packed([]byte{0, 0, 0}), "damaged"},
		"a time of 10^18 µs": {packed([]byte{0, 255, 255, 255, 255, 255, 255, 255, 255, 127, 0, 0, 0, 0}), "damaged"},
	} {
		if got, err := ReadTimelines(bytes.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %d requests, %v, want %q", name, len(got), err, c.want)
		}
	}
	bomb := packed(make([]byte, 10<<20)) // a few kB
	if _, err := readTimelines(bytes.NewReader(bomb), 1<<20); err == nil || !strings.Contains(err.Error(), "more than 1 MiB") {
		t.Errorf("a bomb: %v", err)
	}
}

func FuzzReadTimelines(f *testing.F) {
	for _, requests := range [][]Timeline{nil, {{Due: 1000, Sent: 2000, First: 3000, Done: 9000, Gaps: []uint32{1, 2, 3}, PromptTokens: 5, OutputTokens: 4}, {Error: "x"}, {Aborted: true}}} {
		var file bytes.Buffer
		if err := WriteTimelines(&file, requests); err != nil {
			f.Fatal(err)
		}
		f.Add(file.Bytes(), false)
	}
	f.Add([]byte{hasSent | hasError, 1, 2, 3, 4, 5, 1, 'x', 2, 7, 7}, true)
	f.Fuzz(func(t *testing.T, data []byte, records bool) {
		if records { // past the checksum, which no random file gets right
			data = packed(data)
		}
		const most = 1 << 20
		got, err := readTimelines(bytes.NewReader(data), most)
		if err != nil {
			return
		}
		gaps := 0
		for _, r := range got {
			gaps += len(r.Gaps)
		}
		if len(got)+gaps > most {
			t.Errorf("%d requests and %d gaps of %d bytes", len(got), gaps, most)
		}
		var file bytes.Buffer
		if err := WriteTimelines(&file, got); err != nil {
			t.Fatal(err)
		}
		again, err := ReadTimelines(&file)
		if d := cmp.Diff(got, again); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
	})
}

func TestAHistogramKeepsQuantilesWithinAThousandth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.SliceOfN(rapid.Float64Range(0.001, 3.6e6), 1, 300).Draw(t, "ms")
		var requests []Timeline
		for _, v := range ms {
			due := 7 * time.Second
			requests = append(requests, Timeline{Due: due, Sent: due + time.Second, Done: due + time.Duration(v*1e3)*time.Microsecond})
		}
		requests = append(requests, Timeline{Due: 1, Done: 2, Error: "lost"}, Timeline{Due: 1, Done: 9e9, Aborted: true})
		text, err := Histogram(requests, E2EL)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ReadHistogram(text)
		if err != nil || q.Count() != int64(len(ms)) {
			t.Fatalf("%d values, %v, want %d", q.Count(), err, len(ms))
		}
		slices.Sort(ms)
		p := rapid.Float64Range(0.1, 100).Draw(t, "p")
		rank := int(math.Ceil(p / 100 * float64(len(ms)))) // the nearest rank, as the histogram counts
		want, got := ms[max(rank, 1)-1], millis(q.At(p))
		near := func(want float64) bool { return math.Abs(got-want) <= want/1000+0.001 }
		// At a rank's very border the two roundings may differ by one.
		if !near(want) && !near(ms[max(rank-2, 0)]) && !near(ms[min(rank, len(ms)-1)]) {
			t.Fatalf("P%g is %g ms, want %g", p, got, want)
		}
	})
}

func TestHistogramsAreOfTheirMetric(t *testing.T) {
	r := Timeline{Due: time.Second, Sent: 2 * time.Second, First: 3 * time.Second, Done: 7 * time.Second, Gaps: []uint32{1e6, 3e6}, OutputTokens: 5}
	for m, want := range map[Metric]time.Duration{TTFT: 2 * time.Second, TPOT: time.Second, ITL: 3 * time.Second, E2EL: 6 * time.Second} {
		text, err := Histogram([]Timeline{r}, m)
		if err != nil {
			t.Fatal(err)
		}
		q, err := ReadHistogram(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.At(100); (got - want).Abs() > want/1000 {
			t.Errorf("%s: at most %v, want %v", m, got, want)
		}
	}
	text, err := Histogram(nil, E2EL)
	if err != nil {
		t.Fatal(err)
	}
	if q, err := ReadHistogram(text); err != nil || q.Count() != 0 || q.At(99) != 0 {
		t.Errorf("of nothing: %+v, %v", q, err)
	}
	for _, text := range []string{"", "x", "AAAA", strings.Repeat("A", histogramText+1)} {
		if _, err := ReadHistogram(text); err == nil {
			t.Errorf("%.20q is a histogram", text)
		}
	}
}

func TestCompactTimelinesAreCompact(t *testing.T) {
	var requests []Timeline
	for i := range 1000 {
		r := Timeline{Due: time.Duration(i) * 3137 * time.Microsecond, PromptTokens: 1800, OutputTokens: 32}
		r.Sent, r.First = r.Due+31*time.Microsecond, r.Due+time.Duration(20000+i%977)*time.Microsecond
		r.Done = r.First
		for k := range 31 {
			r.Gaps = append(r.Gaps, uint32(4900+(i*31+k)*7919%200))
			r.Done += time.Duration(r.Gaps[k]) * time.Microsecond
		}
		requests = append(requests, r)
	}
	var file bytes.Buffer
	if err := WriteTimelines(&file, requests); err != nil {
		t.Fatal(err)
	}
	if per := file.Len() / len(requests); per > 70 {
		t.Errorf("%s a request of 32 tokens", fmt.Sprint(per, " bytes"))
	}
}
