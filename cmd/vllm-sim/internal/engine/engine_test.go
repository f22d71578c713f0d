package engine

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyLivingProcessesHoldMemory(t *testing.T) {
	l := ledger{t.TempDir()}
	claim := func(take float64) (held float64) {
		t.Helper()
		err := l.claim([]string{"0", "1"}, func(h float64) (float64, error) {
			held = h
			return take, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	if held := claim(7); held != 0 {
		t.Errorf("%v GiB held on a new machine", held)
	}
	// Our pid with another start time is a process that is gone.
	dead := filepath.Join(l.gpu("1"), "1-1")
	if err := os.WriteFile(dead, []byte("100"), 0o600); err != nil {
		t.Fatal(err)
	}
	if held := claim(8); held != 7 {
		t.Errorf("%v GiB held, want 7", held)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the entry of a dead process is left: %v", err)
	}
	refuse := errors.New("no")
	if err := l.claim([]string{"0"}, func(float64) (float64, error) { return 50, refuse }); !errors.Is(err, refuse) {
		t.Errorf("got %v", err)
	}
	if held := claim(0); held != 8 {
		t.Errorf("%v GiB held after a refused claim, want 8", held)
	}
}

func TestVisibleDevicesAreCountedAndHarmless(t *testing.T) {
	for _, tc := range []struct {
		visible string
		n       int
		want    []string
	}{
		{"", 2, []string{"0", "1"}},
		{"3,5", 1, []string{"3"}},
		{"GPU-8a/../x, 1", 2, []string{"GPU-8a____x", "1"}},
	} {
		got, err := VisibleDevices(tc.visible, tc.n)
		if err != nil {
			t.Errorf("%q: %v", tc.visible, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.visible, diff)
		}
	}
	if _, err := VisibleDevices("0", 2); err == nil {
		t.Error("two GPUs of one")
	}
}

func TestFaultsAreParsed(t *testing.T) {
	got, err := ParseFaults("drop=0.5, crash-after=3,oom-under-load")
	if want := (Faults{Drop: 0.5, CrashAfter: 3, OOMUnderLoad: true}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"explode", "drop=2", "drop=NaN", "crash-after=0", "crash-after"} {
		if _, err := ParseFaults(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func FuzzFaults(f *testing.F) {
	f.Add("drop=0.1,crash-after=2")
	f.Add(",")
	f.Fuzz(func(t *testing.T, text string) {
		faults, err := ParseFaults(text)
		if err == nil && !(faults.Drop >= 0 && faults.Drop <= 1 && faults.CrashAfter >= 0) {
			t.Errorf("%q: %+v", text, faults)
		}
	})
}
