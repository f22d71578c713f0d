package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vtune/internal/deploy"
)

// A real bash, once: it reads the file as the comments say, and hands the variables on.
func TestAShellReadsTheVariablesBack(t *testing.T) {
	w := winner("a model\n$(id) 'x' \"y\"", "--served-model-name", "`reboot`", "--x", "ü\u2028")
	w.Environment = map[string]string{"PLAIN": "1", "HOSTILE": "a'b\"c\\d$HOME\n`id`\t!", "EMPTY": "", "BYTES": "\xff\x01"}
	text, err := deploy.Env(w)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	show := exec.Command("bash", "-c", `set -a; . "$1"; set +a; eval "set -- $VTUNE_SERVE"; printf '%s\0' "$@"; echo; env -0`, "bash", file)
	show.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	out, err := show.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	argv, env, _ := strings.Cut(string(out), "\x00\n")
	if got := strings.Split(argv, "\x00"); !slices.Equal(got, w.Argv) {
		t.Errorf("VTUNE_SERVE is %q, want %q", got, w.Argv)
	}
	got := strings.Split(env, "\x00")
	for name, value := range w.Environment {
		if !slices.Contains(got, name+"="+value) {
			t.Errorf("%s is not %q", name, value)
		}
	}
	if !slices.Contains(got, "VTUNE_MODEL="+w.Model) {
		t.Error("VTUNE_MODEL")
	}
}
