package fsx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Deliver is Publish for a file that a person has named: what a link leads to is replaced, and not the link; and what is no file, such as
// /dev/stdout or a pipe, is written to and stays what it is.
func Deliver(path string, data []byte, perm fs.FileMode) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Publish(path, data, perm)
	case err != nil:
		return err
	case info.Mode().IsRegular():
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
		return Publish(path, data, perm)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
