package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/memory"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// Push puts up what this side wrote and what is not up yet, then manifests that name it. Killed anywhere, it is made good by the next.
// What is written once and stands in the bucket with other bytes is a DiffersError; of what changes, this side's word replaces what is
// there, since only the holder of the run's lease pushes.
func (m *Mirror) Push(ctx context.Context) error {
	if m.c.ReadOnly {
		return ErrReadOnly
	}
	m.load()
	if !m.mem.Whole {
		if _, err := m.Pull(ctx); err != nil {
			return err
		}
	}
	changed, err := m.changed()
	if err != nil {
		return err
	}
	done := 0
	for _, batch := range batches(changed) {
		if err := m.pushBatch(ctx, batch); err != nil {
			return err
		}
		done += len(batch)
		m.c.Progress(done, len(changed), "files put up")
	}
	return m.announce(ctx)
}

// upload is a file that goes up.
type upload struct {
	name string
	rule names.Rule
	size int64
	at   int64 // its modification time
}

// changed are the files of this side that are not in the bucket as they are here, in the order in which they go up.
func (m *Mirror) changed() (list []upload, err error) {
	err = filepath.WalkDir(string(m.c.Dir), func(p string, d fs.DirEntry, err error) error {
		if absent(err) {
			return nil // gone since its folder was read
		}
		if err != nil {
			return err
		}
		name := filepath.ToSlash(m.c.Dir.Rel(p))
		if d.IsDir() {
			if name != "." && !strings.Contains(name, "/") && !names.HoldsOurs(name) {
				return fs.SkipDir
			}
			return nil
		}
		r := names.Of(name)
		link := d.Type()&fs.ModeSymlink != 0
		if !r.Linked && (r.Whose != names.Ours || !d.Type().IsRegular()) || r.Linked && !link || name == names.Secrets && m.withdrawn() {
			return nil
		}
		u, is, err := m.inspect(name, r)
		if is {
			list = append(list, u)
		}
		return err
	})
	slices.SortFunc(list, func(a, b upload) int {
		return cmp.Or(cmp.Compare(a.rule.Phase, b.rule.Phase), strings.Compare(a.name, b.name))
	})
	return list, err
}

// withdrawn reports whether the secrets are not wanted in the bucket any more.
func (m *Mirror) withdrawn() bool {
	var st record.State
	return m.mem.Withdrawn || fsx.ReadJSON(m.c.Dir.State(), &st) == nil && st.Phase.Over()
}

// inspect reports whether a file is not in the bucket as it is here.
func (m *Mirror) inspect(name string, r names.Rule) (upload, bool, error) {
	path := m.local(name)
	if r.Linked && !m.leadsInside(path) {
		return upload{}, false, nil
	}
	info, err := os.Stat(path)
	if absent(err) || err == nil && !info.Mode().IsRegular() {
		return upload{}, false, nil // a link to what was not fetched: the bucket has it anyway
	}
	if err != nil {
		return upload{}, false, err
	}
	u := upload{name: name, rule: r, size: info.Size(), at: info.ModTime().UnixNano()}
	known, up := m.mem.Files[name]
	if up && known.Size == u.size && known.MTime == u.at {
		return u, false, nil
	}
	if up && known.Size == u.size {
		sum, err := sumFile(path)
		if err != nil || sum == known.CRC32C {
			known.MTime = u.at
			m.mem.Files[name] = known
			return u, false, err
		}
	}
	return u, true, nil
}

// leadsInside reports whether a symbolic link ends in the run.
func (m *Mirror) leadsInside(path string) bool {
	to, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	dir, err := filepath.EvalSymlinks(string(m.c.Dir))
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(dir, to)
	return err == nil && filepath.IsLocal(rel)
}

// batches are what goes up with one manifest: what is lost when the process dies is the knowledge of one.
func batches(list []upload) (all [][]upload) {
	const most, bytes = 2000, 8 << 20
	for from := 0; from < len(list); {
		to, size := from, int64(0)
		for to < len(list) && to-from < most && size < bytes {
			if list[to].size <= inline {
				size += list[to].size
			}
			to++
		}
		all = append(all, list[from:to])
		from = to
	}
	return all
}

func (m *Mirror) pushBatch(ctx context.Context, batch []upload) error {
	stored := make([]*record.Stored, len(batch))
	var differ []error
	for from := 0; from < len(batch); {
		to := from
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for ; to < len(batch) && batch[to].rule.Phase == batch[from].rule.Phase; to++ {
			i := to
			g.Go(func() error {
				f, err := m.put(ctx, batch[i])
				if errors.Is(err, ErrDiffers) {
					m.guard.Lock()
					defer m.guard.Unlock()
					differ = append(differ, err)
					return nil
				}
				stored[i] = f
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		// Nobody may act upon what stands on something that is not up.
		if len(differ) > 0 {
			return errors.Join(differ...)
		}
		fsx.Point("mirror.phase", string(m.c.Dir))
		from = to
	}
	var files []record.Stored
	for _, f := range stored {
		if f != nil {
			files = append(files, *f)
		}
	}
	return m.tell(ctx, files)
}

// put puts a file up; nil: it is gone.
func (m *Mirror) put(ctx context.Context, u upload) (*record.Stored, error) {
	name, path := m.object(u.name), m.local(u.name)
	m.guard.Lock()
	known, was := m.mem.Files[u.name]
	m.guard.Unlock()
	if was && u.rule.Fixed {
		here, err := sumFile(path)
		return nil, cmp.Or(err, error(&DiffersError{Path: u.name, Here: here, Held: known.CRC32C}))
	}
	var data []byte
	var err error
	small := u.size <= inline
	if small {
		if data, err = os.ReadFile(path); absent(err) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		small = len(data) <= inline
	}
	generation := known.Generation
	var o bucket.Object
	const tries = 3 // against others that write the same file, of whom there should be none
	for try := 1; ; try++ {
		if small {
			o, err = m.c.Store.Put(ctx, name, data, generation, nil)
		} else {
			o, err = m.c.Store.PutFile(ctx, name, path, generation)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || try == tries {
			return nil, fmt.Errorf("put up %s: %w", u.name, err)
		}
		here := memory.Entry{Size: int64(len(data)), CRC32C: sum(data)}
		if !small {
			if here, _, err = m.look(u.name, u.rule, u.size); err != nil {
				return nil, err
			}
		}
		switch o, err = m.c.Store.Stat(ctx, name); {
		case absent(err):
			generation = 0
			continue
		case err != nil:
			return nil, fmt.Errorf("put up %s: %w", u.name, err)
		}
		if o.Size == here.Size && o.CRC32C == here.CRC32C {
			break // by an earlier life of this process
		}
		if u.rule.Fixed {
			return nil, &DiffersError{Path: u.name, Here: here.CRC32C, Held: o.CRC32C}
		}
		generation = o.Generation
	}
	m.guard.Lock()
	defer m.guard.Unlock()
	m.mem.Files[u.name] = memory.Entry{Size: o.Size, MTime: u.at, CRC32C: o.CRC32C, Generation: o.Generation}
	f := &record.Stored{Path: u.name, Size: o.Size, CRC32C: o.CRC32C}
	if small && u.rule.Pull {
		f.Data = data
	}
	return f, nil
}

// tell names files in a manifest, and remembers that it did.
func (m *Mirror) tell(ctx context.Context, files []record.Stored) error {
	if len(files) == 0 {
		return nil
	}
	with := 0
	for _, f := range files {
		if len(f.Data) > 0 {
			with++
		}
	}
	m.seq++
	at := m.c.Store.Now()
	data, err := fsx.JSON(record.Manifest{Schema: record.Schema, Writer: m.c.Writer, Seq: m.seq, At: at.UTC(), Files: files})
	if err != nil {
		return err
	}
	name := record.ManifestName(at, m.c.Writer, m.seq)
	o, err := m.c.Store.Put(ctx, m.object(name), data, 0, map[string]string{names.Carries: strconv.Itoa(with)})
	if err != nil {
		return fmt.Errorf("tell of %d files: %w", len(files), err)
	}
	fsx.Point("mirror.told", name)
	if t, ok := names.ParseManifest(name); ok {
		m.mem.See(t, o.Updated)
	}
	return m.keep()
}

// announce tells of files that are up and that nobody was told of.
func (m *Mirror) announce(ctx context.Context) error {
	var files []record.Stored
	for _, name := range m.mem.Announce {
		data, err := os.ReadFile(m.local(name))
		if absent(err) {
			continue
		}
		if err != nil {
			return err
		}
		f := record.Stored{Path: name, Size: int64(len(data)), CRC32C: sum(data)}
		if len(data) <= inline {
			f.Data = data
		}
		files = append(files, f)
	}
	m.mem.Announce = nil
	return m.tell(ctx, files)
}

// Withdraw deletes the run's secrets from the bucket; no later push puts them up again. For when no machine needs them any more.
func (m *Mirror) Withdraw(ctx context.Context) error {
	if m.c.ReadOnly {
		return ErrReadOnly
	}
	m.load()
	if err := m.c.Store.Delete(ctx, m.object(names.Secrets), 0); err != nil && !absent(err) {
		return fmt.Errorf("withdraw the secrets: %w", err)
	}
	if m.mem.Withdrawn {
		return nil
	}
	m.mem.Withdrawn = true
	delete(m.mem.Files, names.Secrets)
	return m.keep()
}
