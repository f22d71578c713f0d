// Package fsx does to a shared file system only what NFS and Lustre keep their word on: atomic publication by rename, claims
// by mkdir, and reading that tolerates a half-visible file. flock and inotify are not used: both are silent no-ops on some
// mounts. Its crash points (Point) let the tests kill a process at every step of every protocol built on it.
package fsx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tempMark is inside the name of every unfinished file, so that scans can pass over them.
const tempMark = ".tmp-"

// Temporary reports whether name is a file that a Publish has not finished (or never will).
func Temporary(name string) bool { return strings.Contains(name, tempMark) }

// Publish makes path appear with data, whole or not at all: temporary name in the same directory, write, fsync, rename,
// fsync of the directory where the file system knows it. An existing file is replaced.
func Publish(path string, data []byte, perm fs.FileMode) error {
	temp, err := stage(path, data, perm)
	if err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return fmt.Errorf("publish %s: %w", path, err)
	}
	Point("publish.renamed", path)
	return syncDir(filepath.Dir(path))
}

// PublishNew is Publish for a file that must not exist yet: it fails with fs.ErrExist where Publish would replace.
// It links instead of renaming, because link, unlike O_EXCL with a later write, is atomic with the content.
func PublishNew(path string, data []byte, perm fs.FileMode) error {
	temp, err := stage(path, data, perm)
	if err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	defer os.Remove(temp)
	if err := os.Link(temp, path); err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	Point("publish.linked", path)
	return syncDir(filepath.Dir(path))
}

// PublishJSON publishes v as indented JSON with a final newline.
func PublishJSON(path string, v any) error {
	data, err := JSON(v)
	if err != nil {
		return fmt.Errorf("publish %s: %w", path, err)
	}
	return Publish(path, data, 0o644)
}

// JSON is v as every record is written: indented, with a final newline.
func JSON(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}

func stage(path string, data []byte, perm fs.FileMode) (temp string, err error) {
	Point("publish.begin", path)
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+tempMark)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(perm); err != nil {
		return "", err
	}
	if _, err = f.Write(data); err != nil {
		return "", err
	}
	if err = f.Sync(); err != nil && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.EINVAL) {
		return "", err
	}
	if err = f.Close(); err != nil {
		return "", err
	}
	Point("publish.staged", path)
	return f.Name(), nil
}

// syncDir makes a rename durable. File systems that cannot fsync a directory say EINVAL or ENOTSUP; there a crash of the
// whole machine may lose the name, which readers treat as "not yet published".
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// ErrTaken is returned by Claim when another process made the claim first.
var ErrTaken = errors.New("already claimed")

// Claim takes path for this process alone, for ever: mkdir either makes the directory or says who was first.
func Claim(path string) error {
	err := os.Mkdir(path, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("claim %s: %w", path, ErrTaken)
	case err != nil:
		return fmt.Errorf("claim %s: %w", path, err)
	}
	Point("claim.made", path)
	return nil
}

// ReadJSON decodes path into v. A file that is absent is fs.ErrExist's opposite, fs.ErrNotExist; one that does not parse is an
// error that names the file. Unknown fields are tolerated: records may be newer than their reader.
func ReadJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
