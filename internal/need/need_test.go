package need_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vtune/internal/need"
)

// recorder is a test that notes how it ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = format
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = format
	runtime.Goexit()
}

func try(program string) *recorder {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		need.Program(r, program, "make deps")
	}()
	<-done
	return r
}

func TestAMissingPartIsASkipAtHomeAndAFailureInCI(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("CI", "")
	if err := os.WriteFile(filepath.Join(dir, "here"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "no-program"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := try("here"); r.skipped+r.failed != "" {
		t.Errorf("a part that is there: %+v", r)
	}
	for _, missing := range []string{"no-program", "nowhere"} {
		if r := try(missing); !strings.Contains(r.skipped, "not installed") || r.failed != "" {
			t.Errorf("%s: %+v", missing, r)
		}
	}
	t.Setenv("CI", "true")
	if r := try("nowhere"); r.failed == "" || r.skipped != "" {
		t.Errorf("in CI: %+v", r)
	}
}
