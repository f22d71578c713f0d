package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
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

func imported(t *testing.T, imp *Import, err error) *Spec {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("imported", imp.YAML)
	if err != nil {
		t.Fatalf("%v\n%s", err, imp.YAML)
	}
	return s
}

func TestAScriptsDefaultsBecomeTheSpec(t *testing.T) {
	imp, err := FromScript("/opt/engine/benchmarks/auto_tune/auto_tune.sh", []byte(tuner), nil)
	s := imported(t, imp, err)
	want, err := Parse("want", []byte(`
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
	for _, want := range []string{"BASE", "the script's folder", "SYSTEM is TPU"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not mention %s:\n%s", want, notes)
		}
	}
}

func allVariables() []string {
	return []string{
		"BASE=/data", "MODEL=/models/x", "SYSTEM=GPU", "TP=4", "DOWNLOAD_DIR=/cache", "INPUT_LEN=1800", "OUTPUT_LEN=20",
		"MAX_MODEL_LEN=2048", "MIN_CACHE_HIT_PCT=60", "MAX_LATENCY_ALLOWED_MS=500", "NUM_SEQS_LIST=64 32", "NUM_BATCHED_TOKENS_LIST=512",
	}
}

func TestEveryVariableIsTakenOverFromEachSource(t *testing.T) {
	want := &Spec{
		Model: "/models/x", System: "GPU", TensorParallel: 4, DownloadDir: "/cache", MaxModelLen: 2048, Workload: Workload{1800, 20, 60},
		Limit: Limit{500}, Grid: Grid{[]int{64, 32}, []int{512}}, Base: "/data", Scheduler: "local", Site: Site{GPUStyle: "gres"},
		Server: Server{Command: []string{"vllm"}, StartTimeout: "10m"}, Method: "auto_tune", Client: "vllm", RateSearch: "in-job",
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
			if diff := cmp.Diff(want, imported(t, got, err)); diff != "" {
				t.Errorf("spec differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVariablesThatAreNotSetHaveTheScriptsDefaults(t *testing.T) {
	imp, err := FromEnviron([]string{"TP=2", "MODEL=", "HOME=/root"})
	s := imported(t, imp, err)
	if s.TensorParallel != 2 || s.Workload != (Workload{4000, 16, 0}) || s.MaxModelLen != 4096 || s.Limit.P99E2ELMS != 0 || s.System != "GPU" {
		t.Errorf("got %+v", s)
	}
	if diff := cmp.Diff(Grid{[]int{128, 256}, []int{512, 1024, 2048, 4096}}, s.Grid); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(imp.Notes, "\n"), "INPUT_LEN is not set: the script's default 4000") {
		t.Errorf("the notes do not say what was assumed: %q", imp.Notes)
	}
}

func TestALimitOf10BillionMillisecondsIsNone(t *testing.T) {
	for value, want := range map[string]float64{"100000000000": 0, "1e10": 0, "9999999999": 9999999999, "0.5": 0.5} {
		imp, err := FromEnviron([]string{"MAX_LATENCY_ALLOWED_MS=" + value})
		if got := imported(t, imp, err).Limit.P99E2ELMS; got != want {
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
		{"arithmetic", "TP=$((1+1))\n", "a.sh:1:4: TP: is only known when the script runs"},
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
