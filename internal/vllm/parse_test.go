package vllm

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
)

const benchJSON = `{"date": "20261123-103000", "backend": "vllm", "num_prompts": 100, "request_rate": 11.0, "burstiness": 1.0, "max_concurrency": null,
"duration": 9.29, "completed": 99, "failed": 1, "total_input_tokens": 180000, "total_output_tokens": 2000, "request_throughput": 10.76,
"request_goodput": 8.82, "output_throughput": 215.2, "mean_ttft_ms": 50.5, "median_ttft_ms": 40.0, "std_ttft_ms": NaN, "p50_ttft_ms": 40.0,
"p90_ttft_ms": 100.0, "p99_ttft_ms": 223.0, "mean_e2el_ms": 300.0, "median_e2el_ms": 266.0, "p90_e2el_ms": 617.0, "p99_e2el_ms": 719.0, "label": "NaN \" Infinity"}`

func TestABenchmarkResultIsRead(t *testing.T) {
	got, err := ParseBench([]byte(benchJSON))
	if err != nil {
		t.Fatal(err)
	}
	want := BenchResult{Rate: 11, Sent: 100, Metrics: record.Metrics{
		Completed: 99, Failed: 1, Seconds: 9.29, RequestThroughput: 10.76, RequestGoodput: 8.82, OutputThroughput: 215.2,
		TotalInputTokens: 180000, TotalOutputTokens: 2000,
		TTFT: record.Latency{Mean: 50.5, P50: 40, P90: 100, P99: 223},
		E2EL: record.Latency{Mean: 300, P50: 266, P90: 617, P99: 719},
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRealBenchmarkResultsAreRead(t *testing.T) {
	for name, check := range map[string]func(BenchResult) bool{
		"bench-inf.json": func(r BenchResult) bool {
			return r.Rate.IsInf() && r.Metrics.Completed == r.Sent && r.Metrics.E2EL.P99 > r.Metrics.E2EL.P50
		},
		"bench-rate.json": func(r BenchResult) bool {
			return r.Rate > 0 && !r.Rate.IsInf() && r.Metrics.Completed == r.Sent && r.Metrics.RequestThroughput > 0
		},
		"bench-dead-server.json": func(r BenchResult) bool {
			return r.Sent == 5 && r.Metrics.Completed == 0 && r.Metrics.Failed == 5 && r.Metrics.E2EL.P99 == 0
		},
	} {
		if r, err := ParseBench(real(t, name)); err != nil || !check(r) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestRealMetricsAreRead(t *testing.T) {
	m, err := ParseMetrics(bytes.NewReader(real(t, "metrics.txt")))
	if err != nil || m.PrefixQueries == 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestAnInfiniteRateIsAWord(t *testing.T) {
	got, err := ParseBench([]byte(`{"request_rate": "inf", "request_goodput": null}`))
	if err != nil || !got.Rate.IsInf() {
		t.Errorf("%v, %v", got.Rate, err)
	}
}

func TestWhatIsNoResultIsAnError(t *testing.T) {
	for _, text := range []string{
		"", "null", "[]", benchJSON[:200], `{"completed": "many"}`, `{"completed": -1}`, `{"completed": 1.5}`,
		`{"completed": 1e300}`, `{"duration": -2}`, `{"request_rate": "fast"}`, `{"completed": 1}{"completed": 2}`,
	} {
		if got, err := ParseBench([]byte(text)); err == nil {
			t.Errorf("%q read as %+v", text, got)
		}
	}
}

func FuzzBenchResultsAreNeverNegativeOrEndless(f *testing.F) {
	f.Add([]byte(benchJSON))
	f.Add(real(f, "bench-rate.json"))
	f.Add([]byte(`{"request_rate":"inf","completed":0,"p99_e2el_ms":0.0}`))
	f.Add([]byte(`{"a":-Infinity,"b":"\"NaN`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseBench(data)
		if err != nil {
			return
		}
		m := r.Metrics
		for _, v := range []float64{m.Seconds, m.RequestThroughput, m.E2EL.P99, m.E2EL.P50, float64(m.Completed), float64(m.Failed)} {
			if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%v in %+v", v, m)
			}
		}
	})
}

func TestMetricsAreReadForEveryEngine(t *testing.T) {
	got, err := ParseMetrics(strings.NewReader(`# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a \"b\" } {c"} 8.0
vllm:num_requests_running{engine="1",model_name="m"} 2
vllm:num_requests_waiting{engine="0",model_name="m"} 741.0 1700000000
vllm:num_requests_waiting_by_reason{reason="capacity"} 5
vllm:kv_cache_usage_perc{engine="0"} 0.022
vllm:kv_cache_usage_perc{engine="1"} 0.5
vllm:prefix_cache_queries_total{engine="0"} 1.8e+06
vllm:prefix_cache_hits_total{engine="0"} 21568
vllm:num_preemptions_total{engine="0"} 3
vllm:num_preemptions_created{engine="0"} 1.7e+09
broken{x="
process_cpu_seconds_total NaN
`))
	if err != nil {
		t.Fatal(err)
	}
	want := ServerMetrics{Running: 10, Waiting: 741, KVCacheUsage: 0.5, PrefixQueries: 1.8e6, PrefixHits: 21568, Preemptions: 3}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got.Idle() {
		t.Error("a server with requests is idle")
	}
}

func TestAPageWithoutTheGaugesIsNotAnIdleServer(t *testing.T) {
	for _, page := range []string{"", "<html>not found</html>", "vllm:num_requests_running 0\n"} {
		if m, err := ParseMetrics(strings.NewReader(page)); err == nil {
			t.Errorf("%q read as %+v", page, m)
		}
	}
}

func FuzzMetrics(f *testing.F) {
	f.Add("vllm:num_requests_running{a=\"\\\"}\"} 1\nvllm:num_requests_waiting 0\n")
	f.Add("{ } 1\n#\n\n")
	f.Fuzz(func(t *testing.T, page string) {
		m, err := ParseMetrics(strings.NewReader(page))
		if err == nil && (m.Running < 0 || m.Waiting < 0 || math.IsNaN(m.Running)) {
			t.Errorf("%+v", m)
		}
	})
}

func TestReleasesAreCompared(t *testing.T) {
	for version, want := range map[string][2]int{"0.20.2": {0, 20}, "0.32.0+cpu": {0, 32}, "v0.11.1rc2.dev3+gabc": {0, 11}, "1.2": {1, 2}, "0.1.0": {0, 1}} {
		major, minor, ok := Release(version)
		if got := [2]int{major, minor}; !ok || got != want {
			t.Errorf("%s: %v, %v", version, got, ok)
		}
	}
	for _, version := range []string{"", "dev", "0.1.dev1+g0", "1", "99999999999999999999.1"} {
		if _, _, ok := Release(version); ok {
			t.Errorf("%q is taken for a release", version)
		}
	}
}
