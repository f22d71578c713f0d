package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// held is an object in the bucket of these tests.
type held struct {
	object bucket.Object
	data   []byte
}

// store is a bucket in memory: generations, preconditions, pages that are counted, and a fault that a test sets.
type store struct {
	t       testing.TB
	mu      sync.Mutex
	objects map[string]held
	time    time.Time // by its clock
	last    int64     // generation
	calls   map[string]int
	got     map[string]int // by name
	all     int
	fault   func(call int, kind, name string) error // before the call does anything
	after   func(call int, kind, name string) error // after it did: the answer is lost
}

func newStore(t testing.TB) *store {
	return &store{t: t, objects: map[string]held{}, time: time.UnixMilli(1_800_000_000_000), calls: map[string]int{}, got: map[string]int{}}
}

// call counts one and returns what is to be called when it is done.
func (s *store) call(kind, name string) (done func(*error), err error) {
	s.mu.Lock()
	s.all++
	n := s.all
	s.calls[kind]++
	if kind == "get" {
		s.got[name]++
	}
	s.time = s.time.Add(time.Millisecond)
	if s.fault != nil {
		err = s.fault(n, kind, name)
	}
	after := s.after
	return func(err *error) {
		s.mu.Unlock()
		if after != nil && *err == nil {
			*err = after(n, kind, name)
		}
	}, err
}

func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.got, s.all = map[string]int{}, map[string]int{}, 0
}

const pageSize = 1000

func (s *store) List(ctx context.Context, prefix, from string, each func(bucket.Object) error) error {
	s.mu.Lock()
	all := slices.Sorted(maps.Keys(s.objects))
	s.mu.Unlock()
	var page []bucket.Object
	flush := func() error {
		done, err := s.call("list", prefix)
		done(&err)
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := each(o); err != nil {
				return err
			}
		}
		page = page[:0]
		return nil
	}
	pages := 0
	for _, n := range all {
		if !strings.HasPrefix(n, prefix) || n < from {
			continue
		}
		if len(page) == pageSize {
			if err := flush(); err != nil {
				return err
			}
			pages++
		}
		s.mu.Lock()
		page = append(page, s.objects[n].object)
		s.mu.Unlock()
	}
	if pages == 0 || len(page) > 0 {
		return flush()
	}
	return nil
}

func (s *store) Get(ctx context.Context, name string) (data []byte, o bucket.Object, err error) {
	done, err := s.call("get", name)
	defer func() { done(&err) }()
	if err != nil {
		return nil, o, err
	}
	h, ok := s.objects[name]
	if !ok {
		return nil, o, fmt.Errorf("get %s: %w", name, fs.ErrNotExist)
	}
	o = h.object
	o.Metadata, o.Updated = nil, time.Time{} // as the real one: an answer with content does not have them
	return slices.Clone(h.data), o, nil
}

func (s *store) GetFile(ctx context.Context, name, path string) (bucket.Object, error) {
	data, o, err := s.Get(ctx, name)
	if err == nil {
		err = fsx.Publish(path, data, 0o644)
	}
	return o, err
}

func (s *store) Put(ctx context.Context, name string, data []byte, generation int64, meta map[string]string) (o bucket.Object, err error) {
	done, err := s.call("put", name)
	defer func() { done(&err) }()
	if err != nil {
		return o, err
	}
	h, ok := s.objects[name]
	if ok && h.object.Generation != generation || !ok && generation != 0 {
		return o, fmt.Errorf("put %s: %w", name, bucket.ErrChanged)
	}
	return s.put(name, data, meta), nil
}

// put is Put without a precondition or a count.
func (s *store) put(name string, data []byte, meta map[string]string) bucket.Object {
	s.last++
	o := bucket.Object{Name: name, Generation: s.last, Size: int64(len(data)), CRC32C: sum(data), Metadata: maps.Clone(meta), Updated: s.time}
	s.objects[name] = held{o, slices.Clone(data)}
	return o
}

func (s *store) PutFile(ctx context.Context, name, path string, generation int64) (bucket.Object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return bucket.Object{}, err
	}
	return s.Put(ctx, name, data, generation, nil)
}

func (s *store) Delete(ctx context.Context, name string, generation int64) (err error) {
	done, err := s.call("delete", name)
	defer func() { done(&err) }()
	if err == nil {
		delete(s.objects, name)
	}
	return err
}

func (s *store) Stat(ctx context.Context, name string) (o bucket.Object, err error) {
	done, err := s.call("stat", name)
	defer func() { done(&err) }()
	if err != nil {
		return o, err
	}
	h, ok := s.objects[name]
	if !ok {
		return o, fmt.Errorf("stat %s: %w", name, fs.ErrNotExist)
	}
	return h.object, nil
}

func (s *store) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.time
}

// pass lets the bucket's time go by.
func (s *store) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.time = s.time.Add(d)
}

const prefix = "some/auto-benchmark/2026_11_24_10_00"

// machine is a worker as far as a mirror can see: it puts files up and tells of them.
type machine struct {
	s      *store
	unit   string
	seq    int
	signed int64 // generation of its sign of life
	told   int   // manifests that its sign of life speaks of
}

// file is what a machine publishes.
type file struct {
	path string
	data string
	only bool // in the manifest alone
	big  bool // not in the manifest
	part int
}

func (f file) stored() record.Stored {
	st := record.Stored{Path: f.path, Size: int64(len(f.data)), CRC32C: sum([]byte(f.data)), Only: f.only, Part: f.part}
	if !f.big && f.part == 0 {
		st.Data = []byte(f.data)
	}
	return st
}

// up puts files up as objects.
func (w *machine) up(files ...file) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	for _, f := range files {
		name := f.path
		if f.part > 0 {
			name = record.PartName(f.path, f.part)
		}
		if !f.only {
			w.s.put(prefix+"/"+name, []byte(f.data), nil)
		}
	}
}

// manifest is one that tells of files, not visible yet.
func (w *machine) manifest(files ...file) (name string, data []byte) {
	w.seq++
	m := record.Manifest{Schema: record.Schema, Writer: w.unit, Seq: w.seq, At: w.s.Now()}
	for _, f := range files {
		m.Files = append(m.Files, f.stored())
	}
	data, err := fsx.JSON(m)
	if err != nil {
		w.s.t.Fatal(err)
	}
	return record.ManifestName(m.At, w.unit, w.seq), data
}

func (w *machine) show(name string, data []byte) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.time = w.s.time.Add(time.Millisecond)
	w.s.put(prefix+"/"+name, data, nil)
	w.told++
}

// publish puts files up and tells of them.
func (w *machine) publish(files ...file) {
	w.up(files...)
	w.show(w.manifest(files...))
}

// beat rewrites the machine's sign of life; false: somebody else did.
func (w *machine) beat(phase record.WorkerPhase) bool {
	r := record.Worker{Schema: record.Schema, Unit: w.unit, Boot: 1, Phase: phase, Manifests: w.told, Node: "node-" + w.unit}
	data, err := fsx.JSON(r)
	if err != nil {
		w.s.t.Fatal(err)
	}
	o, err := w.s.Put(context.Background(), prefix+"/workers/"+w.unit+".json", data, w.signed, names.Describe(r))
	if err != nil {
		if !errors.Is(err, bucket.ErrChanged) {
			w.s.t.Fatal(err)
		}
		return false
	}
	w.signed = o.Generation
	return true
}

// here is a mirror in a folder of its own, or in dir.
func here(t testing.TB, s *store, dir string) *Mirror {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	return New(Config{Dir: record.Dir(dir), Store: s, Prefix: prefix, Writer: "collector-here-1", Now: s.Now})
}

func pull(t testing.TB, m *Mirror) Pulled {
	t.Helper()
	p, err := m.Pull(context.Background())
	if err != nil {
		t.Fatalf("pull: %v", err)
	}
	return p
}

func push(t testing.TB, m *Mirror) {
	t.Helper()
	if err := m.Push(context.Background()); err != nil {
		t.Fatalf("push: %v", err)
	}
}

// tree is what is in a run directory: names, permissions and content. What a mirror remembers, and what a killed process left unfinished,
// is no part of a run.
func tree(t testing.TB, dir record.Dir) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(string(dir), func(p string, d fs.DirEntry, err error) error {
		name := dir.Rel(p)
		if err != nil || name == "mirror.json" || strings.Contains(name, ".tmp-") {
			return err
		}
		info, err := d.Info()
		if err != nil || d.IsDir() {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			files[name], err = os.Readlink(p)
			return err
		}
		data, err := os.ReadFile(p)
		files[name] = fmt.Sprintf("%o %s", info.Mode(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// write writes a file of this side.
func write(t testing.TB, m *Mirror, name, data string) {
	t.Helper()
	path := m.local(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fsx.Publish(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t testing.TB, m *Mirror, name string) string {
	t.Helper()
	data, err := os.ReadFile(m.local(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(data))
}

// object is what the bucket holds of a file of the run.
func (s *store) object(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.objects[prefix+"/"+name]
	return string(h.data), ok
}
