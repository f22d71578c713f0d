// Package remote is a run's folder in a bucket beside a machine's own run directory: what has one name in both is brought from one to
// the other, whole.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Store is what a worker needs of a bucket; *bucket.Bucket is one. Declared here because the worker is who needs it. A generation of 0
// asks that there be no such object; bucket.ErrChanged says that there is, or that it is not of the generation named.
type Store interface {
	List(ctx context.Context, prefix, from string, each func(bucket.Object) error) error
	Get(ctx context.Context, name string) ([]byte, bucket.Object, error)
	Put(ctx context.Context, name string, data []byte, generation int64, meta map[string]string) (bucket.Object, error)
	PutFile(ctx context.Context, name, path string, generation int64) (bucket.Object, error)
}

// Run is a run's folder in the bucket and the machine's own beside it. Paths are relative to the run, with slashes.
type Run struct {
	Store    Store
	Prefix   string
	Dir      record.Dir
	Patience time.Duration // with a small object
}

// Name of the object that a path is.
func (r Run) Name(path string) string { return strings.TrimPrefix(r.Prefix+"/"+path, "/") }

// Local is a path as this machine has it.
func (r Run) Local(path string) string {
	return filepath.Join(string(r.Dir), filepath.FromSlash(path))
}

// Rel is a local path as the bucket has it.
func (r Run) Rel(local string) string { return filepath.ToSlash(r.Dir.Rel(local)) }

// Get is an object's content; fs.ErrNotExist where there is none.
func (r Run) Get(ctx context.Context, path string) ([]byte, bucket.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	data, o, err := r.Store.Get(ctx, r.Name(path))
	if err != nil {
		return nil, o, fmt.Errorf("%s: %w", path, err)
	}
	return data, o, nil
}

// GetJSON is Get of a record.
func (r Run) GetJSON(ctx context.Context, path string, v any) (bucket.Object, error) {
	data, o, err := r.Get(ctx, path)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return o, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// Put writes an object if that of this generation is there (see Store).
func (r Run) Put(ctx context.Context, path string, data []byte, generation int64, meta map[string]string) (bucket.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	o, err := r.Store.Put(ctx, r.Name(path), data, generation, meta)
	if err != nil {
		return o, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// List calls each with what is below a path's beginning, in order, from a name on.
func (r Run) List(ctx context.Context, beginning, from string, each func(path string, o bucket.Object) error) error {
	if from != "" {
		from = r.Name(from)
	}
	err := r.Store.List(ctx, r.Name(beginning), from, func(o bucket.Object) error {
		return each(strings.TrimPrefix(strings.TrimPrefix(o.Name, r.Prefix), "/"), o)
	})
	if err != nil {
		return fmt.Errorf("list %s: %w", beginning, err)
	}
	return nil
}

// Find looks an object up without its content.
func (r Run) Find(ctx context.Context, path string) (found bucket.Object, there bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	err = r.List(ctx, path, "", func(p string, o bucket.Object) error {
		if p != path {
			return fs.SkipAll // names go up: it would have come first
		}
		found, there = o, true
		return fs.SkipAll
	})
	if errors.Is(err, fs.SkipAll) {
		err = nil
	}
	return found, there, err
}

// Bring fetches a small object to where it stands locally.
func (r Run) Bring(ctx context.Context, path string, perm os.FileMode) (bucket.Object, error) {
	data, o, err := r.Get(ctx, path)
	if err != nil {
		return o, err
	}
	return o, r.Keep(path, data, perm)
}

// Keep writes what was fetched to where it stands here.
func (r Run) Keep(path string, data []byte, perm os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(r.Local(path)), 0o755); err != nil {
		return err
	}
	return fsx.Publish(r.Local(path), data, perm)
}

// Has reports whether a file is here.
func (r Run) Has(path string) bool {
	_, err := os.Stat(r.Local(path))
	return err == nil
}

// Plain reports whether a name out of the bucket can be a part of a path here.
func Plain(name string) bool { return plainName.MatchString(name) }

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.=+-]*$`)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewChecksum and Checksum are as the bucket sums.
func NewChecksum() hash.Hash32 { return crc32.New(castagnoli) }

func Checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// Publish writes a record here.
func (r Run) Publish(path string, v any) error {
	data, err := fsx.JSON(v)
	if err != nil {
		return err
	}
	return r.Keep(path, data, 0o644)
}
