package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	chunk = `data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":null}],"usage":null}` + "\n\n"
	done  = "data: [DONE]\n\n"
)

// stopped is an answer whose clock stands still.
func stopped() *Answer { return &Answer{Now: func() time.Duration { return 0 }} }

func TestStreamsAreReadByEventAndCountedByUsage(t *testing.T) {
	for _, tc := range []struct {
		name, stream, err string
		chunks, tokens    int // -1: no usage
	}{
		{name: "plain", stream: chunk + chunk + done, chunks: 2, tokens: -1},
		{name: "usage", stream: chunk + `data: {"choices":[],"usage":{"completion_tokens":7}}` + "\n\n" + done, chunks: 1, tokens: 7},
		{name: "usage with the last choice", stream: `data: { "usage" : {"completion_tokens":1} , "choices" : [ {} ] }` + "\n\n" + done, chunks: 1, tokens: 1},
		{name: "a text that looks like JSON", stream: `data: {"choices":[{"text":"\",\"usage\":{\"completion_tokens\":9},\"error\":\"x\\"}],"usage":null}` + "\n\n" + done, chunks: 1, tokens: -1},
		{name: "keys deeper down", stream: `data: {"choices":[{"usage":{"completion_tokens":9},"error":"]}"}],"error":null}` + "\n\n" + done, chunks: 1, tokens: -1},
		{name: "comments and CRLF", stream: ": ping\r\n\r\n" + strings.ReplaceAll(chunk, "\n", "\r\n") + done, chunks: 1, tokens: -1},
		{name: "cut", stream: chunk, err: "broke off before [DONE]", chunks: 1, tokens: -1},
		{name: "half an event", stream: `data: {"choi`, err: "read stream", tokens: -1},
		{name: "no object", stream: "data: 7\n\n" + done, err: "no JSON object", tokens: -1},
		{name: "two objects", stream: "data: {} {}\n\n" + done, err: "no JSON object", tokens: -1},
		{name: "a usage that is none", stream: chunk + `data: {"usage":"many"}` + "\n\n" + done, err: "usage", chunks: 1, tokens: -1},
		{name: "nothing", stream: done, err: errNoToken.Error(), tokens: -1},
		{name: "error event", stream: chunk + `data: {"error":{"message":"dead"}}` + "\n\n" + done, err: `the server broke off: {"message":"dead"}`, chunks: 1, tokens: -1},
		{name: "endless line", stream: "data: " + strings.Repeat("x", 2*maxLine), err: "token too long", tokens: -1},
	} {
		a := stopped()
		err := a.read(strings.NewReader(tc.stream))
		tokens := -1
		if a.Usage != nil {
			tokens = a.Usage.Completion
		}
		if a.Chunks != tc.chunks || tokens != tc.tokens {
			t.Errorf("%s: %d chunks, %d tokens, want %d and %d", tc.name, a.Chunks, tokens, tc.chunks, tc.tokens)
		}
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", tc.name, err, tc.err)
		}
	}
}

func TestChunksAreStampedAsTheyCome(t *testing.T) {
	var times []time.Duration
	for _, ms := range []int{100, 103, 103, 5000000} {
		times = append(times, time.Duration(ms)*time.Millisecond)
	}
	var first time.Duration
	a := &Answer{Begun: func(at time.Duration) { first = at }, Now: func() time.Duration {
		at := times[0]
		times = times[1:]
		return at
	}}
	if err := a.read(strings.NewReader(strings.Repeat(chunk, 4) + done)); err != nil {
		t.Fatal(err)
	}
	// The last gap is more than 32 bits of µs.
	if got, want := fmt.Sprint(a.First, first, a.Last, a.Gaps), "100ms 100ms 1h23m20s [3000 0 4294967295]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a.Reset()
	if a.Chunks != 0 || len(a.Gaps) != 0 || a.Usage != nil || a.First != 0 {
		t.Errorf("the last answer is left: %+v", a)
	}
}

func TestAUsageThatIsNotWhatWasAskedForIsAFailure(t *testing.T) {
	all := Asked{Usage: true, Prompt: 25, Completion: 3}
	for _, c := range []struct {
		name  string
		usage *Usage
		want  Asked
		err   string
	}{
		{"as asked", &Usage{25, 3}, all, ""},
		{"none", nil, all, "counted no tokens"},
		{"a longer prompt", &Usage{26, 3}, all, "counted 26 tokens of prompt, 25 were sent"},
		{"a shorter answer", &Usage{25, 2}, all, "made 2 tokens, 3 were asked for"},
		{"an answer that may end", &Usage{25, 2}, Asked{true, 25, -1}, ""},
		{"none, and not asked", nil, Asked{false, 25, 3}, ""},
	} {
		a := stopped()
		a.Usage = c.usage
		err := a.check(c.want)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.name, err, c.err)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add("data: {\"choices\":[{}]}\n\ndata: [DONE]\n")
	f.Add("data: {\"usage\":{\"completion_tokens\":-9}}\n")
	f.Add("data: null\n\ndata:[DONE]")
	f.Fuzz(func(t *testing.T, stream string) {
		a := stopped()
		if err := a.read(strings.NewReader(stream)); err == nil && a.Chunks == 0 {
			t.Error("success without a token")
		}
	})
}

// scanEvent is a short cut for encoding/json and must agree with it.
func FuzzScanEvent(f *testing.F) {
	for _, s := range []string{
		strings.TrimPrefix(chunk, "data: "), `{}`, ` { "choices" : [ ] , "usage" : { "a" : "}" } } `, `{"error":"x\\","usage":-1.5e3}`, `{"choices":[[{"a":"]"}]]}`,
		`{"choices":null,"error":false}`, `{"usage":null,"usage":7}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := scanEvent(data)
		var want map[string]json.RawMessage
		if !json.Valid(data) || json.Unmarshal(data, &want) != nil || want == nil {
			return // must not panic; what it makes of it is an error or harmless
		}
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if strings.Contains(string(data), `\`) {
			return // a key may be spelled with escapes, which no server does
		}
		var choices []json.RawMessage
		_ = json.Unmarshal(want["choices"], &choices)
		isNull := func(raw json.RawMessage) bool { return raw == nil || string(raw) == "null" }
		if e.choices != (len(choices) > 0) || (e.usage == nil) != isNull(want["usage"]) || (e.failure == nil) != isNull(want["error"]) {
			t.Errorf("%s: %+v, encoding/json has %s", data, e, want)
		}
	})
}

func BenchmarkChunk(b *testing.B) {
	const chunks = 1000
	stream := strings.Repeat(chunk, chunks) + done
	a := stopped()
	b.ReportAllocs()
	for b.Loop() {
		a.Reset()
		if err := a.read(strings.NewReader(stream)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunks, "ns/chunk")
}

// net/http may read a body after the answer has come; its buffer must not be another request's by then.
func TestABufferIsFreeOnlyWhenNobodyReadsIt(t *testing.T) {
	freed := 0
	b := NewBody(func(*Body) { freed++ })
	b.Hold()
	first, again := b.reader(), b.reader()
	for i, let := range []func() error{first.Close, first.Close, func() error { b.Done(); return nil }} {
		if err := let(); err != nil || freed != 0 {
			t.Fatalf("step %d: freed %d times, %v", i, freed, err)
		}
	}
	if err := again.Close(); err != nil || freed != 1 {
		t.Errorf("freed %d times, %v", freed, err)
	}
}
