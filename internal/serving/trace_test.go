package serving

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestATraceIsWholeWhenEveryFileCanBeReadToItsEnd(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(bytes.Repeat([]byte("event "), 1000))
	z.Close()
	for _, c := range []struct {
		name  string
		files map[string][]byte
		lacks string // part of the reason; empty: it is whole
	}{
		{"nothing", nil, "no trace file"},
		{"only a table", map[string][]byte{"profiler_out_0.txt": []byte("x")}, "no trace file"},
		{"whole", map[string][]byte{"rank0.1.pt.trace.json.gz": b.Bytes(), "profiler_out_0.txt": nil}, ""},
		{"plain", map[string][]byte{"rank0.1.pt.trace.json": []byte("{}")}, ""},
		{"cut short", map[string][]byte{"rank0.1.pt.trace.json.gz": b.Bytes()[:b.Len()-4]}, "rank0.1"},
		{"one of two cut short", map[string][]byte{"a.trace.json.gz": b.Bytes(), "b.trace.json.gz": b.Bytes()[:20]}, "b.trace"},
		{"just begun", map[string][]byte{"a.trace.json.gz": nil}, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range c.files {
				if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := whole(dir)
			if (err == nil) != (c.lacks == "") || err != nil && !strings.Contains(err.Error(), c.lacks) {
				t.Errorf("%v", err)
			}
		})
	}
}
