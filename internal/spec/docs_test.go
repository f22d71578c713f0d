package spec

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"vtune/internal/spec/tree"
)

// What the documents show of a spec is one: each YAML block, put behind the keys that are required.
func TestTheYAMLOfTheDocumentsParses(t *testing.T) {
	blocks := 0
	for _, path := range []string{"../../README.md", "../../docs/methods.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			blocks++
			if _, err := Parse(path, []byte(minimal+block[1])); err != nil {
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
			known[tree.Join(prefix, f.key)] = true
			collect(f.group, tree.Join(prefix, f.key))
		}
	}
	collect(fields(), "")
	groups := regexp.MustCompile("`((?:test|arrivals|profile|site|server|workload|limit|grid)\\.[a-z_0-9]+)")
	for _, path := range []string{"../../README.md", "../../docs/methods.md"} {
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
