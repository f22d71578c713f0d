package autotune

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vtune/internal/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Scripts as people changed them, in shapes that are to be found in public, in words of our own.
func TestEditedScriptsBecomeTheSpecsAndNotesThatStandBesideThem(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.sh")
	if err != nil || len(scripts) < 3 {
		t.Fatal(scripts, err)
	}
	for _, path := range scripts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			imp, err := FromScript("/opt/engine/benchmarks/auto_tune/"+filepath.Base(path), src, []string{"LD_LIBRARY_PATH=/usr/lib", "HOME=/home/u"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := spec.Parse("imported", imp.YAML); err != nil {
				t.Fatalf("%v\n%s", err, imp.YAML)
			}
			var b strings.Builder
			for line := range strings.Lines(string(imp.YAML)) {
				said, _, _ := strings.Cut(line, " # ")
				if said = strings.TrimRight(said, " \n"); said != "" && !strings.HasPrefix(strings.TrimSpace(said), "#") {
					b.WriteString(said + "\n")
				}
			}
			b.WriteString("---\n")
			for _, n := range imp.Notes {
				b.WriteString(n + "\n")
			}
			golden := strings.TrimSuffix(path, ".sh") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || b.String() != string(want) {
				t.Errorf("%v; -update writes it anew\n%s", err, b.String())
			}
			if strings.Contains(b.String(), "hf_abc") {
				t.Error("a secret is repeated")
			}
		})
	}
}
