package mirror

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the process that is killed is told.
const crashDir, crashStep = "VTUNE_TEST_MIRROR_DIR", "VTUNE_TEST_MIRROR_STEP"

// As by kill -9, of a process that was built with crash points.
func TestAPullKilledAtAnyStepOnTheDiskIsMadeGood(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		bePulledAndKilled(t, dir)
		return
	}
	binary := filepath.Join(t.TempDir(), "mirror.test")
	if out, err := exec.Command("go", "test", "-c", "-tags", "crashpoints", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	s := tuned(t)
	want := tree(t, dirOf(t, s))
	killed := 0
	for {
		temp := t.TempDir() // also what the killed process leaves
		dir := filepath.Join(temp, "run")
		cmd := exec.Command(binary, "-test.run", "^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "TMPDIR="+temp, crashDir+"="+dir, crashStep+"="+strconv.Itoa(killed+1))
		out, err := cmd.CombinedOutput()
		if err == nil {
			break
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v\n%s", killed+1, err, out)
		}
		killed++
		m := here(t, s, dir)
		pull(t, m)
		if diff := cmp.Diff(want, tree(t, m.c.Dir)); diff != "" {
			t.Fatalf("killed at step %d: %s", killed, diff)
		}
	}
	if killed < 100 { // three for each file that is published
		t.Errorf("killed at %d steps only", killed)
	}
}

// bePulledAndKilled pulls, and is killed at the step named of those that the pull comes by.
func bePulledAndKilled(t *testing.T, dir string) {
	log := filepath.Join(t.TempDir(), "log")
	os.Setenv("VTUNE_CRASH_LOG", log)
	s := tuned(t)
	os.Unsetenv("VTUNE_CRASH_LOG")
	steps, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(os.Getenv(crashStep))
	if err != nil {
		t.Fatal(err)
	}
	os.Setenv("VTUNE_CRASH_AT", strconv.Itoa(n+bytes.Count(steps, []byte("\n"))))
	pull(t, here(t, s, dir))
}
