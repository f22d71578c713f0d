package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vtune/internal/record"
)

// swordfish is the value of a secret that must stand nowhere but in the run's 0600 file.
const swordfish = "hf_swordfish+with'quotes\"and$dollars"

// A secret comes from the environment or from a file, and stands in no script, argument, comment, log or report, in nothing that the
// scheduler keeps, and on no process's command line.
func TestASecretStandsOnlyInItsFile(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	spec := writeSpec(t, fmt.Sprintf(walkSpec, "slurm", "in-job")+"  secrets: [HF_TOKEN, OTHER_SECRET]\n  secrets_file: keys\n")
	keys := filepath.Join(filepath.Dir(spec), "keys")
	if err := os.WriteFile(keys, []byte("# of a test\nexport HF_TOKEN="+swordfish+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(slices.Clone(c.env), "OTHER_SECRET="+swordfish+"2")
	refused := exec.Command(filepath.Join(programs, "vtune"), "submit", spec)
	refused.Env = env
	if out, _ := refused.CombinedOutput(); !bytes.Contains(out, []byte("others may read")) || !bytes.Contains(out, []byte("hint: chmod 600")) || bytes.Contains(out, []byte("swordfish")) {
		t.Errorf("with a file that others may read: %s", out)
	}
	if err := os.Chmod(keys, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := record.Dir(vtune(t, env, "submit", spec))
	awaitEvent(t, dir, "s4-t2048-1", "load")
	seen := processesWith("swordfish")
	scheduler := slurm(t, c.env, "scontrol", "show", "job", "-dd") + slurm(t, c.env, "squeue", "-h", "-O", "Comment:200,Name:200,Command:400")
	vtune(t, env, "collect", "--watch", "--grace", "5s", string(dir))
	if len(seen) > 0 {
		t.Errorf("on command lines: %v", seen)
	}
	if strings.Contains(scheduler, "swordfish") {
		t.Error("the scheduler shows it")
	}
	for _, root := range []string{string(dir), c.dir} { // the cluster's own folder has its spool, its state and its logs
		for _, path := range filesWith(t, root, "swordfish") {
			if path == dir.Secrets() {
				continue
			}
			t.Errorf("it stands in %s", path)
		}
	}
	if info, err := os.Stat(dir.Secrets()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// The jobs had it, or none of this means anything.
	var handed bool
	for _, c := range state(t, dir).Cells {
		handed = handed || c.Accepted != nil
	}
	if !handed {
		t.Error("no cell was measured")
	}
}

func processesWith(text string) (found []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(text)) {
			found = append(found, path+": "+strings.ReplaceAll(string(data), "\x00", " "))
		}
	}
	return found
}

func filesWith(t *testing.T, root, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // gone meanwhile, or no file
		}
		if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte(text)) {
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
