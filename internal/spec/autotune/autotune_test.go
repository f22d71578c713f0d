package autotune

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
	"vtune/internal/spec"
)

const tuner = `#!/bin/bash
set -euo pipefail
HERE=$( cd -- "$( dirname -- "${BASH_SOURCE[0]}" )" &> /dev/null && pwd )
BASE=${BASE:-"$HERE/../../.."}
MODEL=${MODEL:-"org/model-8B"}
SYSTEM=${SYSTEM:-"TPU"}
TP=${TP:-1}
DOWNLOAD_DIR=${DOWNLOAD_DIR:-""}
INPUT_LEN=${INPUT_LEN:-4000}
OUTPUT_LEN=${OUTPUT_LEN:-16}
MAX_MODEL_LEN=${MAX_MODEL_LEN:-4096}
MIN_CACHE_HIT_PCT=${MIN_CACHE_HIT_PCT:-0}
MAX_LATENCY_ALLOWED_MS=${MAX_LATENCY_ALLOWED_MS:-100000000000}
NUM_SEQS_LIST=${NUM_SEQS_LIST:-"128 256"}
NUM_BATCHED_TOKENS_LIST=${NUM_BATCHED_TOKENS_LIST:-"512 1024 2048 4096"}
NODE=$(hostname)
best=0
measure() {
  local MODEL=$1
  best=$(( best + 1 ))
}
for s in $NUM_SEQS_LIST; do measure "$s"; done
`

func imported(t *testing.T, imp *Import, err error) *spec.Spec {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Parse("imported", imp.YAML)
	if err != nil {
		t.Fatalf("%v\n%s", err, imp.YAML)
	}
	return s
}

func TestAScriptsDefaultsBecomeTheSpec(t *testing.T) {
	imp, err := FromScript("/opt/engine/benchmarks/auto_tune/auto_tune.sh", []byte(tuner), nil)
	s := imported(t, imp, err)
	want, err := spec.Parse("want", []byte(`
base: /opt
model: org/model-8B
system: TPU
max_model_len: 4096
workload: {input_len: 4000, output_len: 16}
grid: {max_num_seqs: [128, 256], max_num_batched_tokens: [512, 1024, 2048, 4096]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("spec differs (-want +got):\n%s", diff)
	}
	for _, v := range scriptVariables() {
		if !strings.Contains(string(imp.YAML), "# from "+v.name+": ") {
			t.Errorf("no line of the spec says that it is from %s:\n%s", v.name, imp.YAML)
		}
	}
	notes := strings.Join(imp.Notes, "\n")
	for _, want := range []string{"BASE", "the script's folder", "SYSTEM is TPU", "scheduler: tpu"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not mention %s:\n%s", want, notes)
		}
	}
}

// asTheScript is the spec with the method's line switched on, as its comment says it may be.
func asTheScript(t *testing.T, imp *Import) *spec.Spec {
	t.Helper()
	const off = "# method: auto_tune "
	if !bytes.Contains(imp.YAML, []byte("\n"+off)) {
		t.Fatalf("no line to switch on:\n%s", imp.YAML)
	}
	s, err := spec.Parse("imported", bytes.Replace(imp.YAML, []byte(off), []byte(off[2:]), 1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnImportedSpecHasTheDefaultMethodAndSaysWhatTheScriptsIs(t *testing.T) {
	imp, err := FromEnviron(allVariables())
	if s := imported(t, imp, err); s.Method != "vtune" {
		t.Errorf("method %s", s.Method)
	}
	if notes := strings.Join(imp.Notes, "\n"); !strings.Contains(notes, "method: auto_tune follows the script to the letter") {
		t.Errorf("the notes do not say it:\n%s", notes)
	}
	imp, err = FromEnviron([]string{"MIN_CACHE_HIT_PCT=100"})
	if s := imported(t, imp, err); s.Method != "auto_tune" {
		t.Errorf("requests without own tokens: method %s", s.Method)
	}
}

func allVariables() []string {
	return []string{
		"BASE=/data", "MODEL=/models/x", "SYSTEM=GPU", "TP=4", "DOWNLOAD_DIR=/cache", "INPUT_LEN=1800", "OUTPUT_LEN=20",
		"MAX_MODEL_LEN=2048", "MIN_CACHE_HIT_PCT=60", "MAX_LATENCY_ALLOWED_MS=500", "NUM_SEQS_LIST=64 32", "NUM_BATCHED_TOKENS_LIST=512",
	}
}

func TestEveryVariableIsTakenOverFromEachSource(t *testing.T) {
	want := &spec.Spec{
		Model: "/models/x", System: "GPU", TensorParallel: 4, PipelineParallel: 1, DownloadDir: "/cache", MaxModelLen: 2048, Workload: spec.Workload{InputLen: 1800, OutputLen: 20, CacheHitPct: 60},
		Limits: []spec.Limit{{Metric: "e2el", Percentile: 99, MS: 500}}, Grid: spec.Grid{MaxNumSeqs: []int{64, 32}, MaxNumBatchedTokens: []int{512}}, Base: "/data", Scheduler: "local",
		Site:   spec.Site{GPUStyle: "gres", Pack: "off", Shape: "jobs", Nodes: 1, Container: spec.Container{Runtime: "none"}},
		Server: spec.Server{Command: []string{"vllm"}, MultiNode: "mp", StartTimeout: "10m"}, Method: "auto_tune", Client: "vllm", RateSearch: "in-job",
		Profile: spec.Profile{With: "own-start"},
	}
	var plain, exported, caller strings.Builder
	for _, v := range allVariables() {
		name, value, _ := strings.Cut(v, "=")
		plain.WriteString(name + "='" + value + "'\n")
		exported.WriteString("export " + name + "=\"" + value + "\"\n")
		caller.WriteString(name + "=\"" + value + "\" \\\n")
	}
	for name, imp := range map[string]func() (*Import, error){
		"the environment":          func() (*Import, error) { return FromEnviron(allVariables()) },
		"the script's environment": func() (*Import, error) { return FromScript("auto_tune.sh", []byte(tuner), allVariables()) },
		"plain assignments":        func() (*Import, error) { return FromScript("a.sh", []byte(plain.String()), nil) },
		"exports":                  func() (*Import, error) { return FromScript("a.sh", []byte(exported.String()), nil) },
		"a call of the script": func() (*Import, error) {
			return FromScript("run.sh", []byte(caller.String()+" bash ./auto_tune.sh\n"), nil)
		},
		"arrays and a later change": func() (*Import, error) {
			return FromScript("a.sh", []byte("TP=1\nNUM_SEQS_LIST=(1)\n"+plain.String()+"declare -a NUM_SEQS_LIST=(64)\nNUM_SEQS_LIST+=(32)\n"), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := imp()
			imported(t, got, err)
			if diff := cmp.Diff(want, asTheScript(t, got)); diff != "" {
				t.Errorf("spec differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVariablesThatAreNotSetHaveTheScriptsDefaults(t *testing.T) {
	imp, err := FromEnviron([]string{"TP=2", "MODEL=", "HOME=/root"})
	s := imported(t, imp, err)
	if s.TensorParallel != 2 || s.Workload != (spec.Workload{InputLen: 4000, OutputLen: 16}) || s.MaxModelLen != 4096 || s.Limits != nil || s.System != "GPU" {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff(spec.Grid{MaxNumSeqs: []int{128, 256}, MaxNumBatchedTokens: []int{512, 1024, 2048, 4096}}, s.Grid); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(imp.Notes, "\n"), "INPUT_LEN is not set: the script's default 4000") {
		t.Errorf("the notes do not say what was assumed: %q", imp.Notes)
	}
}

func TestALimitOf10BillionMillisecondsIsNone(t *testing.T) {
	for value, want := range map[string]float64{"100000000000": 0, "1e10": 0, "9999999999": 9999999999, "0.5": 0.5} {
		imp, err := FromEnviron([]string{"MAX_LATENCY_ALLOWED_MS=" + value})
		got := 0.0
		for _, l := range imported(t, imp, err).Limits {
			got += l.MS
		}
		if got != want {
			t.Errorf("%s gives a limit of %v, want %v", value, got, want)
		}
	}
}

func TestWhatAScriptMayNotSayIsAProblemAtItsPlace(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"no bash", "MODEL=x\nif\n", "a.sh:2:1: does not parse as bash: `if` must be followed by a statement list"},
		{"another script", "A=1\n", "a.sh:1:1: sets none of auto_tune.sh's variables"},
		{"a command", "MODEL=x\nBASE=$(hostname)\n", "a.sh:2:6: BASE: is the output of a command, only known when the script runs"},
		{"a command in another variable", "X=$(date)\nMODEL=m-$X\n", "a.sh:2:9: MODEL: $X is the output of a command, only known when the script runs"},
		{"an unset variable", "BASE=$NOWHERE/x\n", "a.sh:1:6: BASE: $NOWHERE is set neither in the file before this nor in the environment"},
		{"a condition", "TP=1\nif [ -e x ]; then TP=2; fi\n", "a.sh:2:19: TP: is assigned under a condition, in a loop or in a function"},
		{"unset under a condition", "TP=2\nif [ -e x ]; then unset OTHER TP; fi\n", "a.sh:2:31: TP: is unset under a condition, in a loop or in a function"},
		{"unset in a function", "TP=2\nclean() { unset -v TP; }\n", "a.sh:2:20: TP: is unset under a condition, in a loop or in a function"},
		{"two of them", "TP=$(a)\nMODEL=$(b)\n", "a.sh:1:4: TP: is the output of a command, only known when the script runs\na.sh:2:7: MODEL: is the output of a command, only known when the script runs"},
		{"no number", "\nTP=two\n", `a.sh:2:1: TP: wants a whole number, got the text "two"`},
		{"a bad item", "NUM_SEQS_LIST='1 x'\n", `a.sh:1:1: NUM_SEQS_LIST[1]: wants a whole number, got the text "x"`},
		{"too long", "INPUT_LEN=5000\n", "a.sh: MAX_MODEL_LEN: 4096 is less than the 5000 + 16 tokens of a request"},
		{"a relative download dir", "DOWNLOAD_DIR=x\n", `a.sh:1:1: DOWNLOAD_DIR: "x" is not an absolute path: the server runs in another folder`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := FromScript("a.sh", []byte(c.src), nil)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if diag.CodeOf(err) != diag.Spec {
				t.Errorf("got exit code %d", diag.CodeOf(err))
			}
		})
	}
}

func TestAnEnvironmentWithoutTheVariablesIsAUsageError(t *testing.T) {
	if _, err := FromEnviron([]string{"HOME=/x"}); diag.CodeOf(err) != diag.Usage {
		t.Errorf("got %v", err)
	}
}

func FuzzFromScript(f *testing.F) {
	f.Add([]byte(tuner))
	scripts, _ := filepath.Glob("testdata/*.sh")
	for _, path := range scripts {
		if src, err := os.ReadFile(path); err == nil {
			f.Add(src)
		}
	}
	for _, s := range []string{"", "MODEL=x", "TP=~", "BASE=~x", "MODEL=${A:-${B}}", "TP=$'\\x31'", "NUM_SEQS_LIST=([0]=1)", "MODEL[0]=x", "MODEL+=x", "export MODEL", "MODEL=\"\\$x\"", "A=${0##*/} MODEL=${!A}", "BASE=$(cd / && pwd)", "MODEL=<(x)"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		imp, err := FromScript("f.sh", src, []string{"HOME=/home/u"})
		if err != nil {
			var ps diag.Problems
			if !errors.As(err, &ps) {
				t.Fatalf("error of type %T", err)
			}
			for _, p := range ps {
				if p.Pos.File != "f.sh" || p.What == "" {
					t.Fatalf("problem without a place: %#v", p)
				}
			}
			return
		}
		if _, err := spec.Parse("imported", imp.YAML); err != nil {
			t.Fatalf("%v\n%s", err, imp.YAML)
		}
		for _, n := range imp.Notes {
			if n == "" || strings.HasPrefix(n, "f.sh:0") {
				t.Fatalf("note without a place: %q", n)
			}
		}
	})
}
