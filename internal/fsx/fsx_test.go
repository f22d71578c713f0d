package fsx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vtune/internal/need"
)

func TestAReaderSeesTheOldFileOrTheNewOneAndNothingBetween(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	texts := map[string]bool{}
	for i := range 20 {
		texts[string(make([]byte, 10000*i))+fmt.Sprint(i)] = true
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for text := range texts {
			if err := Publish(path, []byte(text), 0o644); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		data, err := os.ReadFile(path)
		if err == nil && !texts[string(data)] {
			t.Fatalf("read %d bytes that nobody wrote", len(data))
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestOnlyOneOfManyPublishesANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch err := PublishNew(path, fmt.Append(nil, i), 0o644); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 published", won.Load())
	}
	assertNoTemporary(t, filepath.Dir(path))
}

func TestOnlyOneOfManyClaims(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claim")
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch err := Claim(path); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrTaken):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 8 claimed", won.Load())
	}
}

// A file that does not fit is as if it had never been written: the old one stays, and no torn one lies about.
func TestAFullDiskLeavesTheOldFile(t *testing.T) {
	dir := need.SmallDisk(t, "64k")
	path := filepath.Join(dir, "f")
	if err := Publish(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := Publish(path, make([]byte, 1<<20), 0o644)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v, want no space left", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "old" {
		t.Errorf("the file is now %d bytes", len(data))
	}
	assertNoTemporary(t, dir)
}

func assertNoTemporary(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if Temporary(e.Name()) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func lease(pid int, alive func(Owner) bool) LeaseConfig {
	return LeaseConfig{
		Me:   Owner{Host: "here", User: "me", PID: pid, Start: fmt.Sprint(pid), Doing: "test"},
		Beat: 5 * time.Millisecond, Stale: 200 * time.Millisecond, Alive: alive,
	}
}

func TestALivingOwnerKeepsItsLease(t *testing.T) {
	for _, alive := range []func(Owner) bool{nil, func(Owner) bool { return true }} {
		dir := filepath.Join(t.TempDir(), "lock")
		l, err := Acquire(context.Background(), dir, lease(1, alive))
		if err != nil {
			t.Fatal(err)
		}
		var held *HeldError
		if _, err := Acquire(context.Background(), dir, lease(2, alive)); !errors.As(err, &held) || held.By.PID != 1 {
			t.Fatalf("second owner: %v", err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		l, err = Acquire(context.Background(), dir, lease(2, alive))
		if err != nil {
			t.Fatalf("after the release: %v", err)
		}
		l.Release()
	}
}

func TestADeadOwnersLeaseIsTakenOver(t *testing.T) {
	for name, alive := range map[string]func(Owner) bool{"judged by its beat": nil, "known to be dead": func(Owner) bool { return false }} {
		dir := filepath.Join(t.TempDir(), "lock")
		dead, err := Acquire(context.Background(), dir, lease(1, alive))
		if err != nil {
			t.Fatal(err)
		}
		dead.stop()
		<-dead.done
		l, err := Acquire(context.Background(), dir, lease(2, alive))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := dead.Release(); err != nil {
			t.Fatal(err)
		}
		if o, err := owner(dir); err != nil || o.PID != 2 {
			t.Errorf("%s: the late release of the dead owner left %+v, %v", name, o, err)
		}
		l.Release()
	}
}

func TestALeaseThatNobodyCanReadIsTakenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lock")
	if err := os.MkdirAll(filepath.Join(dir, "torn"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := Acquire(context.Background(), dir, lease(1, nil))
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}

func TestOfManyOnlyOneTakesADeadOwnersLease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lock")
	alive := func(o Owner) bool { return o.PID != 1 }
	dead, err := Acquire(context.Background(), dir, lease(1, alive))
	if err != nil {
		t.Fatal(err)
	}
	dead.stop()
	<-dead.done
	var got atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var held *HeldError
			switch l, err := Acquire(context.Background(), dir, lease(2+i, alive)); {
			case err == nil:
				got.Add(1)
				t.Cleanup(func() { l.Release() })
			case !errors.As(err, &held):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d of 8 took it", got.Load())
	}
}

func TestAFolderOfAnyNameIsSearchedAndIsNoPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a[1] *?\b`)
	other := filepath.Join(filepath.Dir(dir), "a1 xyb")
	for _, d := range []string{dir, other} {
		if err := os.MkdirAll(filepath.Join(d, "jobs", "1"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "jobs", "1", "intent.json"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Below(dir, "jobs/*/intent.json")
	if want := filepath.Join(dir, "jobs", "1", "intent.json"); err != nil || len(found) != 1 || found[0] != want {
		t.Errorf("%q, %v, want %q", found, err, want)
	}
	if found, err := Below(filepath.Join(dir, "nowhere"), "*"); err != nil || len(found) != 0 {
		t.Errorf("%q, %v", found, err)
	}
}
