package imports

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
	"vtune/internal/vllm"
)

// real is what a real server or client has written.
func real(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "e2e", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestARealClientsLogSaysWhatItSavedToTwoDecimals(t *testing.T) {
	l, ps := ParseLog("bench-rate.log", real(t, "bench-rate.log"))
	if len(ps) > 0 || !l.Spoke {
		t.Fatalf("%v", ps)
	}
	exact, err := vllm.ParseBench(real(t, "bench-rate.json"))
	if err != nil {
		t.Fatal(err)
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) <= 0.005+1e-9 })
	if d := cmp.Diff(exact.Metrics, l.Metrics, near); d != "" {
		t.Error(d)
	}
	want := Told{Model: "/models/cpu-tiny", InputLen: 256, OutputLen: 32, Requests: 100, Rate: 35, LimitMS: 2000, Host: "127.0.0.1"}
	if d := cmp.Diff(want, l.Told); d != "" {
		t.Error(d)
	}
}

func TestARealServersLogSaysHowItWasStarted(t *testing.T) {
	s, ps := ParseServer("start.log", real(t, "start.log"))
	want := Server{Version: "0.32.0", System: "CPU", Up: true, Told: Told{
		Model: "/models/cpu-tiny", MaxNumSeqs: 16, MaxNumBatchedTokens: 256, MaxModelLen: 1024, Utilization: 0.98, Host: "127.0.0.1",
	}}
	if d := cmp.Diff(want, s); d != "" || len(ps) > 0 {
		t.Error(d, ps)
	}
	if s, _ := ParseServer("", real(t, "start-memory.log")); s.Up {
		t.Error("a start that failed is taken for one that came up")
	}
}

func TestVersionsOfServersAreFoundWhereEachSaysIt(t *testing.T) {
	for text, want := range map[string]string{
		"INFO 05-01 10:00:00 [api_server.py:1043] vLLM API server version 0.8.5.post1":                        "0.8.5.post1",
		"(EngineCore pid=5) INFO [core.py:93] Initializing a V1 LLM engine (v0.17.0) with config: model='m'":  "0.17.0",
		"(APIServer pid=1) INFO [utils.py:299]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.19.2rc1.dev8+g4b7f5ea1a": "0.19.2rc1.dev8+g4b7f5ea1a",
		"the version of it is unknown": "",
	} {
		if s, _ := ParseServer("", []byte(text)); s.Version != want {
			t.Errorf("%s: %q", text, s.Version)
		}
	}
}

// block is a table as a client of some version prints it.
const block = `============ Serving Benchmark Result ============
Successful requests:                     100
Benchmark duration (s):                  20.50
Total input tokens:                      180000
Total generated tokens:                  2000
Request throughput (req/s):              4.88
Request goodput (req/s):                 4.70
Output token throughput (tok/s):         97.56
Total Token throughput (tok/s):          8878.05
----------------End-to-end Latency----------------
Mean E2EL (ms):                          310.00
Median E2EL (ms):                        300.10
P99 E2EL (ms):                           499.99
==================================================
`

func TestTablesOfOlderClientsAreRead(t *testing.T) {
	want := record.Metrics{
		Completed: 100, Seconds: 20.5, TotalInputTokens: 180000, TotalOutputTokens: 2000, RequestThroughput: 4.88,
		RequestGoodput: 4.7, OutputThroughput: 97.56, E2EL: record.Latency{Mean: 310, P50: 300.1, P99: 499.99},
	}
	for name, text := range map[string]string{
		"as printed": block, "with another system's line ends": strings.ReplaceAll(block, "\n", "\r\n"),
		"after progress": "100%|█████| 100/100 [00:20<00:00,  4.88it/s]\n" + block, "the last of two": strings.ReplaceAll(block, "100", "7") + block,
	} {
		l, ps := ParseLog(name, []byte(text))
		if d := cmp.Diff(want, l.Metrics); d != "" || len(ps) > 0 || !l.Spoke {
			t.Errorf("%s: %v\n%s", name, ps, d)
		}
	}
}

func TestWhatIsNoWholeTableIsNoNumbersAndSaysWhere(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"cut off":              {block[:len(block)-80], "f:1:1: the client's table has no end"},
		"a word for a number":  {strings.Replace(block, "4.88", "fast", 1), `f:6:42: request throughput (req/s): "fast" is no number`},
		"a negative number":    {strings.Replace(block, "4.88", "-1.0", 1), `f:6:42: request throughput (req/s): "-1.0" is no number that can be`},
		"another base":         {strings.Replace(block, "4.88", "0x1F", 1), `f:6:42: request throughput (req/s): "0x1F" is no number`},
		"a part of a request":  {strings.Replace(block, " 100\n", " 100.5\n", 1), `f:2:42: successful requests: "100.5" is no count`},
		"a row twice":          {strings.Replace(block, "Mean E2EL", "P99 E2EL", 1), "f:13:42: p99 e2el (ms) stands there twice"},
		"without its duration": {strings.Replace(block, "Benchmark duration", "Bench duration", 1), `f:1:1: the client's table has no row "benchmark duration (s)"`},
	} {
		l, ps := ParseLog("f", []byte(c.text))
		if l.Spoke || l.Metrics != (record.Metrics{}) {
			t.Errorf("%s: %+v", name, l.Metrics)
		}
		if len(ps) != 1 || ps[0].String() != c.want {
			t.Errorf("%s: %v, want %s", name, ps, c.want)
		}
	}
}

func TestALogWithoutATableIsOfAClientThatFailed(t *testing.T) {
	l, ps := ParseLog("", []byte("Traceback (most recent call last):\nValueError: no\n\n"))
	if l.Spoke || len(ps) > 0 || l.Last != "ValueError: no" {
		t.Errorf("%+v %v", l, ps)
	}
}

func TestArgumentsAreReadAsPythonWritesThem(t *testing.T) {
	l, ps := ParseLog("", []byte(`Namespace(f=<function x at 0x7f>, model="it's, a (model)", seed=7, random_mm={(256, 256, 1): 0.5, 'seed': 9}, request_rate=inf, goodput=['ttft:100', 'e2el:500.5'], `+
		`random_input_len=721, random_prefix_len=1080, random_output_len=20, max_concurrency=None, host='node\x37\'s', num_prompts=1000)`))
	want := Told{Model: "it's, a (model)", Seed: 7, Rate: record.Inf, LimitMS: 500.5, InputLen: 721, PrefixLen: 1080, OutputLen: 20, Host: "node7's", Requests: 1000}
	if d := cmp.Diff(want, l.Told); d != "" || len(ps) > 0 {
		t.Error(d, ps)
	}
	for text, want := range map[string]string{
		"Namespace(seed=0, model='m":  "f:1:27: the list of arguments has no end",
		"Namespace(num_prompts=many)": `f:1:11: num_prompts: "many" is no count`,
		"  Namespace(model='\\xZZ')":  `f:1:13: model: "\\xZZ" is no text`,
	} {
		if l, ps := ParseLog("f", []byte(text)); len(ps) != 1 || ps[0].String() != want || l.Told != (Told{}) {
			t.Errorf("%s: %+v %v, want %s", text, l.Told, ps, want)
		}
	}
}

func TestEveryRowOfTheScriptIsRead(t *testing.T) {
	r, ps := ParseResult("", []byte("hash:abc123\r\n"+
		"max_num_seqs: 128, max_num_batched_tokens: 512, request_rate: inf, e2el: 480.10, throughput: 12.30, goodput: 12.00\n"+
		"max_num_seqs: 128, max_num_batched_tokens: 1024, request_rate: 5, e2el: 499.00, through put: 4.88, goodput: \n"+
		"max_num_seqs: 256, max_num_batched_tokens: 512 does not meet latency requirement 500\n"+
		"best_max_num_seqs: 128, best_num_batched_tokens: 512, best_throughput: 12.30, profile saved in: /a b/profile\n"))
	want := Result{Hash: "abc123", LimitMS: 500, Rows: []Row{
		{Line: 2, MaxNumSeqs: 128, MaxNumBatchedTokens: 512, Accepted: true, Rate: record.Inf, P99: 480.1, Throughput: 12.3, Goodput: 12},
		{Line: 3, MaxNumSeqs: 128, MaxNumBatchedTokens: 1024, Accepted: true, Rate: 5, P99: 499, Throughput: 4.88},
		{Line: 4, MaxNumSeqs: 256, MaxNumBatchedTokens: 512},
	}, Best: &Best{Line: 5, MaxNumSeqs: 128, MaxNumBatchedTokens: 512, Throughput: 12.3, Profile: "/a b/profile"}}
	if d := cmp.Diff(want, r); d != "" || len(ps) > 0 {
		t.Error(d, ps)
	}
}

func TestWhatIsNoRowOfTheScriptIsAProblemOfItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"max_num_seqs: 128, max_num_batched_tokens: 512, request_rate: inf, e2el: 48": `f:1:1: is no row of auto_tune.sh: "max_num_seqs: 128, max_num_batched_tokens: 512, request_rate"`,
		"\x1b[2Jhash:x": `f:1:1: is no row of auto_tune.sh: "\x1b[2Jhash:x"`,
		"max_num_seqs: 0, max_num_batched_tokens: 512 does not meet latency requirement 5":                                                                               "f:1:1: no cell has 0 x 512",
		"max_num_seqs: 1, max_num_batched_tokens: 512 does not meet latency requirement soon":                                                                            `f:1:1: "soon" is no number`,
		"max_num_seqs: 99999999999, max_num_batched_tokens: 512 does not meet latency requirement 5":                                                                     `f:1:1: max_num_seqs: "99999999999" is no count`,
		"max_num_seqs: 1, max_num_batched_tokens: 2, request_rate: fast, e2el: 1, throughput: 1, goodput: 1":                                                             `f:1:1: "fast" is no number`,
		"best_max_num_seqs: 1, best_num_batched_tokens: 99999999999999999999, best_throughput: 0":                                                                        `f:1:1: strconv.Atoi: parsing "99999999999999999999": value out of range`,
		"hash:\n" + strings.Repeat("max_num_seqs: 1, max_num_batched_tokens: 2 does not meet latency requirement 5\n", 2):                                                "f:3:1: a second row for s1-t2; line 2 has the first, which stands",
		"max_num_seqs: 1, max_num_batched_tokens: 2 does not meet latency requirement 5\nmax_num_seqs: 1, max_num_batched_tokens: 3 does not meet latency requirement 6": "f:2:1: a limit of 6 ms, where another row says 5",
	} {
		if _, ps := ParseResult("f", []byte(text)); len(ps) != 1 || ps[0].String() != want {
			t.Errorf("%q: %v, want %s", text, ps, want)
		}
	}
}

func TestWhoImportsWhatVtuneMeasuredIsToldThatItNeedsNone(t *testing.T) {
	cell := "max_num_seqs: 4, max_num_batched_tokens: 2048"
	for row, own := range map[string]bool{
		cell + " cannot win: below 1.30 req/s (emulated)":                                               true,
		cell + " was not shown to meet latency requirement 500":                                         true,
		cell + " failed: out of memory: CUDA":                                                           true,
		cell + ", request_rate: 0.986, e2el: 6018.75, throughput: 0.94, goodput: 0.94 (near the limit)": true,
		cell + ", request_rate: inf, e2el: 48":                                                          false, "Traceback (most recent call last):": false,
	} {
		if _, ps := ParseResult("f", []byte(row)); len(ps) != 1 || strings.Contains(ps[0].Hint, "needs no import") != own {
			t.Errorf("%q: %+v", row, ps)
		}
	}
}

const savedJSON = `{"date": "20261123-210341", "model_id": "m", "num_prompts": 100, "request_rate": "inf", "max_concurrency": null, "duration": 3.7, "completed": 100,
 "failed": 0, "total_output_tokens": 3200, "request_throughput": 26.7, "p99_e2el_ms": 998.5, "std_ttft_ms": NaN, "max_num_seqs": "16", "max-num-batched-tokens": 256}`

func TestSavedResultsAreReadInEveryArrangement(t *testing.T) {
	want := Saved{
		Told:    Told{Model: "m", MaxNumSeqs: 16, MaxNumBatchedTokens: 256, Requests: 100, Rate: record.Inf},
		Metrics: record.Metrics{Completed: 100, Seconds: 3.7, TotalOutputTokens: 3200, RequestThroughput: 26.7, E2EL: record.Latency{P99: 998.5}},
		Ended:   time.Date(2026, 11, 23, 21, 3, 41, 0, time.UTC),
	}
	first, second := want, want
	want.Alone, second.Object = true, 1
	for name, c := range map[string]struct {
		text string
		want []Saved
	}{
		"alone":          {savedJSON, []Saved{want}},
		"appended":       {savedJSON + "\n" + savedJSON, []Saved{first, second}},
		"listed":         {"[" + savedJSON + ",\n" + savedJSON + "]", []Saved{first, second}},
		"beside another": {`{"schema": 1}` + savedJSON, []Saved{second}},
		"of no client":   {`{"a": [1, {"b": null}]}`, nil},
		"of no object":   {`[1, "a", null]`, nil},
	} {
		got, ps := ParseSaved("", []byte(c.text), time.UTC)
		if d := cmp.Diff(c.want, got); d != "" || len(ps) > 0 {
			t.Errorf("%s: %v\n%s", name, ps, d)
		}
		for _, s := range got {
			if o := Object([]byte(c.text), s.Object); !strings.Contains(string(o), `"completed": 100`) {
				t.Errorf("%s: object %d is %s", name, s.Object, o)
			}
		}
	}
}

func TestAHalfFileOfResultsSaysWhereItEnds(t *testing.T) {
	got, ps := ParseSaved("f", []byte(savedJSON+"\n"+savedJSON[:200]), time.UTC)
	if len(got) != 1 || len(ps) != 1 || ps[0].Pos.Line != 4 || !strings.Contains(ps[0].What, "is cut off, or no JSON") {
		t.Errorf("%d read, %v", len(got), ps)
	}
	_, ps = ParseSaved("f", []byte(strings.Replace(savedJSON, `"16"`, `"many"`, 1)), time.UTC)
	if len(ps) != 1 || ps[0].String() != `f: run 1 of 1: max_num_seqs: "many" is no count` {
		t.Errorf("%v", ps)
	}
}

// Whatever a file holds, what is read of it are numbers that can be, and what is wrong has a place in it.
func FuzzResult(f *testing.F) {
	f.Add("hash:a\nmax_num_seqs: 1, max_num_batched_tokens: 2, request_rate: inf, e2el: 1, throughput: 1, goodput: 1\n")
	f.Add("max_num_seqs: 1, max_num_batched_tokens: 2 does not meet latency requirement 1e9\r\nbest_max_num_seqs: 0, best_num_batched_tokens: 0, best_throughput: 0, profile saved in: x")
	f.Fuzz(func(t *testing.T, text string) {
		r, ps := ParseResult("f", []byte(text))
		for _, row := range r.Rows {
			sound(t, row.P99, row.Throughput, row.Goodput, float64(row.MaxNumSeqs-1), float64(row.MaxNumBatchedTokens-1))
		}
		if len(r.Rows)+len(ps) > strings.Count(text, "\n")+1 {
			t.Errorf("%d rows and %d problems in %q", len(r.Rows), len(ps), text)
		}
		for _, p := range ps {
			if p.Pos.Line < 1 || p.Pos.Line > strings.Count(text, "\n")+1 {
				t.Errorf("%v is nowhere in %q", p, text)
			}
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add(block)
	f.Add(string(real(f, "bench-rate.log")))
	f.Add("Namespace(a='\\'', b=[(]{, model=\"x\")")
	f.Fuzz(func(t *testing.T, text string) {
		l, _ := ParseLog("f", []byte(text))
		if !l.Spoke && l.Metrics != (record.Metrics{}) {
			t.Errorf("numbers of a table that is not whole: %+v", l.Metrics)
		}
		m := l.Metrics
		sound(t, m.Seconds, m.RequestThroughput, m.E2EL.P99, m.TTFT.P50, float64(m.Completed), float64(m.Failed), float64(l.Told.Requests), l.Told.LimitMS)
		if utf8.ValidString(text) && !utf8.ValidString(l.Told.Model) {
			t.Errorf("%q is no text", l.Told.Model)
		}
	})
}

func FuzzServer(f *testing.F) {
	f.Add(string(real(f, "start-port-taken.log")))
	f.Add("non-default args: {'model': 'a', 'max_num_seqs': 1}\nnon-default args: {'")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := ParseServer("f", []byte(text))
		sound(t, s.Told.Utilization, 1-s.Told.Utilization, float64(s.Told.MaxNumSeqs), float64(s.Told.TensorParallel))
	})
}

func FuzzSaved(f *testing.F) {
	f.Add([]byte(savedJSON))
	f.Add([]byte("[" + savedJSON + "]{"))
	f.Add([]byte(`{"completed":1,"request_throughput":1,"request_rate":-1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, ps := ParseSaved("f", data, time.UTC)
		for _, s := range all {
			sound(t, s.Metrics.RequestThroughput, s.Metrics.E2EL.P99, float64(s.Told.Requests), float64(s.Told.MaxNumSeqs))
			if Object(data, s.Object) == nil {
				t.Errorf("object %d of %q is not there", s.Object, data)
			}
		}
		for _, p := range ps {
			if p.Pos.Line < 0 || p.Pos.Col < 0 {
				t.Errorf("%v", p)
			}
		}
	})
}

func sound(t *testing.T, all ...float64) {
	t.Helper()
	for _, f := range all {
		if f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
			t.Errorf("%v can be no number of a run", f)
		}
	}
}
