package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Draft writes a file that nobody reads before a later publication says that it may be read: in place, and not durable before
// Flush. Ten thousand jobs are twenty thousand such files, and to publish each would ask the disk forty thousand times to wait.
func Draft(path string, data []byte, perm fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(perm), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	Point("draft.written", path)
	return nil
}

// Flush makes every draft on dir's file system durable.
func Flush(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := syncfs(d); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOSYS) {
		return fmt.Errorf("flush %s: %w", dir, err)
	}
	Point("draft.flushed", dir)
	return nil
}
