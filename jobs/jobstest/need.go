package jobstest

import (
	"os"
	"path/filepath"
	"testing"
)

// Need skips a test whose part is not installed, and says how to install it. In CI, where everything is installed, a missing
// part is a failure: a test that silently no longer runs would look like one that passes.
func Need(t testing.TB, program, install string) {
	t.Helper()
	// Debian keeps daemons where only root's PATH looks.
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if f, err := os.Stat(filepath.Join(dir, program)); err == nil && f.Mode().IsRegular() && f.Mode()&0o111 != 0 {
			return
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is not installed, and CI is set: %s", program, install)
	}
	t.Skipf("%s is not installed; to run this test: %s", program, install)
}
