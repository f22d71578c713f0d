// Package porter carries what is published on a machine of a pool into the bucket: records whole and in order, logs in pieces while
// they grow, and a manifest of each load, so that a mirror learns of it.
package porter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

const (
	inline  = 64 << 10 // what a manifest carries itself, so that a mirror need not ask for the object
	inHand  = 1 << 20  // a larger file is not read whole
	large   = 8 << 20  // a larger file does not keep what went up before it waiting for a manifest
	atOnce  = 200      // files of a manifest
	mostOff = 30 * time.Second
)

// Config of New.
type Config struct {
	remote.Run
	Unit  string
	Now   func() time.Time
	Time  func() time.Time // the bucket's
	Say   func(string, ...any)
	Told  func(manifests int) // that are out
	Pace  time.Duration       // between two looks
	Piece int64               // bytes of a log's piece, at most
	Age   time.Duration       // that a log's end may have before it goes up
}

// Porter puts up what agents and crew publish on this machine. It finds it by looking: the disk is local, and inotify would have to be
// armed for folders that are only just made. What the bucket refuses is tried again for as long as the machine lives, in order; the
// agents do not notice. Methods may be called from any goroutine.
type Porter struct {
	Config

	mu     sync.Mutex // of cargos and haste; not held while anything goes up
	cargos []Cargo
	haste  bool
	cut    context.CancelFunc // ends the round under way

	round sync.Mutex // one at a time; it guards what follows
	sent  map[string]bool
	held  map[string]held // mutable files, as the bucket has them
	logs  map[string]*log
	ups   int             // pieces, files and manifests that went up
	batch []record.Stored // what is up, and in no manifest yet
	seq   int             // of the last manifest
	due   *record.Manifest
}

type held struct {
	crc        uint32
	generation int64
}

// New is a porter that has nothing to carry yet.
func New(c Config) *Porter {
	return &Porter{Config: c, sent: map[string]bool{}, held: map[string]held{}, logs: map[string]*log{}}
}

// Carry has what a job leaves here put up from now on.
func (p *Porter) Carry(c Cargo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.cargos, func(o Cargo) bool { return o.Job == c.Job }) {
		p.cargos = append(p.cargos, c)
	}
}

// Hurry has records go up before what people read, also before what is going up now: the machine has seconds.
func (p *Porter) Hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.haste = true
	if p.cut != nil {
		p.cut()
	}
}

// Loop looks and puts up until ctx ends.
func (p *Porter) Loop(ctx context.Context) {
	var off backoff
	for ctx.Err() == nil {
		err := p.Once(ctx, false)
		wait := p.Pace
		if err == nil {
			off = backoff{}
		} else if !p.hurried() {
			wait = p.wait(&off, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// backoff is how long to leave a bucket alone that does not answer, or does now and then.
type backoff struct {
	pause time.Duration
	ups   int  // when it was asked last
	said  bool // that it is away
}

// wait is the pause after a round that failed: twice the last one, or a short one if something went up.
func (p *Porter) wait(b *backoff, err error) time.Duration {
	p.round.Lock()
	defer p.round.Unlock()
	if p.ups > b.ups {
		b.ups, b.pause = p.ups, 0
	}
	if !b.said {
		b.said = true
		p.Say("%v", err)
	}
	b.pause = min(max(2*b.pause, p.Pace), mostOff)
	return b.pause
}

func (p *Porter) hurried() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.haste
}

// Flush puts up all that there is, logs to their ends; an error says that ctx ended before.
func (p *Porter) Flush(ctx context.Context) error {
	var off backoff
	for {
		err := p.Once(ctx, true)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(p.wait(&off, err)):
		}
	}
}

// Once puts up what there is now, and says so in a manifest.
func (p *Porter) Once(ctx context.Context, all bool) error {
	p.round.Lock()
	defer p.round.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p.mu.Lock()
	cargos, haste := slices.Clone(p.cargos), p.haste
	if !haste {
		p.cut = cancel
	}
	p.mu.Unlock()
	if err := p.announce(ctx); err != nil { // of a round that failed
		return err
	}
	for i, c := range cargos {
		var s record.Step
		cargos[i].over = fsx.ReadJSON(p.Dir.Step(c.Job), &s) == nil && s.Over()
	}
	items := p.scan(cargos, all)
	if haste {
		slices.SortStableFunc(items, func(a, b item) int { return a.urgent() - b.urgent() })
	}
	var failed error
	for n, i := range items {
		if len(p.batch) >= atOnce || haste && n > 0 && i.urgent() > items[n-1].urgent() {
			if err := p.announce(ctx); err != nil {
				return err
			}
		}
		if failed = p.up(ctx, i); failed != nil {
			break
		}
	}
	if err := p.announce(ctx); err != nil || failed != nil {
		return cmp.Or(failed, err)
	}
	return p.settle(cargos)
}

// scan is what there is, in the order in which it may be seen elsewhere. That the machine is done comes after everything.
func (p *Porter) scan(cargos []Cargo, all bool) []item {
	var items []item
	for _, c := range cargos {
		items = append(items, p.files(c)...)
	}
	for _, name := range p.names(p.Dir.Events()) {
		items = append(items, item{path: p.Rel(filepath.Join(p.Dir.Events(), name)), kind: event})
	}
	items = append(items, p.present(mutable, p.Dir.Aboard(p.Unit))...)
	if own := p.Rel(p.Dir.JobLog(p.Unit)); p.Has(own) {
		items = append(items, item{path: own, kind: grows})
	}
	for i := range items {
		items[i].over = items[i].over || all
	}
	return append(items, p.present(whole, p.Dir.Done(p.Unit))...)
}

// settle forgets cargos that were over before a round in which all went up that they had. A note of it stays, for a later start of this
// machine.
func (p *Porter) settle(cargos []Cargo) error {
	for _, c := range cargos {
		if !c.over {
			continue
		}
		if err := fsx.Publish(p.Carried(c.Job), nil, 0o644); err != nil {
			return err
		}
		p.mu.Lock()
		p.cargos = slices.DeleteFunc(p.cargos, func(o Cargo) bool { return o.Job == c.Job })
		p.mu.Unlock()
	}
	return nil
}

// Carried is this machine's note that all of a job is up and announced.
func (p *Porter) Carried(job string) string { return filepath.Join(p.Dir.Job(job), "carried") }

// up puts up one file, if it is not there yet.
func (p *Porter) up(ctx context.Context, i item) error {
	var err error
	switch {
	case p.sent[i.path]:
	case i.kind == grows:
		err = p.grown(ctx, i)
	case i.kind == mutable:
		err = p.again(ctx, i.path)
	case i.kind == event, i.kind == claim:
		err = p.note(i.path, i.kind == event)
	default:
		err = p.whole(ctx, i.path)
	}
	if errors.Is(err, ErrConflict) {
		// Nobody else writes it, so somebody did what must not be done; to wait would not mend it, and would hold up all that follows.
		p.Say("%v", err)
		p.sent[i.path] = true
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) && !p.Has(i.path) {
		return nil // taken away between two looks
	}
	return err
}

// ErrConflict says that what is to go up is there already, and is not the same.
var ErrConflict = errors.New("the bucket has other bytes of that name")

// create puts up data that nobody may have put up before, except for this machine: then it is as good as done.
func (p *Porter) create(ctx context.Context, path string, data []byte, meta map[string]string) error {
	_, err := p.Put(ctx, path, data, 0, meta)
	if !errors.Is(err, bucket.ErrChanged) {
		return err
	}
	o, there, err := p.Find(ctx, path)
	switch {
	case err != nil:
		return err
	case !there:
		return fmt.Errorf("%s: it was there a moment ago", path)
	case o.Size != int64(len(data)) || o.CRC32C != remote.Checksum(data):
		return fmt.Errorf("%s: %w", path, ErrConflict)
	}
	return nil
}

// whole puts up a file that does not change any more.
func (p *Porter) whole(ctx context.Context, path string) error {
	info, err := os.Stat(p.Local(path))
	if err != nil {
		return err
	}
	if info.Size() > inHand {
		return p.stream(ctx, path, info.Size())
	}
	data, err := os.ReadFile(p.Local(path))
	if err != nil {
		return err
	}
	if err := p.create(ctx, path, data, nil); err != nil {
		return err
	}
	p.add(path, 0, data)
	p.sent[path] = true
	return nil
}

// stream puts up a file without having it in memory.
func (p *Porter) stream(ctx context.Context, path string, size int64) error {
	if size > large {
		if err := p.announce(ctx); err != nil {
			return err
		}
	}
	o, there, err := p.Find(ctx, path) // first: it would cost more to send it in vain
	if err == nil && !there {
		o, err = p.Store.PutFile(ctx, p.Name(path), p.Local(path), 0)
	}
	if err != nil {
		return err
	}
	if there {
		f, err := os.Open(p.Local(path))
		if err != nil {
			return err
		}
		defer f.Close()
		if crc, n, err := sum(f); err != nil || n != o.Size || crc != o.CRC32C {
			return errors.Join(err, fmt.Errorf("%s: %w", path, ErrConflict))
		}
	}
	p.batch = append(p.batch, record.Stored{Path: path, Size: o.Size, CRC32C: o.CRC32C})
	p.ups++
	p.sent[path] = true
	return nil
}

// again puts up a file that changes, if it has.
func (p *Porter) again(ctx context.Context, path string) error {
	data, err := os.ReadFile(p.Local(path))
	if err != nil {
		return err
	}
	was, known := p.held[path]
	if known && was.crc == remote.Checksum(data) {
		return nil
	}
	o, err := p.Put(ctx, path, data, was.generation, nil)
	if errors.Is(err, bucket.ErrChanged) {
		// This machine's, of an earlier start or of a try whose answer was lost: it has one writer.
		there, found, err := p.Find(ctx, path)
		if err != nil {
			return err
		}
		o = there
		if !found || there.CRC32C != remote.Checksum(data) {
			if o, err = p.Put(ctx, path, data, there.Generation, nil); err != nil {
				return err
			}
		}
	} else if err != nil {
		return err
	}
	p.held[path] = held{remote.Checksum(data), o.Generation}
	p.add(path, 0, data)
	return nil
}

// note has a small file in the next manifest, and there only where it has no object.
func (p *Porter) note(path string, only bool) error {
	data, err := os.ReadFile(p.Local(path))
	if err != nil {
		return err
	}
	p.add(path, 0, data)
	p.batch[len(p.batch)-1].Only = only
	p.sent[path] = true
	return nil
}

func (p *Porter) add(path string, part int, data []byte) {
	s := record.Stored{Path: path, Size: int64(len(data)), CRC32C: remote.Checksum(data), Part: part}
	if len(data) <= inline {
		s.Data = data
	}
	p.batch = append(p.batch, s)
	p.ups++
}

// announce puts the batch into a manifest. One whose answer was lost goes out again as it was, under a name of its own: a mirror asks
// for what came after the last name that it saw, and would not see one that arrived late under an early name. It may so be there twice.
func (p *Porter) announce(ctx context.Context) error {
	if p.due == nil {
		if len(p.batch) == 0 {
			return nil
		}
		p.due = &record.Manifest{Schema: record.Schema, Writer: p.Unit, Seq: p.seq + 1, At: p.Now(), Files: p.batch}
		p.batch = nil
	}
	data, err := fsx.JSON(p.due)
	if err != nil {
		return err
	}
	err = p.create(ctx, record.ManifestName(p.Time(), p.Unit, p.due.Seq), data, map[string]string{names.Carries: strconv.Itoa(carried(p.due.Files))})
	if err != nil {
		return err
	}
	p.seq, p.due = p.due.Seq, nil
	p.ups++
	p.Told(p.seq)
	return nil
}

// carried is how many files have their content in the manifest.
func carried(files []record.Stored) (n int) {
	for _, f := range files {
		if f.Data != nil {
			n++
		}
	}
	return n
}

// Note puts up a small file that is not here.
func (p *Porter) Note(ctx context.Context, path string, data []byte) error {
	p.round.Lock()
	defer p.round.Unlock()
	if err := p.create(ctx, path, data, nil); err != nil {
		return err
	}
	p.add(path, 0, data)
	return nil
}

// Resume goes on numbering after the manifests that an earlier start of this machine has put out.
func (p *Porter) Resume(ctx context.Context) error {
	err := p.List(ctx, "events/", "", func(path string, _ bucket.Object) error {
		_, rest, _ := strings.Cut(path, "-") // after the time
		if number, own := strings.CutPrefix(rest, p.Unit+"-"); own {
			if n, err := strconv.Atoi(strings.TrimSuffix(number, ".json")); err == nil {
				p.seq = max(p.seq, n)
			}
		}
		return nil
	})
	p.Told(p.seq)
	return err
}

func sum(r io.Reader) (crc uint32, n int64, err error) {
	h := remote.NewChecksum()
	n, err = io.Copy(h, r)
	return h.Sum32(), n, err
}
