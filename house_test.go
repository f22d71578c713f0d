// Package vtune_test holds the house to its plan: which package may import which, and where each effect may be had.
package vtune_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// edges are all imports there may be between packages of this module. A new edge is a decision, made here.
var edges = map[string][]string{
	"internal/diag":        {},
	"internal/need":        {},
	"internal/fsx":         {},
	"internal/shell":       {},
	"internal/stat":        {},
	"internal/proc":        {},
	"internal/vocab":       {},
	"internal/sim":         {"internal/stat"},
	"internal/load":        {"internal/load/kernel", "internal/load/wire", "internal/stat"},
	"internal/load/wire":   {},
	"internal/load/kernel": {},
	"internal/record":      {},
	"internal/compare":     {"internal/diag", "internal/record", "internal/report", "internal/report/layout", "internal/search", "internal/spec"},
	"internal/search":      {"internal/record", "internal/verdict"},
	"internal/deploy":      {"internal/diag", "internal/record", "internal/shell", "internal/spec", "internal/spec/tree", "internal/vllm"},
	"internal/verdict":     {"internal/record", "internal/stat"},
	"internal/report":      {"internal/fsx", "internal/record", "internal/search"},
	"internal/report/page": {"internal/record", "internal/report"},
	"internal/vllm":        {"internal/record"},
	"internal/imports":     {"internal/diag", "internal/record", "internal/vllm"},
	"internal/spec":        {"internal/diag", "internal/spec/slice", "internal/spec/table", "internal/spec/tree", "internal/spec/word"},

	"internal/imports/folder": {"internal/diag", "internal/imports", "internal/record", "internal/search", "internal/vllm"},

	"internal/sim/uniform":   {"internal/sim"},
	"internal/report/layout": {"internal/record"},
	"internal/spec/autotune": {"internal/diag", "internal/spec", "internal/spec/script", "internal/spec/tree", "internal/spec/word"},
	"internal/spec/sites":    {"internal/diag", "internal/spec/word"},
	"internal/spec/table":    {"internal/spec/tree", "internal/spec/word"},
	"internal/spec/tree":     {"internal/diag", "internal/spec/word"},
	"internal/spec/word":     {},
	"internal/spec/script":   {},
	"internal/spec/slice":    {},

	"internal/gcp":               {"internal/diag"},
	"internal/bucket":            {"internal/diag", "internal/fsx", "internal/gcp"},
	"internal/batchfile":         {"internal/diag"},
	"internal/bucket/buckettest": {"internal/need", "internal/proc"},
	"internal/mirror":            {"internal/bucket", "internal/fsx", "internal/mirror/memory", "internal/mirror/names", "internal/record"},
	"internal/mirror/memory":     {"internal/fsx", "internal/mirror/names", "internal/record"},
	"internal/mirror/names":      {"internal/fsx", "internal/record"},

	"internal/aboard":        {"internal/fsx", "internal/record"},
	"internal/crew":          {"internal/aboard", "internal/diag", "internal/fsx", "internal/proc", "internal/record"},
	"internal/worker":        {"internal/mirror/names", "internal/aboard", "internal/bucket", "internal/crew", "internal/diag", "internal/fsx", "internal/proc", "internal/record", "internal/worker/porter", "internal/worker/remote"},
	"internal/worker/porter": {"internal/bucket", "internal/fsx", "internal/mirror/names", "internal/record", "internal/worker/remote"},
	"internal/worker/remote": {"internal/bucket", "internal/fsx", "internal/record"},
	"internal/serving":       {"internal/proc", "internal/record", "internal/vllm"},
	"internal/client":        {"internal/fsx", "internal/load", "internal/proc", "internal/record", "internal/serving", "internal/verdict", "internal/vllm"},
	"internal/ledger":        {"internal/record"},
	"internal/hardware":      {"internal/fsx", "internal/proc", "internal/record"},
	"internal/agent": {
		"internal/aboard", "internal/client", "internal/diag", "internal/fsx", "internal/hardware", "internal/ledger", "internal/proc", "internal/record", "internal/search",
		"internal/serving", "internal/vllm", "internal/vocab",
	},

	"templates":     {"internal/deploy", "internal/diag", "internal/record", "internal/shell", "internal/spec"},
	"jobs":          {"internal/fsx", "internal/record", "internal/search", "internal/spec"},
	"jobs/jobstest": {"internal/record", "jobs"},
	"jobs/local":    {"internal/fsx", "internal/proc", "internal/record", "jobs"},
	"jobs/slurm":    {"internal/record", "internal/shell", "jobs"},
	"jobs/tpu":      {"internal/fsx", "internal/record", "internal/spec", "internal/spec/slice", "jobs"},

	"jobs/tpu/zone":            {"jobs/tpu"},
	"jobs/tpu/tputest":         {"internal/proc", "jobs/tpu/tputest/machine", "jobs/tpu/tputest/schema", "jobs/tpu/tputest/token"},
	"jobs/tpu/tputest/machine": {"internal/proc"},
	"jobs/tpu/tputest/schema":  {},
	"jobs/tpu/tputest/token":   {},
	"collect/chain":            {"internal/fsx", "internal/record"},
	"collect":                  {"collect/chain", "collect/doorbell", "collect/answers", "collect/fleet", "internal/fsx", "internal/record", "internal/search"},
	"collect/doorbell":         {"internal/fsx", "internal/record"},
	"collect/answers":          {"internal/fsx", "internal/record", "internal/report", "internal/report/page"},
	"collect/fleet":            {"internal/fsx", "internal/record", "internal/stat"},
	"cmd/vtune":                nil, // the composition root: everything but the simulator
	"internal/doctor":          {"internal/record", "internal/spec", "internal/spec/slice", "jobs", "jobs/slurm"},
	"internal/exam":            {"internal/doctor", "internal/fsx", "internal/proc", "internal/record", "internal/vocab"},
	"internal/survey":          {"internal/doctor", "internal/spec/tree", "jobs/slurm"},

	"jobs/tpu/tputest/gate": {},

	"cmd/vtune/internal/screen/screentest": {},
	"internal/report/tables":               {"internal/record", "internal/report", "internal/report/layout"},
	"cmd/vtune/internal/telling":           {"cmd/vtune/internal/reading", "collect/answers", "internal/diag", "internal/fsx", "internal/record", "internal/report", "internal/report/tables"},

	"cmd/vllm-sim": nil, // another root; what it may have stands below

	"cmd/bench-tuner":           nil, // a third root: methods against the simulator
	"cmd/vtune/internal/tuning": nil, // the composition itself
	"cmd/vtune/internal/depot": {
		"cmd/vtune/internal/ending", "cmd/vtune/internal/pool", "internal/bucket", "internal/diag", "internal/fsx", "internal/gcp", "internal/mirror", "internal/record",
		"internal/report", "internal/shell", "internal/spec", "internal/spec/word", "jobs", "jobs/tpu",
	},
	"cmd/vtune/internal/notice": {
		"cmd/vtune/internal/ending", "cmd/vtune/internal/tuning", "internal/deploy", "internal/diag", "internal/fsx", "internal/proc", "internal/record",
		"internal/report",
	},
	"cmd/vtune/internal/winner": {
		"cmd/vtune/internal/ending", "cmd/vtune/internal/reading", "cmd/vtune/internal/scripts", "cmd/vtune/internal/tuning", "internal/deploy", "internal/diag", "internal/fsx", "internal/record",
		"internal/report", "internal/spec", "internal/spec/sites", "templates",
	},
	"cmd/vtune/internal/pool":     {"collect", "internal/diag", "internal/fsx", "internal/mirror", "internal/record", "internal/spec", "jobs", "jobs/tpu"},
	"cmd/vtune/internal/consent":  {"cmd/vtune/internal/screen", "cmd/vtune/internal/tuning", "internal/diag", "internal/record", "internal/spec", "jobs"},
	"cmd/vtune/internal/ending":   {"internal/diag", "internal/record"},
	"cmd/vtune/internal/patience": {"collect", "jobs"},
	"cmd/vtune/internal/refusal":  {"internal/diag", "internal/record", "internal/spec", "internal/spec/sites", "jobs"},
	"cmd/vtune/internal/secrets":  {"internal/diag", "internal/shell", "internal/spec"},
	"cmd/vtune/internal/batch": {
		"cmd/vtune/internal/caller", "cmd/vtune/internal/ending", "cmd/vtune/internal/screen", "cmd/vtune/internal/tuning", "internal/batchfile", "internal/bucket", "internal/diag", "internal/fsx",
		"internal/mirror/names", "internal/record", "internal/report", "internal/spec", "internal/spec/autotune", "internal/spec/sites", "internal/spec/word",
	},
	"cmd/vtune/internal/afterwards": {"cmd/vtune/internal/telling", "cmd/vtune/internal/caller", "cmd/vtune/internal/importing", "cmd/vtune/internal/reading", "cmd/vtune/internal/screen", "cmd/vtune/internal/tuning", "cmd/vtune/internal/winner", "internal/compare", "internal/diag", "internal/fsx"},
	"cmd/vtune/internal/caller":     {"cmd/vtune/internal/screen", "cmd/vtune/internal/tuning", "internal/diag"},
	"cmd/vtune/internal/scripts":    {"collect", "internal/diag", "internal/fsx", "internal/record", "internal/search", "internal/shell", "internal/spec", "internal/spec/slice", "internal/vllm", "jobs", "jobs/tpu", "templates"},
	"cmd/vtune/internal/backstage": {
		"cmd/vtune/internal/caller", "cmd/vtune/internal/handsfree", "cmd/vtune/internal/patience", "cmd/vtune/internal/tuning", "internal/agent", "internal/crew", "internal/diag", "internal/exam",
		"internal/fsx", "internal/proc", "internal/record", "internal/worker", "jobs/local",
	},
	"cmd/vtune/internal/verify": {
		"cmd/vtune/internal/caller", "cmd/vtune/internal/ending", "cmd/vtune/internal/reading", "cmd/vtune/internal/refusal", "cmd/vtune/internal/tuning", "internal/diag", "internal/fsx",
		"internal/record", "internal/search", "internal/spec", "internal/spec/word", "internal/verdict", "jobs",
	},
	"cmd/vtune/internal/reading":        {"cmd/vtune/internal/depot", "cmd/vtune/internal/scripts", "cmd/vtune/internal/tuning", "collect", "internal/diag", "internal/fsx", "internal/record", "internal/spec"},
	"cmd/vtune/internal/live":           {"cmd/vtune/internal/caller", "cmd/vtune/internal/screen", "collect", "collect/doorbell", "internal/diag", "internal/fsx", "internal/record", "internal/report"},
	"cmd/vtune/internal/importing":      {"cmd/vtune/internal/reading", "cmd/vtune/internal/refusal", "cmd/vtune/internal/tuning", "collect/answers", "internal/diag", "internal/fsx", "internal/imports", "internal/imports/folder", "internal/record", "internal/report", "internal/search", "internal/spec", "internal/spec/tree", "jobs"},
	"cmd/vtune/internal/screen":         {"collect", "internal/record", "internal/report", "internal/spec", "jobs"},
	"cmd/vtune/internal/checkup":        {"cmd/vtune/internal/tuning", "internal/bucket", "internal/diag", "internal/doctor", "internal/exam", "internal/fsx", "internal/gcp", "internal/record", "internal/spec", "jobs", "jobs/local", "jobs/slurm", "jobs/tpu", "jobs/tpu/zone", "templates"},
	"cmd/vtune/internal/handsfree":      {"cmd/vtune/internal/notice", "cmd/vtune/internal/scripts", "cmd/vtune/internal/tuning", "collect", "collect/chain", "internal/diag", "internal/fsx", "internal/record", "internal/report", "jobs"},
	"cmd/bench-tuner/internal/contest":  {"cmd/bench-tuner/internal/scenario", "cmd/bench-tuner/internal/world", "internal/load", "internal/record", "internal/search", "internal/sim", "internal/verdict"},
	"cmd/bench-tuner/internal/scenario": {"internal/record", "internal/sim", "internal/sim/uniform"},
	"cmd/bench-tuner/internal/table":    {"cmd/bench-tuner/internal/contest", "cmd/bench-tuner/internal/scenario", "cmd/bench-tuner/internal/world", "internal/record", "internal/stat"},
	"cmd/bench-tuner/internal/world":    {"cmd/bench-tuner/internal/scenario", "internal/load", "internal/record", "internal/sim", "internal/sim/uniform", "internal/stat", "internal/verdict"},
	"cmd/vllm-sim/internal/bench":       {"cmd/vllm-sim/internal/cli", "internal/load", "internal/sim"},
	"cmd/vllm-sim/internal/cli":         {"internal/sim"},
	"cmd/vllm-sim/internal/engine":      {"cmd/vllm-sim/internal/cli", "internal/proc", "internal/sim"},
	"cmd/vllm-sim/internal/server":      {"cmd/vllm-sim/internal/cli", "cmd/vllm-sim/internal/engine", "internal/sim"},
}

// effects are imports from outside that only some packages may have.
var effects = map[string][]string{
	"os/exec":                         {"internal/proc", "jobs/local", "jobs/slurm", "cmd/vllm-sim/internal/engine"},
	"net/http":                        {"cmd/vllm-sim/internal/bench", "cmd/vllm-sim/internal/server", "cmd/vtune/internal/notice", "internal/bucket", "internal/bucket/buckettest", "internal/exam", "internal/gcp", "internal/load", "internal/load/wire", "internal/vllm", "jobs/tpu", "jobs/tpu/tputest", "jobs/tpu/tputest/gate", "jobs/tpu/tputest/machine", "jobs/tpu/tputest/token"},
	"text/template":                   {"templates"},
	"html/template":                   {"internal/report/page"},
	"github.com/Masterminds/sprig/v3": {"templates"},
	"gopkg.in/yaml.v3":                {"internal/spec", "internal/spec/table", "internal/spec/tree"},
	"github.com/fsnotify/fsnotify":    {"collect/doorbell"},
	"github.com/spf13/cobra":          {"cmd/vtune", "cmd/vtune/internal/afterwards", "cmd/vtune/internal/backstage"},
	"github.com/spf13/pflag":          {"cmd/vtune", "cmd/vtune/internal/backstage", "cmd/vllm-sim"},
	"golang.org/x/term":               {"cmd/vtune/internal/screen"},
	"charm.land/bubbletea/v2":         {"cmd/vtune/internal/live"},
	"github.com/charmbracelet/x/ansi": {"cmd/vtune/internal/live"},
}

// calls are functions that only some packages may call.
var calls = map[string][]string{
	`\btime\.Now\b`: {"cmd/bench-tuner", "cmd/vllm-sim/internal/bench", "cmd/vllm-sim/internal/cli", "cmd/vllm-sim/internal/engine", "cmd/vllm-sim/internal/server", "cmd/vtune", "collect", "internal/agent", "internal/bucket", "internal/bucket/buckettest", "internal/exam", "internal/fsx", "internal/gcp", "internal/load", "internal/proc", "internal/vllm", "jobs/local", "jobs/tpu/tputest", "jobs/tpu/tputest/gate", "jobs/tpu/tputest/token"},
	`\bos\.Exit\b`:  {"cmd/bench-tuner", "cmd/vtune", "cmd/vllm-sim"},
	`\blog\.Fatal`:  {},
	`\bpanic\(`:     {},
	// The ledger of simulated GPU memory is one machine's own, as a driver's is.
	`\bsyscall\.Flock\b|\bunix\.Flock\b`: {"cmd/vllm-sim/internal/engine"},
}

type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	IgnoredGoFiles  []string // of other systems and builds
	Imports         []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,IgnoredGoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var ps []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			ps = append(ps, p)
		}
	}
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, "vtune/") }

func TestImportsFollowThePlan(t *testing.T) {
	for _, p := range packages(t) {
		allowed, known := edges[p.name()]
		if !known {
			t.Errorf("%s stands in no plan: add it to edges", p.name())
			continue
		}
		for _, imp := range p.Imports {
			if own := strings.TrimPrefix(imp, "vtune/"); own != imp && allowed != nil && !slices.Contains(allowed, own) {
				t.Errorf("%s must not import %s", p.name(), own)
			}
			if p.name() == "cmd/vtune" && imp == "vtune/internal/sim" {
				t.Errorf("the simulator is no part of vtune")
			}
			if who, confined := effects[imp]; confined && !slices.Contains(who, p.name()) {
				t.Errorf("%s must not import %s", p.name(), imp)
			}
		}
	}
}

func TestEffectsStayAtTheEdge(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			src, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			code := regexp.MustCompile(`(?m)//.*$`).ReplaceAll(src, nil)
			for call, who := range calls {
				if regexp.MustCompile(call).Match(code) && !slices.Contains(who, p.name()) {
					t.Errorf("%s/%s calls %s", p.name(), name, call)
				}
			}
		}
	}
}

func TestRoomsStaySmall(t *testing.T) {
	for _, p := range packages(t) {
		total := 0
		// Files for other systems are read by whoever reads the room.
		for _, name := range slices.DeleteFunc(append(p.GoFiles, p.IgnoredGoFiles...), func(n string) bool { return strings.HasSuffix(n, "_test.go") }) {
			src, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.Count(src, []byte("\n"))
			if total += lines; lines > 500 {
				t.Errorf("%s/%s has %d lines; 500 is the most", p.name(), name, lines)
			}
		}
		if total > 1500 {
			t.Errorf("%s has %d lines; 1,500 is the most", p.name(), total)
		}
	}
}

// Architecture documents rot by naming what is gone.
func TestArchitectureNamesWhatExists(t *testing.T) {
	doc, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`((?:cmd|internal|jobs|templates|collect|examples|lab|e2e)/[\\w./-]*)`").FindAllStringSubmatch(string(doc), -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("ARCHITECTURE.md names %s: %v", m[1], err)
		}
	}
	for _, p := range packages(t) {
		if !strings.Contains(string(doc), "`"+p.name()+"/`") {
			t.Errorf("ARCHITECTURE.md does not name `%s/`", p.name())
		}
	}
}
