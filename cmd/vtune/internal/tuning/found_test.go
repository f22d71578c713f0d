package tuning

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// A base whose name would be a pattern: what was submitted below it is found, or a second submission would not know of the first, and
// cancel would end nothing.
func TestRunsAndTheirJobsAreFoundBelowABaseOfAnyName(t *testing.T) {
	base := filepath.Join(t.TempDir(), "llama [v2]*")
	dir := record.Dir(filepath.Join(base, "2026_01_01_10_00"))
	if err := os.MkdirAll(dir.Job("probe-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("the spec"))
	for path, v := range map[string]any{
		dir.Run():                record.Run{SpecSHA256: hex.EncodeToString(sum[:])},
		dir.Intent("probe-1"):    record.Intent{},
		dir.Submitted("probe-1"): record.Submitted{ID: "17"},
	} {
		if err := fsx.PublishJSON(path, v); err != nil {
			t.Fatal(err)
		}
	}
	if found, ok := unfinished(base, []byte("the spec")); !ok || found != string(dir) {
		t.Errorf("found %q, %v", found, ok)
	}
	if units, err := (&Tuning{Dir: dir}).recorded(); err != nil || len(units) != 1 || units[0].at.ID != "17" {
		t.Errorf("%+v, %v", units, err)
	}
}
