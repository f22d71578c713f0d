// Package mirror is the collector's side of a run whose directory is in a bucket: a local run directory that is kept like the bucket,
// so that everything else knows directories only. Pull brings in what others put up, Push puts up what was written here.
//
// What costs is calls, so a pull follows what is new and not what there is: manifests are named by the bucket's time, and a listing
// from an offset finds those that came. What a mirror remembers (mirror.json) is a cache. Without it a pull lists the whole run once
// and ends with the same bytes. It decides nothing about the run.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/mirror/memory"
	"vtune/internal/record"
)

// Source is how a bucket is read. Names are those of objects: with the run's prefix.
type Source interface {
	// List tells objects in the order of their names, from the name given.
	List(ctx context.Context, prefix, from string, each func(bucket.Object) error) error
	Get(ctx context.Context, name string) ([]byte, bucket.Object, error)
	GetFile(ctx context.Context, name, path string) (bucket.Object, error)
	Now() time.Time // by the bucket's clock
}

// Sink is how a bucket is written. A generation is that of the object to replace, 0 where there must be none; it being another is
// fs.ErrExist.
type Sink interface {
	Put(ctx context.Context, name string, data []byte, generation int64, meta map[string]string) (bucket.Object, error)
	PutFile(ctx context.Context, name, path string, generation int64) (bucket.Object, error)
	Delete(ctx context.Context, name string, generation int64) error
	Stat(ctx context.Context, name string) (bucket.Object, error)
}

// Store is a bucket.
type Store interface {
	Source
	Sink
}

// Config of a Mirror.
type Config struct {
	Dir      record.Dir
	Store    Store
	Prefix   string           // of the run in the bucket, without a slash at its end
	Writer   string           // this process, among all that ever write to the run: "collector-<host>-<pid>"
	Now      func() time.Time // by this machine's clock
	Progress func(done, all int, what string)
	ReadOnly bool // somebody else's run: nothing is ever put up
}

// Mirror of one run. Its methods are for one goroutine at a time.
type Mirror struct {
	c       Config
	mem     *memory.Memory
	root    *os.Root // of the directory, while it is written to: symbolic links do not lead out of it
	folders sync.Map // made in it meanwhile
	seq     int      // of the last manifest written
	guard   sync.Mutex
	pulled  Pulled
	named   map[string]bool // files that manifests named, where that is asked
}

// New is a mirror of the run at c.Prefix in c.Dir, which need not exist yet.
func New(c Config) *Mirror {
	if c.Progress == nil {
		c.Progress = func(int, int, string) {}
	}
	return &Mirror{c: c}
}

// Pulled is what a pull did.
type Pulled struct {
	Cold      bool // the whole run was listed
	Manifests int  // read
	Files     int  // written
	Refused   []string
}

// ErrReadOnly is returned by what would write to somebody else's run.
var ErrReadOnly = errors.New("the run is another's: it is only read")

// DiffersError is told where a file that is written once has two contents: neither replaces the other.
type DiffersError struct {
	Path       string // relative to the run
	Here, Held uint32 // CRC32C, of the file here and of what the bucket holds
}

func (e *DiffersError) Error() string {
	return fmt.Sprintf("%s is written once, and differs: here its CRC32C is %08x, in the bucket %08x", e.Path, e.Here, e.Held)
}

// Is makes every DiffersError an ErrDiffers.
func (e *DiffersError) Is(target error) bool { return target == ErrDiffers }

// ErrDiffers is what every DiffersError is.
var ErrDiffers = errors.New("a file that is written once differs")

const (
	// mostBytes bounds what is read into memory from a bucket that others write to.
	mostBytes = 64 << 20
	// inline is up to which size a file travels in its manifest.
	inline = 64 << 10
	// parallel is how many requests are under way at once.
	parallel = 32
)

func sum(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

// object is the name in the bucket of a file of the run.
func (m *Mirror) object(name string) string { return m.c.Prefix + "/" + name }

// local is the file here.
func (m *Mirror) local(name string) string {
	return filepath.Join(string(m.c.Dir), filepath.FromSlash(name))
}

// open makes the directory what Scan expects of one, and readies it to be written to.
func (m *Mirror) open() error {
	for _, d := range []string{m.c.Dir.Jobs(), m.c.Dir.Events(), m.c.Dir.Cells(), m.c.Dir.Profile()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(string(m.c.Dir))
	m.root = root
	m.folders.Clear()
	return err
}

// load reads what is remembered, once.
func (m *Mirror) load() {
	if m.mem == nil {
		m.mem = memory.Load(m.c.Dir.Mirror(), m.c.Prefix)
	}
}

func (m *Mirror) keep() error { return m.mem.Keep(m.c.Dir.Mirror()) }

func (m *Mirror) close() {
	m.root.Close()
	m.root = nil
}

// folder makes the folder of a file. One that symbolic links lead out of the run is refused.
func (m *Mirror) folder(name string) error {
	dir := path.Dir(name)
	if _, made := m.folders.Load(dir); made || dir == "." {
		return nil
	}
	if err := m.root.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("a folder for %s: %w", name, err)
	}
	m.folders.Store(dir, true)
	return nil
}

// refuse notes something in the bucket that is no part of a run.
func (m *Mirror) refuse(format string, args ...any) {
	const most = 100 // whoever fills a bucket with nonsense shall not fill a memory with it
	m.guard.Lock()
	defer m.guard.Unlock()
	if len(m.pulled.Refused) < most {
		m.pulled.Refused = append(m.pulled.Refused, fmt.Sprintf(format, args...))
	}
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
