package serving

import (
	"bytes"
	"cmp"
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
	const space = "plugins/profile/t/h.xplane.pb"
	xspace := []byte("\x0a\x02\x12\x00\x0a\x03abc\x22\x01h") // two planes and a host's name
	xspace = append(xspace, "\x0a\x80\x01"+strings.Repeat("x", 128)...)
	for _, c := range []struct {
		name  string
		kind  string // empty: torch's
		files map[string][]byte
		lacks string // part of the reason; empty: it is whole
	}{
		{"nothing", "", nil, "no trace file"},
		{"only a table", "", map[string][]byte{"profiler_out_0.txt": []byte("x")}, "no trace file"},
		{"whole", "", map[string][]byte{"rank0.1.pt.trace.json.gz": b.Bytes(), "profiler_out_0.txt": nil}, ""},
		{"plain", "", map[string][]byte{"rank0.1.pt.trace.json": []byte("{}")}, ""},
		{"cut short", "", map[string][]byte{"rank0.1.pt.trace.json.gz": b.Bytes()[:b.Len()-4]}, "rank0.1"},
		{"one of two cut short", "", map[string][]byte{"a.trace.json.gz": b.Bytes(), "b.trace.json.gz": b.Bytes()[:20]}, "b.trace"},
		{"a TPU's", xlaTrace, map[string][]byte{space: xspace}, ""},
		{"a TPU's beside its summary", xlaTrace, map[string][]byte{space: xspace, "plugins/profile/t/h.trace.json.gz": b.Bytes()}, ""},
		{"a TPU's cut short in a part", xlaTrace, map[string][]byte{space: xspace[:len(xspace)-1]}, "h.xplane.pb: unexpected EOF"},
		{"a TPU's cut short in a length", xlaTrace, map[string][]byte{space: xspace[:5]}, "h.xplane.pb: unexpected EOF"},
		{"a TPU's just begun", xlaTrace, map[string][]byte{space: nil}, "h.xplane.pb: unexpected EOF"},
		{"something else of its name", xlaTrace, map[string][]byte{space: []byte("hello, world")}, "h.xplane.pb: not a trace"},
		{"a host's instead of the TPU's", xlaTrace, map[string][]byte{"h_1.async_llm.2.pt.trace.json.gz": b.Bytes()}, "no trace file (.xplane.pb)"},
		{"a TPU's instead of a GPU's", "", map[string][]byte{space: xspace}, "no trace file (.trace.json)"},
		{"just begun", "", map[string][]byte{"a.trace.json.gz": nil}, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, data := range c.files {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			err := whole(dir, cmp.Or(c.kind, torchTrace))
			if (err == nil) != (c.lacks == "") || err != nil && !strings.Contains(err.Error(), c.lacks) {
				t.Errorf("%v", err)
			}
		})
	}
}
