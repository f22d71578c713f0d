package autotune

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
	"vtune/internal/spec"
)

func entry(pairs ...string) Settings {
	set := Settings{Pos: diag.Pos{File: "runs.json", Line: 2, Col: 3}}
	for i := 0; i < len(pairs); i += 2 {
		set.Variables = append(set.Variables, Setting{pairs[i], pairs[i+1], diag.Pos{File: "runs.json", Line: 3 + i/2, Col: 5}})
	}
	return set
}

func merged(t *testing.T, set Settings, common *Common) *spec.Spec {
	t.Helper()
	imp, err := FromSettings("/runs", set, common)
	if err != nil {
		t.Fatal(err)
	}
	s, err := spec.Parse("merged", imp.YAML)
	if err != nil {
		t.Fatalf("%v\n%s", err, imp.YAML)
	}
	again, err := FromSettings("/runs", set, common)
	if err != nil || string(again.YAML) != string(imp.YAML) {
		t.Errorf("made twice, it differs: %v", err)
	}
	return s
}

func TestAnEntryGoesOverTheCommonSpecAndThatOverTheScriptsDefaults(t *testing.T) {
	common := &Common{File: "base.yaml", Folder: "/etc", Data: []byte(`
scheduler: slurm
site: {partition: gpu} # ours
max_model_len: 8192
limits: [{metric: ttft, ms: 300}]
tensor_parallel: 2
workload: {output_len: 9}
server: {flags: [--dtype, auto], secrets_file: secrets}
base: results
`)}
	s := merged(t, entry("TP", "4", "INPUT_LEN", "100"), common)
	if s.TensorParallel != 4 || s.Workload != (spec.Workload{InputLen: 100, OutputLen: 9}) || s.MaxModelLen != 8192 || s.Site.Partition != "gpu" || s.Base != "/etc/results" || s.Server.SecretsFile != "/etc/secrets" {
		t.Errorf("%+v", s)
	}
	if diff := cmp.Diff([]spec.Limit{{Metric: "ttft", Percentile: 99, MS: 300}}, s.Limits); diff != "" {
		t.Error(diff)
	}
	if s.Model != "meta-llama/Llama-3.1-8B-Instruct" || len(s.Grid.MaxNumBatchedTokens) != 4 {
		t.Errorf("without the script's defaults: %+v", s)
	}

	s = merged(t, entry("MAX_LATENCY_ALLOWED_MS", "500", "BASE", "out"), common)
	if diff := cmp.Diff([]spec.Limit{{Metric: "e2el", Percentile: 99, MS: 500}}, s.Limits); diff != "" || s.Base != "/runs/out" {
		t.Errorf("%s %s", s.Base, diff)
	}
	if s := merged(t, entry("MAX_LATENCY_ALLOWED_MS", "1e11"), common); s.Limits != nil {
		t.Errorf("no limit is %+v", s.Limits)
	}
}

func TestAnEntryAloneIsWhatTheScriptWouldTakeFromIt(t *testing.T) {
	set := entry("MODEL", "m", "NUM_SEQS_LIST", "8 16", "MIN_CACHE_HIT_PCT", "100")
	set.Environment = []Setting{{Name: "VLLM_LOGGING_LEVEL", Value: "DEBUG"}}
	s := merged(t, set, nil)
	if s.Base != "/runs" || s.Method != spec.MethodAutoTune || s.Scheduler != "local" || s.Server.Environment["VLLM_LOGGING_LEVEL"] != "DEBUG" {
		t.Errorf("%+v", s)
	}
	want, err := FromEnviron([]string{"MODEL=m", "NUM_SEQS_LIST=8 16", "MIN_CACHE_HIT_PCT=100"})
	o := imported(t, want, err)
	o.Base, o.Server.Environment = s.Base, s.Server.Environment
	if diff := cmp.Diff(o, s); diff != "" {
		t.Errorf("differs from the environment's (-want +got):\n%s", diff)
	}
}

func TestAProblemOfAnEntryIsToldAtItsKey(t *testing.T) {
	common := &Common{File: "base.yaml", Data: []byte("scheduler: slurm\nsite: {partition: 'a b'}\n")}
	for _, c := range []struct {
		set    Settings
		common *Common
		want   string
	}{
		{entry("TP", "two"), nil, `runs.json:3:5: TP: wants a whole number, got the text "two"`},
		{entry("TP", "1", "NUM_SEQS_LIST", "1 x"), nil, `runs.json:4:5: NUM_SEQS_LIST[1]: wants a whole number, got the text "x"`},
		{entry("INPUT_LEN", "5000"), nil, "runs.json:2:3: max_model_len: 4096 is less than the 5000 + 16 tokens of a request"},
		{entry("TP", "1"), common, "base.yaml:2:19: site.partition: "},
		{entry("TP", "1"), &Common{File: "base.yaml", Data: []byte("modle: x\n")}, "base.yaml: modle: unknown key"},
		{entry("TP", "1"), &Common{File: "base.yaml", Data: []byte("- x\n")}, "base.yaml:1:1: wants keys and values"},
	} {
		_, err := FromSettings("/runs", c.set, c.common)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}
