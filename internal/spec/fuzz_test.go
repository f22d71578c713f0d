package spec

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/diag"
)

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../examples/*/spec.yaml")
	for _, path := range append(files, "testdata/twenty.yaml") {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Add(Template())
	for _, s := range []string{minimal, "", "---\n---\n", "a: &a\n  <<: *a\n", "\t", "? [a]\n: b\n", "!!binary x", "x: *y", "model: \xff", "- [", "site: {environment: [|\n a]}\n", "&r\nx-r: *r\n<<: *r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f", data)
		if err != nil {
			var ps diag.Problems
			if !errors.As(err, &ps) {
				t.Fatalf("error of type %T", err)
			}
			for _, p := range ps {
				if p.Pos.File != "f" || p.Pos.Line < 1 || p.Pos.Col < 1 || p.What == "" {
					t.Fatalf("problem without a place: %#v", p)
				}
			}
			return
		}
		again, err := Parse("effective", s.Effective())
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Effective())
		}
		if diff := cmp.Diff(s, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
