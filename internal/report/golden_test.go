package report

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the goldens in testdata")

const (
	runDir = "/base/auto-benchmark/2026_11_23_10_30"
	serve  = "vllm serve some/model --max-num-seqs 128 --max-num-batched-tokens 2048"
)

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestEveryEndOfARunHasItsResultTxtAndItsSummary(t *testing.T) {
	for name, st := range cases() {
		t.Run(name, func(t *testing.T) {
			golden(t, name+"/result.txt", ResultTxt(aRun(), st, runDir+"/profile"))
			golden(t, name+"/summary", []byte(Summary(aRun(), st, runDir, serve)))
		})
	}
}

func TestEveryGoldenHasItsCase(t *testing.T) {
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	known := cases()
	for _, e := range entries {
		if _, ok := known[e.Name()]; !ok && e.Name() != "rapid" && e.Name() != "fuzz" {
			t.Errorf("testdata/%s belongs to no case", e.Name())
		}
	}
}

func TestResultJSONCarriesEverythingWithUnits(t *testing.T) {
	for _, name := range []string{"accepted-at-a-rate", "probe-failed", "invalid-observations", "vtune"} {
		t.Run(name, func(t *testing.T) {
			got, err := ResultJSON(aRun(), cases()[name])
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+"/result.json", got)
		})
	}
}
