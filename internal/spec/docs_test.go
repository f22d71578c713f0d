package spec

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/spec/table"
	"vtune/internal/spec/tree"
)

// What the documents show of a spec is one: each YAML block, put behind the keys that are required. What they show of a site file is
// what later blocks may name.
func TestTheYAMLOfTheDocumentsParses(t *testing.T) {
	blocks, files := 0, map[string]string{}
	for _, path := range []string{"../../README.md", "../../docs/methods.md", "../../docs/sites.md", "../../docs/tpu.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			blocks++
			if site, ok := strings.CutPrefix(block[1], "# ~/.config/vtune/sites/"); ok {
				name, text, _ := strings.Cut(site, ".yaml\n")
				files[name] = text
				continue
			}
			if _, err := ParseWith(path, []byte(minimal+block[1]), siteFiles(files)); err != nil {
				t.Errorf("%v\n%s", err, block[1])
			}
		}
	}
	if blocks == 0 {
		t.Error("the documents show no spec")
	}
}

// A key that the documents name in backticks exists, so that a renamed one is renamed there too.
func TestTheKeysThatTheDocumentsNameExist(t *testing.T) {
	known := map[string]bool{}
	var collect func(fs []field, prefix string)
	collect = func(fs []field, prefix string) {
		for _, f := range fs {
			known[tree.Join(prefix, f.Key)] = true
			collect(f.Group, tree.Join(prefix, f.Key))
		}
	}
	collect(fields(), "")
	groups := regexp.MustCompile("`((?:test|arrivals|profile|site|server|workload|limit|grid|verify)\\.[a-z_0-9]+)")
	for _, path := range []string{"../../README.md", "../../docs/methods.md", "../../docs/sites.md", "../../docs/tpu.md", "../../docs/verify.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range groups.FindAllStringSubmatch(string(text), -1) {
			if !known[m[1]] && !strings.HasSuffix(m[1], ".go") {
				t.Errorf("%s names %s, which is no key", path, m[1])
			}
		}
	}
}

var update = flag.Bool("update", false, "rewrite the table of keys in the documents")

// The table of a site file's keys is made from the table of fields, so that the document cannot fall behind it.
func TestTheDocumentsHaveEveryKeyOfASiteFile(t *testing.T) {
	const path, begin, end = "../../docs/sites.md", "-update -->\n", "<!-- end -->"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatal("the document has no place for the table")
	}
	want := "| key | says | default |\n|---|---|---|\n"
	table.Walk(siteFileFields(), "", func(f field, path string) {
		def := f.Default
		if def != "" {
			def = "`" + def + "`"
		}
		want += "| `" + path + "` | " + strings.ReplaceAll(f.Doc, "|", `\|`) + " | " + def + " |\n"
	})
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of keys (-want +got), to be made anew with -update:\n%s", diff)
	}
}
