package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vtune/internal/need"
	"vtune/internal/record"
)

// A disk that fills up on the way costs an error that says so, and nothing that was measured: with room again, the same commands
// go on.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	disk := need.SmallDisk(t, "64m")
	env := environment(t.TempDir())
	spec := filepath.Join(disk, "spec.yaml")
	if err := os.WriteFile(spec, []byte(crashSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	full := fill(t, disk)
	says(t, env, 1, "no space left", "submit", spec)
	if runs, _ := filepath.Glob(filepath.Join(disk, "auto-benchmark", "*", "run.json")); len(runs) != 0 {
		t.Fatalf("a run was begun: %v", runs)
	}
	full()
	dir := record.Dir(vtune(t, env, "submit", spec))

	full = fill(t, disk)
	says(t, env, 1, "no space left", "collect", string(dir))
	full()
	// The jobs met the full disk too; what they could not publish is done again.
	vtune(t, env, "collect", "--watch", "--grace", "50ms", string(dir))
	if st := state(t, dir); st.Phase != record.PhaseOver || st.Best == nil {
		t.Errorf("the run is %s, best %+v", st.Phase, st.Best)
	}
	nothingLeft(t, "after a full disk", dir)
}

// fill takes all the room there is and returns what gives it back.
func fill(t *testing.T, disk string) (giveBack func()) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := 1 << 20; chunk > 0; {
		if _, err := f.Write(make([]byte, chunk)); err != nil {
			chunk /= 2
		}
	}
	f.Close()
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func says(t *testing.T, env []string, code int, what string, args ...string) {
	t.Helper()
	c := exec.Command(filepath.Join(programs, "vtune"), args...)
	c.Env = env
	out, err := c.CombinedOutput()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != code || !strings.Contains(string(out), what) {
		t.Fatalf("vtune %s: %v, want exit code %d and %q\n%s", strings.Join(args, " "), err, code, what, out)
	}
}
