package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
)

// Fetch brings files in that a pull leaves in the bucket: logs, traces, timelines. A path is a file's, or a folder's with all that is
// below it; it is relative to the run, with slashes. A log that still grows becomes what is up of it, and the next fetch appends.
// A path of which the bucket has nothing is fs.ErrNotExist.
func (m *Mirror) Fetch(ctx context.Context, paths ...string) error {
	m.load()
	m.pulled = Pulled{}
	if err := m.open(); err != nil {
		return err
	}
	defer m.close()
	for i, path := range paths {
		if !names.Proper(path) {
			return fmt.Errorf("fetch %q: no path within a run", path)
		}
		if err := m.fetch(ctx, path); err != nil {
			return fmt.Errorf("fetch %s: %w", path, err)
		}
		m.c.Progress(i+1, len(paths), "fetched")
	}
	return m.keep()
}

// fetched is one file of the bucket: an object, or pieces of one.
type fetched struct {
	whole  *bucket.Object
	pieces map[int]bucket.Object
}

func (m *Mirror) fetch(ctx context.Context, path string) error {
	files := map[string]*fetched{}
	var order []string
	err := m.c.Store.List(ctx, m.object(path), "", func(o bucket.Object) error {
		name, n := names.Whole(m.relative(o.Name))
		if name != path && !strings.HasPrefix(name, path+"/") || strings.HasSuffix(name, "/") {
			return nil
		}
		if r := names.Of(name); !names.Proper(name) || r.Whose == names.Nobodys || name == names.Secrets {
			return nil
		}
		f, known := files[name]
		if !known {
			f = &fetched{pieces: map[int]bucket.Object{}}
			files[name] = f
			order = append(order, name)
		}
		if n == 0 {
			f.whole = &o
		} else {
			f.pieces[n] = o
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return os.ErrNotExist
	}
	for _, name := range order {
		if err := m.folder(name); err != nil {
			return err
		}
		switch whole, r := files[name].whole, names.Of(name); {
		case whole == nil:
			err = m.fetchPieces(ctx, name, files[name].pieces)
		case r.Pull && whole.Size <= mostBytes:
			err = m.settle(ctx, &want{name: name, rule: r, size: whole.Size, sum: whole.CRC32C}, true)
		default:
			err = m.fetchWhole(ctx, name, r, *whole)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetchWhole brings in an object as it is, but for one that this side has changed here. It comes into a folder that is nobody else's
// until it has its own permissions.
func (m *Mirror) fetchWhole(ctx context.Context, name string, r names.Rule, o bucket.Object) (err error) {
	e, here, err := m.look(name, r, o.Size)
	if err != nil || here && (r.Whose == names.Ours || e.Size == o.Size && e.CRC32C == o.CRC32C) {
		return err
	}
	path := m.local(name)
	temp, err := os.MkdirTemp(filepath.Dir(path), "fetch.tmp-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	file := filepath.Join(temp, "file")
	got, err := m.c.Store.GetFile(ctx, o.Name, file)
	if err != nil {
		return err
	}
	if err := os.Chmod(file, r.Mode()); err != nil {
		return err
	}
	fsx.Point("mirror.fetched", path)
	if err := os.Rename(file, path); err != nil {
		return err
	}
	if e, _, err = m.look(name, r, got.Size); err == nil {
		e.Generation = got.Generation
		m.remember(name, r, e)
	}
	return err
}

// fetchPieces makes a log of its pieces. Each that is here already is known by its size and sum, so that nothing need be remembered;
// what does not agree, as after a crash, is written anew. Two processes that do this at once write the same bytes to the same places.
func (m *Mirror) fetchPieces(ctx context.Context, name string, pieces map[int]bucket.Object) (err error) {
	f, err := m.root.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, names.Of(name).Mode())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	at := int64(0)
	for n := 1; ; n++ {
		o, there := pieces[n]
		if !there {
			break // the last, or one that is not up yet though later ones are
		}
		if o.Size < 0 || o.Size > mostBytes {
			return fmt.Errorf("piece %d has %d bytes", n, o.Size)
		}
		buf := make([]byte, o.Size)
		if k, err := f.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		} else if int64(k) < o.Size || sum(buf) != o.CRC32C {
			data, got, err := m.c.Store.Get(ctx, o.Name)
			if err != nil {
				return err
			}
			if got.Generation != o.Generation || int64(len(data)) != o.Size || sum(data) != o.CRC32C {
				return &DiffersError{Path: o.Name, Here: o.CRC32C, Held: sum(data)}
			}
			if _, err := f.WriteAt(data, at); err != nil {
				return err
			}
			fsx.Point("mirror.piece", name)
		}
		at += o.Size
	}
	info, err := f.Stat()
	if err != nil || info.Size() <= at {
		return err
	}
	return f.Truncate(at)
}
