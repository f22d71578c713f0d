// Package need is for tests: it says what a test cannot do without. Where that is missing, the test is skipped by name, with the
// reason and the command that installs it; in CI (the variable CI is set) it fails instead, because a test that silently no
// longer runs looks like one that passes.
package need

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Program is an executable on PATH, or in /usr/sbin, where Debian keeps daemons.
func Program(t testing.TB, program, install string) {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if f, err := os.Stat(filepath.Join(dir, program)); err == nil && f.Mode().IsRegular() && f.Mode()&0o111 != 0 {
			return
		}
	}
	missing(t, "%s is not installed; to run this test: %s", program, install)
}

// SmallDisk is a file system of its own, of the given size (as mount writes it: 64k, 1m), gone when the test ends.
func SmallDisk(t testing.TB, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		missing(t, "cannot mount a small file system (%v); to run this test: sudo -E make test", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Root is the right to be other users.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "only root can be another user; to run this test: sudo -E make test")
	}
}

func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("in CI nothing may be missing: "+format, args...)
	}
	t.Skipf(format, args...)
}
