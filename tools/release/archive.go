package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// entry is a file of an archive, or a folder whose files all have the same mode.
type entry struct {
	name, from string
	mode       fs.FileMode
}

// pack makes a gzipped tar archive, in which everything is in the folder top. It is written here and not by GNU tar and gzip, whose bytes
// differ from version to version. Owners are root, times the commit's, folders sorted; what is a symbolic link is refused.
func pack(top string, entries []entry, at time.Time) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	t := tar.NewWriter(z)
	add := func(name, from string, mode fs.FileMode) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: path.Join(top, name), Size: int64(len(data)), Mode: int64(mode.Perm()), ModTime: at, Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
		}); err != nil {
			return err
		}
		_, err = t.Write(data)
		return err
	}
	for _, e := range entries {
		// WalkDir goes in the order of names.
		if err := filepath.WalkDir(e.from, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if d.Type() != 0 {
				return fmt.Errorf("%s is no plain file", file)
			}
			rel, err := filepath.Rel(e.from, file)
			if err != nil {
				return err
			}
			return add(path.Join(e.name, filepath.ToSlash(rel)), file, e.mode)
		}); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// checksums writes SHA256SUMS of all that is in dir, as sha256sum --check reads it.
func checksums(dir string) error {
	files, err := os.ReadDir(dir) // sorted
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(b.String()), 0o644)
}
