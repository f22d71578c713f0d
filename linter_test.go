package vtune_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the rules in .golangci.yml")

// Editors that run golangci-lint tell of a wrong import while it is typed. They have the same edges and effects as this package has: one
// table, from which the linter's rules are made.
func TestTheLinterKnowsTheHouse(t *testing.T) {
	const path, begin, end = ".golangci.yml", "-update\n", "        # end\n"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatal("the configuration has no place for the rules")
	}
	want := rules()
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the linter's rules (-want +got), to be made anew with: go test . -run Linter -update\n%s", diff)
	}
}

// gofumpt, which is stricter, takes minutes to be compiled: make check-lint has it.
func TestFilesAreFormatted(t *testing.T) {
	if err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && len(path) > 1 && strings.HasPrefix(d.Name(), "."): // what make keeps in .cache is nobody's source
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if want, err := format.Source(src); err != nil || !bytes.Equal(src, want) {
			t.Errorf("%s is not as gofmt writes it (%v)", path, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// rules are depguard's: of each package the imports from this module that it may have, and of each effect who may have it.
func rules() string {
	var b strings.Builder
	rule := func(name string, files []string, deny, why string, allow []string) {
		name = strings.ReplaceAll(name, ".", "-") // a dot in a key is a path to the linter
		fmt.Fprintf(&b, "        %q: {list-mode: lax, files: [%s], deny: [{pkg: %q, desc: %q}]", name, quoted(files), deny, why)
		if len(allow) > 0 {
			fmt.Fprintf(&b, ", allow: [%s]", quoted(allow))
		}
		b.WriteString("}\n")
	}
	for _, name := range slices.Sorted(maps.Keys(edges)) {
		if edges[name] == nil { // may import anything
			continue
		}
		var allow []string
		for _, own := range slices.Sorted(slices.Values(edges[name])) {
			allow = append(allow, "vtune/"+own+"$")
		}
		rule(name, []string{"**/" + name + "/*.go", "!$test"}, "vtune/", "no edge of the house: see edges in house_test.go", allow)
	}
	for _, name := range slices.Sorted(maps.Keys(effects)) {
		files := []string{"$all", "!$test"}
		for _, who := range slices.Sorted(slices.Values(effects[name])) {
			files = append(files, "!**/"+who+"/*.go")
		}
		rule(name, files, name+"$", "stays at the edge of the house: see effects in house_test.go", nil)
	}
	return b.String()
}

func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(out, ", ")
}
