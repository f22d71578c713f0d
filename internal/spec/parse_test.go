package spec

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
)

const minimal = `model: org/model
workload: {input_len: 1800, output_len: 20}
grid:
  max_num_seqs: [128, 256]
  max_num_batched_tokens: [512, 1024]
`

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
		Model: "org/model", System: "GPU", TensorParallel: 1, MaxModelLen: 2048,
		Workload: Workload{InputLen: 1800, OutputLen: 20},
		Grid:     Grid{MaxNumSeqs: []int{128, 256}, MaxNumBatchedTokens: []int{512, 1024}},
		Base:     ".", Scheduler: "local", Site: Site{GPUStyle: "gres"},
		Server: Server{Command: []string{"vllm"}, StartTimeout: "10m"},
		Method: "auto_tune", Client: "vllm", RateSearch: "in-job",
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
		{"on a GPU the whole profile is traced", "", 2048, 0},
		{"on a CPU the profile is bounded", "system: CPU\n", 2048, 10},
		{"a bound written out holds on a CPU too", "system: CPU\nprofile: {max_iterations: 0}\n", 2048, 0},
		{"a model length written out holds", "max_model_len: 1820\n", 1820, 0},
		{"null means the default", "max_model_len: null\nprofile:\n", 2048, 0},
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
	want := Site{Partition: "gpu", Account: "a1", QOS: "high", CPUs: 16, GPUStyle: "gres"}
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
	if s.Workload != (Workload{1800, 20, 60}) || s.Limit.P99E2ELMS != 500 {
		t.Errorf("the template holds %+v and %+v, not the third use case", s.Workload, s.Limit)
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
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
		b.WriteString(indent + strings.TrimPrefix(line[len(indent):], "# ") + "\n")
	}
	if _, err := Parse("template", []byte(b.String())); err != nil {
		t.Errorf("%v\n%s", err, b.String())
	}
}
