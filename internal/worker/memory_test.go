package worker

import (
	"cmp"
	"context"
	"encoding/json"
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

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

// heap is a bucket.
type heap struct {
	mu      sync.Mutex
	objects map[string]bucket.Object
	data    map[string][]byte
	last    int64
	puts    []string // names in the order of their writing
}

func newHeap() *heap {
	return &heap{objects: map[string]bucket.Object{}, data: map[string][]byte{}}
}

func (m *heap) List(_ context.Context, prefix, from string, each func(bucket.Object) error) error {
	m.mu.Lock()
	var found []bucket.Object
	for name, o := range m.objects {
		if strings.HasPrefix(name, prefix) && name >= from {
			found = append(found, o)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(found, func(a, b bucket.Object) int { return cmp.Compare(a.Name, b.Name) })
	for _, o := range found {
		if err := each(o); err != nil {
			return err
		}
	}
	return nil
}

func (m *heap) Get(_ context.Context, name string) ([]byte, bucket.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, there := m.objects[name]
	if !there {
		return nil, o, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return slices.Clone(m.data[name]), o, nil
}

func (m *heap) Put(_ context.Context, name string, data []byte, generation int64, meta map[string]string) (bucket.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects[name].Generation != generation {
		return bucket.Object{}, bucket.ErrChanged
	}
	m.last++
	m.objects[name] = bucket.Object{Name: name, Generation: m.last, Size: int64(len(data)), CRC32C: remote.Checksum(data), Metadata: maps.Clone(meta)}
	m.data[name] = slices.Clone(data)
	m.puts = append(m.puts, name)
	return m.objects[name], nil
}

func (m *heap) PutFile(ctx context.Context, name, path string, generation int64) (bucket.Object, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return bucket.Object{}, err
	}
	return m.Put(ctx, name, data, generation, nil)
}

// has reports whether there is an object of the run.
func (m *heap) has(path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, there := m.objects[prefix+"/"+path]
	return there
}

func (m *heap) read(t *testing.T, path string, v any) {
	t.Helper()
	data, _, err := m.Get(t.Context(), prefix+"/"+path)
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func (m *heap) write(t *testing.T, path string, v any) {
	t.Helper()
	data, err := fsx.JSON(v)
	if s, is := v.(string); is {
		data = []byte(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	generation := m.objects[prefix+"/"+path].Generation
	m.mu.Unlock()
	if _, err := m.Put(t.Context(), prefix+"/"+path, data, generation, nil); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// line is one machine's connection to a bucket. What fault says of a call is what becomes of it.
type line struct {
	to    *heap
	mu    sync.Mutex
	calls int
	fault func(n int, op, name string) fault
}

type fault int

const (
	fine    fault = iota
	refused       // nothing happened, and it is told
	mute          // it happened, and no answer comes
)

var errAway = errors.New("the bucket does not answer")

func (l *line) ask(ctx context.Context, op, name string) (fault, error) {
	l.mu.Lock()
	l.calls++
	what := fine
	if l.fault != nil {
		what = l.fault(l.calls, op, strings.TrimPrefix(name, prefix+"/"))
	}
	l.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return refused, err
	}
	if what == refused {
		return refused, errAway
	}
	return what, nil
}

func (l *line) set(f func(n int, op, name string) fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = f
}

func (l *line) List(ctx context.Context, prefix, from string, each func(bucket.Object) error) error {
	f, err := l.ask(ctx, "list", prefix)
	if err != nil || f == mute {
		return cmp.Or(err, errAway)
	}
	return l.to.List(ctx, prefix, from, each)
}

func (l *line) Get(ctx context.Context, name string) ([]byte, bucket.Object, error) {
	f, err := l.ask(ctx, "get", name)
	if err != nil || f == mute {
		return nil, bucket.Object{}, cmp.Or(err, errAway)
	}
	return l.to.Get(ctx, name)
}

func (l *line) Put(ctx context.Context, name string, data []byte, generation int64, meta map[string]string) (bucket.Object, error) {
	f, err := l.ask(ctx, "put", name)
	if err != nil {
		return bucket.Object{}, err
	}
	o, err := l.to.Put(ctx, name, data, generation, meta)
	if f == mute {
		return bucket.Object{}, errAway
	}
	return o, err
}

func (l *line) PutFile(ctx context.Context, name, path string, generation int64) (bucket.Object, error) {
	f, err := l.ask(ctx, "put", name)
	if err != nil {
		return bucket.Object{}, err
	}
	o, err := l.to.PutFile(ctx, name, path, generation)
	if f == mute {
		return bucket.Object{}, errAway
	}
	return o, err
}

// mirror is what somebody knows of the run who reads nothing but manifests, in the order of their names, and what they name. At each
// file it checks what may be seen then.
func mirror(t fataler, m *heap) map[string]string { t.Helper(); return mirrorOf(t, m, true) }

// mirrorOf may have been filled in a hurry, or by two machines of a unit: then what people read comes when it comes.
func mirrorOf(t fataler, m *heap, calm bool) map[string]string {
	t.Helper()
	files := map[string]string{}
	parts := map[string]int{}
	seen := map[string]string{}
	var names []string
	_ = m.List(context.Background(), prefix+"/events/", "", func(o bucket.Object) error { names = append(names, o.Name); return nil })
	for _, name := range names {
		var manifest record.Manifest
		data, _, _ := m.Get(context.Background(), name)
		if err := json.Unmarshal(data, &manifest); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		id := fmt.Sprintf("%s %d", manifest.Writer, manifest.Seq)
		if !calm { // two machines of a unit may number alike
			id = name
		}
		if before, again := seen[id]; again {
			if before != string(data) {
				t.Fatalf("%s is there twice, and not the same", id)
			}
			continue
		}
		seen[id] = string(data)
		for _, f := range manifest.Files {
			object := prefix + "/" + f.Path
			if f.Part > 0 {
				object = prefix + "/" + record.PartName(f.Path, f.Part)
			}
			content := f.Data
			if !f.Only {
				stored, _, err := m.Get(context.Background(), object)
				if err != nil {
					t.Fatalf("a manifest names %s: %v", object, err)
				}
				if content == nil {
					content = stored
				}
			}
			if remote.Checksum(content) != f.CRC32C || int64(len(content)) != f.Size {
				t.Fatalf("%s part %d is not what its manifest says", f.Path, f.Part)
			}
			switch {
			case f.Part == 0:
				files[f.Path] = string(content)
			case f.Part == parts[f.Path]+1:
				parts[f.Path]++
				files[f.Path] += string(content)
			case f.Part > parts[f.Path]:
				t.Fatalf("part %d of %s comes after part %d", f.Part, f.Path, parts[f.Path])
			}
			complete(t, files, f.Path, calm)
		}
	}
	return files
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// complete: whoever sees a file can see what it rests on.
func complete(t fataler, files map[string]string, path string, calm bool) {
	t.Helper()
	at := filepath.Dir(path)
	rests := func(on string) {
		if _, there := files[on]; !there {
			t.Fatalf("%s can be seen before %s", path, on)
		}
	}
	switch {
	case filepath.Base(at) == "observations":
		rests(filepath.Join(filepath.Dir(at), "attempt.json"))
		n := strings.TrimSuffix(filepath.Base(path), ".json")
		if calm {
			rests(filepath.Join(filepath.Dir(at), "bench-"+n+"-inf.timelines"))
		}
	case filepath.Base(path) == "result.json":
		var r record.Result
		if err := json.Unmarshal([]byte(files[path]), &r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for n := range r.Observations {
			rests(fmt.Sprintf("%s/observations/%03d.json", at, n+1))
		}
	}
}
