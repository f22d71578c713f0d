package answers

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vtune/internal/record"
)

// The viewer of a TPU's trace looks for it in certain folders; so there it is, and what another pass linked is gone.
func TestATraceKeepsItsFoldersInTheProfile(t *testing.T) {
	dir := record.Dir(t.TempDir())
	const first, second = "cells/s8-t512/1/trace/plugins/profile/t1/h.xplane.pb", "cells/s4-t512/2/trace/rank0.1.pt.trace.json.gz"
	for _, f := range []string{first, second, "profile/plugins/profile/t0/own.xplane.pb"} {
		path := filepath.Join(string(dir), f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		files []string
		want  map[string]string // content by path in the profile folder
	}{
		{[]string{first}, map[string]string{"plugins/profile/t1/h.xplane.pb": first}},
		{[]string{second, "../outside", "profile/plugins/profile/t0/own.xplane.pb"}, map[string]string{"rank0.1.pt.trace.json.gz": second}},
	} {
		if err := linkTraces(dir, c.files); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		err := filepath.WalkDir(dir.Profile(), func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			name, _ := filepath.Rel(dir.Profile(), path)
			got[name] = string(data)
			return err
		})
		c.want["plugins/profile/t0/own.xplane.pb"] = "profile/plugins/profile/t0/own.xplane.pb"
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%q: %v\n%s", c.files, err, d)
		}
	}
}
