package scripts

import (
	"os"
	"path/filepath"
	"testing"

	"vtune/internal/diag"
)

// A release for a system that nodes do not run has an agent for those that do, and an installer may link the program elsewhere.
func TestTheAgentOfAProgramThatNoNodeCouldRunStandsBesideIt(t *testing.T) {
	home, bin := t.TempDir(), t.TempDir()
	self, linked := filepath.Join(home, "vtune"), filepath.Join(bin, "vllm-tune")
	if err := os.WriteFile(self, []byte("Mach-O"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, linked); err != nil {
		t.Fatal(err)
	}
	if got, err := agentOf("linux", linked); err != nil || got != linked {
		t.Errorf("on Linux: %s, %v", got, err)
	}
	if _, err := agentOf("darwin", linked); diag.CodeOf(err) != diag.Usage || len(diag.HintsOf(err)) != 1 {
		t.Errorf("without an agent: %v", err)
	}
	want := filepath.Join(home, agentBeside)
	if err := os.WriteFile(want, []byte("ELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	if want, err := filepath.EvalSymlinks(want); err != nil {
		t.Fatal(err)
	} else if got, err := agentOf("darwin", linked); err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}
