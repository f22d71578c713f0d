package fsx

import (
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWhatIsDeliveredGoesWhereANameLeads(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	deliver := func(path, text string) {
		t.Helper()
		if err := Deliver(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	deliver(file, "new")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	deliver(link, "again")
	if got, err := os.ReadFile(file); err != nil || string(got) != "again" {
		t.Errorf("%q, %v", got, err)
	}
	if to, err := os.Readlink(link); err != nil || to != "file" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		f, err := os.Open(pipe)
		if err != nil {
			read <- err.Error()
			return
		}
		defer f.Close()
		data, _ := io.ReadAll(f)
		read <- string(data)
	}()
	deliver(pipe, "through")
	if got := <-read; got != "through" {
		t.Errorf("%q", got)
	}
	if info, err := os.Stat(pipe); err != nil || info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "nowhere", "file")} {
		if err := Deliver(path, nil, 0o644); err == nil {
			t.Errorf("%s was written to", path)
		}
	}
}
