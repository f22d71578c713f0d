package spec

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
	"vtune/internal/spec/table"
)

const minimal = `model: org/model
workload: {input_len: 1800, output_len: 20}
grid:
  max_num_seqs: [128, 256]
  max_num_batched_tokens: [512, 1024]
`

// plainSite is a site of which nothing is said.
func plainSite() Site {
	return Site{GPUStyle: "gres", Pack: "off", Shape: "jobs", Nodes: 1, Container: Container{Runtime: "none"}}
}

func problemsOf(t *testing.T, err error) diag.Problems {
	t.Helper()
	var ps diag.Problems
	if !errors.As(err, &ps) {
		t.Fatalf("got error %v, want problems", err)
	}
	return ps
}

func lines(ps diag.Problems) string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String() + "\n")
		if p.Hint != "" {
			b.WriteString("  hint: " + p.Hint + "\n")
		}
	}
	return b.String()
}

func TestTwentyMistakesAreTwentyProblems(t *testing.T) {
	data, err := os.ReadFile("testdata/twenty.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/twenty.golden")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("spec.yaml", data)
	ps := problemsOf(t, err)
	if len(ps) != 20 {
		t.Errorf("got %d problems, want 20", len(ps))
	}
	if diff := cmp.Diff(string(want), lines(ps)); diff != "" {
		t.Errorf("problems differ (-want +got):\n%s", diff)
	}
	if diag.CodeOf(err) != diag.Spec {
		t.Errorf("got exit code %d, want %d", diag.CodeOf(err), diag.Spec)
	}
}

func TestOnlyFourKeysAreRequiredAndTheRestHasDefaults(t *testing.T) {
	got, err := Parse("spec.yaml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := &Spec{
		Model: "org/model", System: "GPU", TensorParallel: 1, PipelineParallel: 1, MaxModelLen: 2048,
		Workload: Workload{InputLen: 1800, OutputLen: 20},
		Grid:     Grid{MaxNumSeqs: []int{128, 256}, MaxNumBatchedTokens: []int{512, 1024}},
		Base:     ".", Scheduler: "local", Site: plainSite(),
		Server: Server{Command: []string{"vllm"}, MultiNode: "mp", StartTimeout: "10m"},
		Method: "vtune", Client: "vtune", Plan: "columns", Prune: "bound", Emulate: "auto", Tolerance: 0.02, RateSearch: "in-job",
		Test:     Test{Zone: 0.5, FalsePass: 0.01, FalseMiss: 0.01, MaxRequests: 3000, MaxTime: "1h"},
		Arrivals: Arrivals{Burstiness: "1", LatencyFrom: "due"}, Verify: Verify{Duration: "10m"},
		Profile: Profile{With: "confirm", MaxIterations: 20}, Outliers: "mark",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec differs (-want +got):\n%s", diff)
	}
}

func TestDefaultsThatRestOnOtherKeys(t *testing.T) {
	for _, c := range []struct {
		name, add  string
		length     int
		iterations int
	}{
		{"the profile is bounded", "", 2048, 20},
		{"the script's profile is whole on a GPU", "method: auto_tune\n", 2048, 0},
		{"the script's profile is bounded on a CPU", "method: auto_tune\nsystem: CPU\n", 2048, 10},
		{"a bound written out holds on a CPU too", "system: CPU\nprofile: {max_iterations: 0}\n", 2048, 0},
		{"a model length written out holds", "max_model_len: 1820\n", 1820, 20},
		{"null means the default", "max_model_len: null\nprofile:\n", 2048, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse("spec.yaml", []byte(minimal+c.add))
			if err != nil {
				t.Fatal(err)
			}
			if s.MaxModelLen != c.length || s.Profile.MaxIterations != c.iterations {
				t.Errorf("got length %d and %d iterations, want %d and %d", s.MaxModelLen, s.Profile.MaxIterations, c.length, c.iterations)
			}
		})
	}
}

func TestEachMistakeIsOneProblemAtItsPlace(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"an empty file", "", "s:1:1: the file is empty"},
		{"a file of comments", "# nothing\n", "s:1:1: the file is empty"},
		{"a list", "- a\n", `s:1:1: wants keys and values, got a list`},
		{"a second document", minimal + "---\nmodel: x\n", "s:6:1: a second YAML document"},
		{"bad bytes", "model: \xff\n", "s:1:8: byte 0xff is not UTF-8"},
		{"a control character", "model: a\nbase: \"\x01\"\n", "s:2:8: control character U+0001"},
		{"a tab", "workload:\n\tinput_len: 1\n", "s:2:1: found character that cannot start any token: a tab indents this line"},
		{"an unknown anchor", minimal + "site: *gpu\n", "s:6:7: unknown anchor 'gpu' referenced"},
		{"an indent too far", "model: a\n  system: GPU\n", "s:2:3: mapping values are not allowed in this context"},
		{"an indent too near", "site:\n    time: 60\n  qos: a\n", "s:3:3: did not find expected key"},
		{"an open bracket", "model: a\ngrid: [1\n", "s:2:1: did not find expected ',' or ']'"},
		{"an unknown key", minimal + "colour: red\n", "s:6:1: colour: unknown key"},
		{"an unknown key in a group", minimal + "site: {partitoin: x}\n", "s:6:8: site.partitoin: unknown key"},
		{"a key twice", minimal + "model: b\n", "s:6:1: model: stands here a second time, first in line 1"},
		{"a missing key", strings.Replace(minimal, "model: org/model\n", "", 1), "s:1:1: model: is missing"},
		{"a missing key in a group", strings.Replace(minimal, ", output_len: 20", "", 1), "s:2:11: workload.output_len: is missing"},
		{"a misspelled required key", strings.Replace(minimal, "output_len", "outputlen", 1), "s:2:29: workload.outputlen: unknown key"},
		{"no value", strings.Replace(minimal, "org/model", "", 1), "s:1:7: model: has no value"},
		{"a number for a group", minimal + "site: 3\n", "s:6:7: site: wants keys and values, got the number 3"},
		{"a truth value for text", minimal + "download_dir: true\n", "s:6:15: download_dir: wants text, got the truth value true"},
		{"the script's list", strings.Replace(minimal, "[128, 256]", "128 256", 1), `s:4:17: grid.max_num_seqs: wants a list, got the text "128 256"`},
		{"an empty axis", strings.Replace(minimal, "[128, 256]", "[]", 1), "s:4:17: grid.max_num_seqs: is empty"},
		{"a zero in an axis", strings.Replace(minimal, "[128, 256]", "[0]", 1), "s:4:18: grid.max_num_seqs[0]: 0 is not 1 or more (at most 2147483647)"},
		{"a huge number", minimal + "seed: 4294967296\n", "s:6:7: seed: 4294967296 is not between 0 and 4294967295"},
		{"a hexadecimal number", minimal + "seed: 0x10\n", "s:6:7: seed: wants a decimal number, got 0x10"},
		{"an infinite limit", minimal + "limit: {p99_e2el_ms: .inf}\n", "s:6:22: limit.p99_e2el_ms: .inf is not a finite number"},
		{"a limit of text", minimal + "limit: {p99_e2el_ms: fast}\n", `s:6:22: limit.p99_e2el_ms: wants a number, got the text "fast"`},
		{"too long requests", minimal + "max_model_len: 1819\n", "s:6:16: max_model_len: 1819 is less than the 1800 + 20 tokens of a request"},
		{"two axes that clash", strings.Replace(minimal, "512", "200", 1), "s:5:28: grid.max_num_batched_tokens[0]: 200 is below max_num_seqs 256, which vLLM refuses"},
		{"a newline in the model", "model: \"a\\nb\"\n" + minimal[17:], `s:1:8: model: "a\nb" is not a model's name or path`},
		{"a flag as the model", "model: --port\n" + minimal[17:], `s:1:8: model: "--port" is not a model's name or path`},
		{"a command in one string", minimal + "server: {command: docker run}\n", `s:6:19: server.command: "docker run" is one executable`},
		{"an empty command", minimal + "server: {command: []}\n", "s:6:19: server.command: is empty"},
		{"a secret with its value", minimal + "server: {secrets: [HF_TOKEN=hf_abc]}\n", "s:6:20: server.secrets[0]: this is not a variable's name; the value comes from your environment"},
		{"a secret twice", minimal + "server: {secrets: [A, A]}\n", "s:6:23: server.secrets[1]: A stands here a second time"},
		{"a secret that is public", minimal + "server: {secrets: [A], environment: {A: x}}\n", "s:6:20: server.secrets[0]: A stands in server.environment too"},
		{"two forms of limits", minimal + "limit: {p99_e2el_ms: 5}\nlimits: [{metric: e2el, ms: 5}]\n", "s:7:9: limits: stands beside limit.p99_e2el_ms in line 6"},
		{"a limit of an unknown metric", minimal + "limits: [{metric: p99, ms: 5}]\n", `s:6:19: limits[0].metric: "p99" is not ttft, tpot, itl or e2el`},
		{"a limit without a metric", minimal + "limits: [{ms: 5}]\n", "s:6:10: limits[0].metric: is missing"},
		{"a limit without a value", minimal + "limits:\n- metric: ttft\n", "s:7:3: limits[0].ms: is missing"},
		{"a limit as text", minimal + "limits: [ttft]\n", `s:6:10: limits[0]: wants keys and values, got the text "ttft"`},
		{"limits that are no list", minimal + "limits: {metric: ttft, ms: 5}\n", "s:6:9: limits: wants a list, got keys and values"},
		{"an unknown key of a limit", minimal + "limits: [{metric: ttft, ms: 5, p: 9}]\n", "s:6:32: limits[0].p: unknown key"},
		{"a limit of 0 ms", minimal + "limits: [{metric: ttft, ms: 0}]\n", "s:6:29: limits[0].ms: 0 is not above 0"},
		{
			"a percentile of 100", minimal + "limits: [{metric: ttft, ms: 5, percentile: 100}]\n",
			"s:6:44: limits[0].percentile: 100 would forbid a single slow request, which no number of requests can show",
		},
		{
			"a percentile of 0", minimal + "limits: [{metric: ttft, ms: 5, percentile: 0}]\n",
			"s:6:44: limits[0].percentile: 0 would let every request be slow",
		},
		{
			"a percentile above 100", minimal + "limits: [{metric: ttft, ms: 5, percentile: 101}]\n",
			"s:6:44: limits[0].percentile: 101 is not above 0 and below 100",
		},
		{
			"a limit twice", minimal + "limits: [{metric: ttft, ms: 5}, {metric: ttft, ms: 6, percentile: 99}]\n",
			"s:6:33: limits[1]: P99 of ttft stands at [0] already",
		},
		{
			"limits that are not monotone", minimal + "limits: [{metric: ttft, ms: 5}, {metric: ttft, ms: 6, percentile: 50}]\n",
			"s:6:33: limits[1]: P99 of ttft cannot be below its P50: one of 6 ms and 5 ms (at [0]) is without effect",
		},
		{"a goodput of nothing", minimal + "goodput_pct: 95\n", "s:6:14: goodput_pct: there is no limit that requests could be within"},
		{"a goodput of 100 %", minimal + "limit: {p99_e2el_ms: 5}\ngoodput_pct: 100\n", "s:7:14: goodput_pct: 100 is not above 0 and below 100"},
		{
			"a percentile beyond the budget", minimal + "limits: [{metric: ttft, ms: 5, percentile: 99.9}]\n",
			"s:6:10: limits[0]: 99.9 % cannot be shown by test.max_requests 3000: it takes 3068 even if none is beyond the limit",
		},
		{
			"a budget too small for the limit", minimal + "limit: {p99_e2el_ms: 5}\ntest: {max_requests: 300}\n",
			"s:6:22: limit.p99_e2el_ms: 99 % cannot be shown by test.max_requests 300: it takes 305 even if none is beyond the limit",
		},
		{
			"a prefix of the whole prompt", strings.Replace(minimal, "20}", "20, cache_hit_pct: 100}", 1),
			"s:2:60: workload.cache_hit_pct: 100 % leaves a request no tokens of its own, and prompts could not be told apart",
		},
		{
			"the script's client", minimal + "client: vllm\n",
			"s:6:9: client: method vtune ends a load as soon as its verdict is sure, which vllm bench serve cannot",
		},
		{"rate searches as jobs", minimal + "rate_search: follow-up\n", "s:6:14: rate_search: method vtune searches in the cell's job"},
		{"a burstiness of 0", minimal + "arrivals: {burstiness: 0}\n", "s:6:24: arrivals.burstiness: 0 is not between 0.01 and 1000"},
		{"a zone too wide", minimal + "test: {zone: 1}\n", "s:6:14: test.zone: 1 is not between 0.05 and 0.95"},
		{"a budget too small", minimal + "test: {max_requests: 99}\n", "s:6:22: test.max_requests: 99 is not 100 or more (at most 2147483647)"},
		{"a budget without an end", minimal + "test: {max_time: 0s}\n", "s:6:18: test.max_time: 0s is not between 1s and 24h"},
		{
			"a vocabulary of two", strings.Replace(minimal, "20}", "20, vocab_size: 2}", 1),
			"s:2:57: workload.vocab_size: 2 is not 16 or more (at most 2147483647)",
		},
		{
			"a cache root twice", minimal + "server: {cache_root: /a, environment: {VLLM_CACHE_ROOT: /b}}\n",
			"s:6:22: server.cache_root: VLLM_CACHE_ROOT stands in server.environment too",
		},
		{"the script's method with a key of ours", minimal + "method: auto_tune\ntest: {zone: 0.4}\n", "s:7:14: test.zone: only method vtune knows this key"},
		{
			"the script's method with a goodput", minimal + "method: auto_tune\nlimit: {p99_e2el_ms: 5}\ngoodput_pct: 95\n",
			"s:8:14: goodput_pct: only method vtune knows this key",
		},
		{
			"the script's method with another limit", minimal + "method: auto_tune\nlimits: [{metric: ttft, ms: 5}]\n",
			"s:7:10: limits[0]: method auto_tune knows one limit, on P99 E2EL",
		},
		{
			"the script's method with two limits", minimal + "method: auto_tune\nlimits: [{metric: e2el, ms: 5}, {metric: e2el, percentile: 50, ms: 4}]\n",
			"s:7:33: limits[1]: method auto_tune knows one limit, on P99 E2EL",
		},
		{"the script's method with our profile", minimal + "method: auto_tune\nprofile: {with: confirm}\n", "s:7:17: profile.with: method auto_tune has no confirming run"},
		{
			"a claim about several cells", minimal + "verify: {rate: 5}\n",
			"s:6:16: verify.rate: is a claim about one cell, and the grid has 4",
		},
		{"a claim of nothing", oneCell + "verify: {rate: 0}\n", "s:6:16: verify.rate: 0 is not above 0 and below 1e+06"},
		{"a claim without a duration's unit", oneCell + "verify: {rate: 5, duration: 10}\n", `s:6:29: verify.duration: "10" is not a duration`},
		{
			"a claim about more memory than there is", oneCell + "verify: {rate: 5, gpu_memory_utilization: 1.1}\n",
			"s:6:43: verify.gpu_memory_utilization: 1.1 is not between 0.01 and 1",
		},
		{"a claim by the script's method", oneCell + "method: auto_tune\nverify: {rate: 5}\n", "s:7:16: verify.rate: only method vtune knows this key"},
		{
			"a run too short for its claim", oneCell + "limit: {p99_e2el_ms: 5}\nverify: {rate: 0.5}\n",
			"s:6:22: limit.p99_e2el_ms: 99 % cannot be shown by the requests of verify 300: it takes 305 even if none is beyond the limit",
		},
		{"a merge of a list", minimal + "x-a: &a [1]\nsite:\n  <<: *a\n", "s:8:7: site.<<: wants an anchor of keys and values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("s", []byte(c.spec))
			ps := problemsOf(t, err)
			if got := ps.Error(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestTheShortFormOfALimitIsTheListOfOne(t *testing.T) {
	for _, written := range []string{"limit: {p99_e2el_ms: 500}\n", "limits: [{metric: e2el, ms: 500}]\n", "limits:\n- ms: 500.0\n  metric: e2el\n  percentile: 99\n"} {
		for _, method := range []string{"", "method: auto_tune\n"} {
			s, err := Parse("s", []byte(minimal+written+method))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Limit{{"e2el", 99, 500}}, s.Limits); diff != "" || s.Limit.P99E2ELMS != 0 {
				t.Errorf("%s (-want +got):\n%s and %+v", written, diff, s.Limit)
			}
		}
	}
}

// oneCell is minimal with a grid of one.
var oneCell = strings.NewReplacer("128, 256", "128", "512, 1024", "1024").Replace(minimal)

func TestAClaimIsOneRunAndNoSearch(t *testing.T) {
	s, err := Parse("s", []byte(oneCell+"limit: {p99_e2el_ms: 5}\nverify: {rate: 12.3456, gpu_memory_utilization: 0.95}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Verify; v.Seconds() != 600 || v.Requests() != 7408 || v.Utilization != 0.95 || s.Profile.With != "none" {
		t.Errorf("%+v for %g s, %d requests, profile %s", v, v.Seconds(), v.Requests(), s.Profile.With)
	}
	const head = "A claim.\nOf somebody."
	text := string(s.Under(head))
	again, err := Parse("again", []byte(text))
	if diff := cmp.Diff(s, again); err != nil || diff != "" || !strings.HasPrefix(text, "# A claim.\n# Of somebody.\n\n") {
		t.Errorf("%v, written and read again (-want +got):\n%s%s", err, diff, text)
	}
}

func TestSeveralLimitsAreFineWhereNoneImpliesAnother(t *testing.T) {
	s, err := Parse("s", []byte(minimal+"goodput_pct: 95.5\nlimits:\n- {metric: ttft, ms: 200}\n- {metric: itl, percentile: 99.9, ms: 40}\n- {metric: ttft, percentile: 50, ms: 80}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Limit{{"ttft", 99, 200}, {"itl", 99.9, 40}, {"ttft", 50, 80}}, s.Limits); diff != "" || s.GoodputPct != 95.5 {
		t.Errorf("limits (-want +got):\n%s, goodput %v", diff, s.GoodputPct)
	}
}

func TestAPlansShapeFollowsWhatIsScarce(t *testing.T) {
	for _, c := range []struct{ add, want string }{
		{"", "columns"},
		{"scheduler: local\nsite: {max_parallel: 9}\n", "columns"},
		{"scheduler: slurm\n", "cells"},
		{"scheduler: slurm\nsite: {max_parallel: 4}\n", "cells"},
		{"scheduler: slurm\nsite: {max_parallel: 3}\n", "columns"},
		{"scheduler: slurm\nplan: columns\n", "columns"},
		{"plan: cells\n", "cells"},
		{"method: auto_tune\n", ""},
	} {
		s, err := Parse("s", []byte(minimal+c.add))
		if err != nil {
			t.Fatal(err)
		}
		if s.Plan != c.want {
			t.Errorf("%q: plan %q, want %q", c.add, s.Plan, c.want)
		}
	}
}

// What a method does not know has no value under it, also where defaults would give one.
func TestTheScriptsMethodHasTheScriptsDefaults(t *testing.T) {
	got, err := Parse("s", []byte(minimal+"method: auto_tune\ntest: {}\narrivals:\n"))
	if err != nil {
		t.Fatal(err)
	}
	got.Model, got.Workload, got.Grid, got.Server = "", Workload{}, Grid{}, Server{}
	want := &Spec{
		System: "GPU", TensorParallel: 1, PipelineParallel: 1, MaxModelLen: 2048, Base: ".", Scheduler: "local", Site: plainSite(),
		Method: "auto_tune", Client: "vllm", RateSearch: "in-job", Profile: Profile{With: "own-start"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spec differs (-want +got):\n%s", diff)
	}
}

func TestArrivalsAsANumber(t *testing.T) {
	for word, want := range map[string]float64{"1": 1, "0.5": 0.5, "constant": 1e9, "": 0} {
		if got := (Arrivals{Burstiness: word}).Shape(); got != want {
			t.Errorf("%q: %v, want %v", word, got, want)
		}
	}
}

func TestSecretsAreNotRepeatedInProblems(t *testing.T) {
	for _, add := range []string{
		"server: {secrets: [HF_TOKEN=hunter2]}\n",
		"server: {secrets: HF_TOKEN=hunter2}\n",
		"server: {environment: {HF_TOKEN: hunter2}}\n",
		"server: {environment: HF_TOKEN=hunter2}\n",
		"server: {environment: {A: \"hunter2\\0\"}}\n",
		"server: {flags: [--api-key=hunter2]}\n",
		"server: {flags: [--api-key hunter2]}\n",
		"site: {environment: [export HF_TOKEN=hunter2]}\n",
	} {
		_, err := Parse("s", []byte(minimal+add))
		for _, p := range problemsOf(t, err) {
			if strings.Contains(p.String()+p.Hint, "hunter2") {
				t.Errorf("%s is answered by %s (%s)", add, p, p.Hint)
			}
		}
	}
}

func TestAnchorsAndMergesWork(t *testing.T) {
	s, err := Parse("s", []byte(minimal+`
x-site: &site {partition: gpu, account: a1, cpus: 8}
x-more: &more {account: a2, qos: high}
x-axis: &lots 4096
site:
  <<: [*site, *more]
  cpus: 16
server:
  flags: [--max-logprobs, *lots]
`))
	if err != nil {
		t.Fatal(err)
	}
	want := plainSite()
	want.Partition, want.Account, want.QOS, want.CPUs = "gpu", "a1", "high", 16
	if diff := cmp.Diff(want, s.Site); diff != "" {
		t.Errorf("site differs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"--max-logprobs", "4096"}, s.Server.Flags); diff != "" {
		t.Errorf("flags differ (-want +got):\n%s", diff)
	}
}

func TestTextKeepsTheCharactersThatAreWritten(t *testing.T) {
	s, err := Parse("s", []byte(minimal+"site: {time: 060, account: 0123, qos: 1.10}\nserver: {environment: {A: 1e3, B: 2026-01-01, C: }}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Site.Time != "060" || s.Site.Account != "0123" || s.Site.QOS != "1.10" {
		t.Errorf("got %q %q %q", s.Site.Time, s.Site.Account, s.Site.QOS)
	}
	if diff := cmp.Diff(map[string]string{"A": "1e3", "B": "2026-01-01", "C": ""}, s.Server.Environment); diff != "" {
		t.Errorf("environment differs (-want +got):\n%s", diff)
	}
}

func TestAnchorsThatContainThemselvesEnd(t *testing.T) {
	for _, spec := range []string{
		"x-a: &a\n  <<: *a\n  partition: p\nsite:\n  <<: *a\n" + minimal,
		"x-a: &a [*a]\ngrid: {max_num_seqs: *a, max_num_batched_tokens: [1]}\n",
		"&r\nx-r: *r\n<<: *r\n" + minimal,
	} {
		if _, err := Parse("s", []byte(spec)); err != nil {
			problemsOf(t, err)
		}
	}
}

func TestExamplesAndTheTemplateParse(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/spec.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("found %d examples (%v), want at least 4", len(files), err)
	}
	for _, f := range files {
		if _, err := Load(f); err != nil {
			t.Error(err)
		}
	}
	s, err := Parse("template", Template())
	if err != nil {
		t.Fatal(err)
	}
	if s.Workload != (Workload{1800, 20, 60, 0}) || !slices.Equal(s.Limits, []Limit{{"e2el", 99, 500}}) {
		t.Errorf("the template holds %+v and %+v, not the third use case", s.Workload, s.Limits)
	}
}

func TestAFileThatCannotBeReadHasTheSpecsExitCode(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"))
	if !errors.Is(err, os.ErrNotExist) || diag.CodeOf(err) != diag.Spec {
		t.Errorf("got %v with code %d", err, diag.CodeOf(err))
	}
}

func TestEveryCommentedOutLineOfTheTemplateIsValid(t *testing.T) {
	text := string(Template())
	_, text, _ = strings.Cut(text, "\n\n")
	var ofTPU []string // no run has these beside those of Slurm: see TestWhatTheTemplateShowsOfTPUsIsValid
	table.Walk(fields(), "", func(f field, _ string) {
		if f.Scheduler == tpu {
			ofTPU = append(ofTPU, f.Key+": "+f.Suggestion().Value+" ")
		}
	})
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		bare := strings.TrimPrefix(line[len(indent):], "# ")
		if !slices.ContainsFunc(ofTPU, func(start string) bool { return strings.HasPrefix(bare, start) }) {
			line = indent + bare
		}
		b.WriteString(line + "\n")
	}
	text = strings.Replace(b.String(), "scheduler: local", "scheduler: slurm", 1)                        // which the keys of clusters are for
	text = strings.NewReplacer("[128, 256]", "[256]", "[512, 1024, 2048, 4096]", "[4096]").Replace(text) // which a claim is about
	named := ""
	if _, err := ParseWith("template", []byte(text), func(name string) (string, []byte, error) {
		named = name
		return name, []byte("x-: nothing\n"), nil
	}); err != nil || named == "" {
		t.Errorf("%v\n%s", err, text)
	}
}
