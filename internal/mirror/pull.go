package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/memory"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// overlap is how far before the newest manifest seen a listing begins: a manifest has its name before it can be seen, and machines read
// the bucket's time in answers that are up to a second old. What comes later still is missed in the worker's own count.
const overlap = 3 * time.Minute

// Pull brings in what is new in the bucket; the first time, and where mirror.json is lost, whatever of the run is not here. Killed
// anywhere, it is made good by the next. A file that is written once and differs is a DiffersError, told again and again, while
// everything else is brought in. A bucket without the run is no error: there is no run.json then.
func (m *Mirror) Pull(ctx context.Context) (Pulled, error) {
	m.load()
	m.pulled = Pulled{}
	if err := m.open(); err != nil {
		return m.pulled, err
	}
	defer m.close()
	var err error
	if m.mem.Whole {
		err = m.news(ctx)
	} else {
		err = m.everything(ctx)
	}
	slices.Sort(m.pulled.Refused)
	return m.pulled, err
}

// news is what was told since the last pull: two listings and a request for each manifest.
func (m *Mirror) news(ctx context.Context) error {
	// Workers first: the manifests they say they have published can then be seen.
	signs, err := m.listSigns(ctx)
	if err != nil {
		return err
	}
	from := m.object(fmt.Sprintf("events/%013d", max(m.mem.Newest-overlap.Milliseconds(), 0)))
	fresh, err := m.listManifests(ctx, from)
	if err != nil {
		return err
	}
	if owing := m.owing(signs, fresh); len(owing) > 0 {
		if fresh, err = m.listManifests(ctx, ""); err != nil {
			return err
		}
		if m.mem.Looked == nil {
			m.mem.Looked = map[string]int{}
		}
		for unit, n := range owing {
			m.mem.Looked[unit] = n
		}
	}
	changed, err := m.sight(ctx, signs)
	if err != nil {
		return err
	}
	if err := m.read(ctx, fresh, nil); err != nil {
		return err
	}
	if changed || len(fresh) > 0 {
		return m.keep()
	}
	return nil
}

// owing are the workers that have published more than can be accounted for, with their count; those for which everything was looked
// through before are not in it.
func (m *Mirror) owing(signs []bucket.Object, fresh []told) map[string]int {
	got := map[string]int{}
	for _, t := range fresh {
		got[t.Writer]++
	}
	owing := map[string]int{}
	for _, o := range signs {
		unit := names.Unit(o.Name)
		w, _ := names.Described(unit, o.Metadata)
		if w.Manifests > got[unit]+m.mem.Got(unit) && w.Manifests > m.mem.Looked[unit] {
			owing[unit] = w.Manifests
		}
	}
	return owing
}

// listManifests are those from an object's name on that were not read.
func (m *Mirror) listManifests(ctx context.Context, from string) (fresh []told, err error) {
	err = m.c.Store.List(ctx, m.object("events/"), from, func(o bucket.Object) error {
		if t, ok := names.ParseManifest(m.relative(o.Name)); !ok {
			m.refuse("%q is no manifest's name", o.Name)
		} else if !m.mem.Has(t) {
			fresh = append(fresh, told{t, o})
		}
		return nil
	})
	return fresh, err
}

func (m *Mirror) relative(object string) string { return strings.TrimPrefix(object, m.c.Prefix+"/") }

// told is a manifest as its name and a listing tell of it.
type told struct {
	names.Manifest
	object bucket.Object
}

// want is a file to bring in.
type want struct {
	name   string
	rule   names.Rule
	data   []byte // where have
	have   bool
	size   int64
	sum    uint32
	told   told // by this manifest; by none where a listing did
	passed bool // a later word on the same file came
}

// read brings in what manifests tell. Where a listing of the whole run says what is missing, only that is taken from them, and taken
// out of missing. A manifest that told of a file that differs is not over: it is read again.
func (m *Mirror) read(ctx context.Context, list []told, missing map[string]bucket.Object) error {
	var differ []error
	done := 0
	for chunk := range chunks(list) {
		manifests, err := m.getManifests(ctx, chunk)
		if err != nil {
			return err
		}
		latest := map[string]*want{}
		groups := make([][]*want, len(chunk))
		bad := make([]error, len(chunk))
		for i, t := range chunk {
			for _, f := range manifests[i].Files {
				w, ok := m.wish(t, f, missing)
				if !ok {
					continue
				}
				if w, err = join(latest[w.name], w); err != nil {
					bad[i] = errors.Join(bad[i], err)
				} else if w != nil {
					latest[w.name] = w
					groups[i] = append(groups[i], w)
				}
			}
		}
		errs, err := m.bring(ctx, groups)
		if err != nil {
			return err
		}
		for i, t := range chunk {
			if bad[i] = errors.Join(bad[i], errs[i]); bad[i] == nil {
				m.mem.See(t.Manifest, t.object.Updated)
			}
			differ = append(differ, bad[i])
		}
		m.pulled.Manifests += len(chunk)
		done += len(chunk)
		m.c.Progress(done, len(list), "manifests")
		if err := m.keep(); err != nil {
			return err
		}
	}
	return errors.Join(differ...)
}

// chunks are manifests that are held in memory together.
func chunks(list []told) func(yield func([]told) bool) {
	const most = 2000
	return func(yield func([]told) bool) {
		for from := 0; from < len(list); {
			to, size := from, int64(0)
			for to < len(list) && to-from < most && (to == from || size+list[to].object.Size <= mostBytes) {
				size += list[to].object.Size
				to++
			}
			if !yield(list[from:to]) {
				return
			}
			from = to
		}
	}
}

// getManifests are those of a chunk, in its order. One that cannot be one is empty, and noted.
func (m *Mirror) getManifests(ctx context.Context, chunk []told) ([]record.Manifest, error) {
	got := make([]record.Manifest, len(chunk))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, t := range chunk {
		if t.object.Size > mostBytes {
			m.refuse("%s has %d bytes", t.Name, t.object.Size)
			continue
		}
		g.Go(func() error {
			data, _, err := m.c.Store.Get(ctx, m.object(t.Name))
			if absent(err) {
				return nil // taken away meanwhile
			}
			if err != nil {
				return err
			}
			var one record.Manifest
			if err := json.Unmarshal(data, &one); err != nil {
				m.refuse("%s: %v", t.Name, err)
			} else if one.Writer != t.Writer {
				m.refuse("%s is by %q", t.Name, one.Writer)
			} else {
				got[i] = one
			}
			return nil
		})
	}
	return got, g.Wait()
}

// wish is what a manifest's word on a file asks for, if for anything.
func (m *Mirror) wish(t told, f record.Stored, missing map[string]bucket.Object) (*want, bool) {
	if !names.Proper(f.Path) {
		m.refuse("%s names %q", t.Name, f.Path)
		return nil, false
	}
	if m.named != nil {
		m.named[f.Path] = true
	}
	r := names.Of(f.Path)
	w := &want{name: f.Path, rule: r, data: f.Data, size: f.Size, sum: f.CRC32C, told: t}
	switch {
	case r.Hollow:
		w.data, w.have, w.size, w.sum = nil, true, 0, 0
		return w, true
	case !r.Pull || f.Part != 0:
		return nil, false
	case r.Whose == names.Ours && !strings.HasPrefix(t.Writer, "collector-"):
		m.refuse("%s, of a worker, names %s", t.Name, f.Path)
		return nil, false
	case f.Size < 0 || f.Size > mostBytes:
		m.refuse("%s names %s with %d bytes", t.Name, f.Path, f.Size)
		return nil, false
	}
	w.have = len(f.Data) > 0 || f.Size == 0
	if w.have && (int64(len(f.Data)) != f.Size || sum(f.Data) != f.CRC32C) || !w.have && f.Only {
		m.refuse("%s has not the content of %s that it names", t.Name, f.Path)
		return nil, false
	}
	if missing == nil || f.Only {
		return w, true
	}
	// The listing knows what is there now. Of what the manifest does not carry, it knows more than the manifest.
	if o, ok := missing[f.Path]; !ok || !w.have || o.Size != f.Size || o.CRC32C != f.CRC32C {
		return nil, false
	}
	delete(missing, f.Path)
	return w, true
}

// join is the later of two words on the same file; nil: the earlier one stands.
func join(before, w *want) (*want, error) {
	switch {
	case before == nil:
		return w, nil
	case before.size == w.size && before.sum == w.sum, names.IsEvent(w.name):
		return nil, nil
	case w.rule.Fixed:
		return nil, &DiffersError{Path: w.name, Here: before.sum, Held: w.sum}
	}
	if before.told.Writer == w.told.Writer {
		if w.told.Seq < before.told.Seq {
			return nil, nil
		}
	} else {
		w.have = false // of two writers, the bucket knows who was last
	}
	before.passed = true
	return w, nil
}

// everything compares the whole run with what is here and brings in what is not.
func (m *Mirror) everything(ctx context.Context) error {
	m.pulled.Cold = true
	first := len(m.mem.Seen) == 0
	s, err := m.survey(ctx)
	if err != nil {
		return err
	}
	missing, same, err := m.compare(ctx, s.files)
	if err != nil {
		return err
	}
	if _, err := m.sight(ctx, s.signs); err != nil {
		return err
	}
	var hollow []*want
	for name := range s.hollow {
		hollow = append(hollow, &want{name: name, rule: names.Of(name), have: true})
	}
	if _, err := m.bring(ctx, [][]*want{hollow}); err != nil {
		return err
	}
	// Manifests first: one of them stands for many files, and the agents' events are nowhere else.
	named, differ := map[string]bool{}, []error{}
	if first {
		m.named = named
	}
	err = m.read(ctx, s.manifests, missing)
	m.named = nil
	if err != nil && !errors.Is(err, ErrDiffers) {
		return err
	}
	differ = append(differ, err)
	var rest []*want
	for name, o := range missing {
		rest = append(rest, &want{name: name, rule: names.Of(name), size: o.Size, sum: o.CRC32C})
	}
	slices.SortFunc(rest, func(a, b *want) int { return strings.Compare(a.name, b.name) })
	groups := make([][]*want, len(rest))
	for i, w := range rest {
		groups[i] = []*want{w}
	}
	errs, err := m.bring(ctx, groups)
	if err != nil {
		return err
	}
	if first {
		for _, name := range same {
			if !named[name] && names.Of(name).Pull {
				m.mem.Announce = append(m.mem.Announce, name)
			}
		}
	}
	for _, t := range s.told {
		m.mem.See(t.Manifest, t.object.Updated)
	}
	err = errors.Join(append(differ, errs...)...)
	m.mem.Whole = err == nil
	return errors.Join(err, m.keep())
}

// survey is a listing of the whole run.
type survey struct {
	files     map[string]bucket.Object // that are pulled, or are this side's
	hollow    map[string]bool
	manifests []told // not read, and worth it
	told      []told // of which the listing says everything
	signs     []bucket.Object
}

func (m *Mirror) survey(ctx context.Context) (survey, error) {
	s := survey{files: map[string]bucket.Object{}, hollow: map[string]bool{}}
	listed := 0
	err := m.c.Store.List(ctx, m.c.Prefix+"/", "", func(o bucket.Object) error {
		if listed++; listed%1000 == 0 {
			m.c.Progress(listed, 0, "objects listed")
		}
		name := m.relative(o.Name)
		if one, ok := names.ParseManifest(name); ok {
			switch t := (told{one, o}); {
			case m.mem.Has(one):
			case o.Metadata[names.Carries] == "0":
				s.told = append(s.told, t)
			default:
				s.manifests = append(s.manifests, t)
			}
			return nil
		}
		if name == "" || strings.HasSuffix(name, "/") { // what consoles put there for a folder
			return nil
		}
		name, part := names.Whole(name)
		if !names.Proper(name) || path.Dir(name) == "events" {
			m.refuse("%q is no name of a file", o.Name)
			return nil
		}
		r := names.Of(name)
		switch {
		case path.Dir(name) == "workers" && part == 0:
			s.signs = append(s.signs, o)
		case r.Hollow:
			s.hollow[name] = true
		case part == 0 && r.Pull && o.Size > mostBytes:
			m.refuse("%s has %d bytes", name, o.Size)
		case part == 0 && (r.Pull || r.Whose == names.Ours || r.Linked):
			s.files[name] = o
		}
		return nil
	})
	return s, err
}

// compare says which of the listed files are to be brought in, and which of this side's were here.
func (m *Mirror) compare(ctx context.Context, files map[string]bucket.Object) (missing map[string]bucket.Object, same []string, err error) {
	missing = map[string]bucket.Object{}
	var guard sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for name, o := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r := names.Of(name)
			e, here, err := m.look(name, r, o.Size)
			if err != nil {
				return err
			}
			equal := here && e.Size == o.Size && e.CRC32C == o.CRC32C
			guard.Lock()
			defer guard.Unlock()
			switch e.Generation = o.Generation; {
			case equal:
				m.remember(name, r, e)
				if r.Whose == names.Ours {
					same = append(same, name)
				}
			case r.Pull:
				missing[name] = o
			case here: // and to go up: not as the bucket has it
				e.Size, e.CRC32C, e.MTime = o.Size, o.CRC32C, 0
				m.remember(name, r, e)
			}
			return nil
		})
	}
	return missing, same, g.Wait()
}

// remember notes how a file of this side, or one that changes, is in the bucket.
func (m *Mirror) remember(name string, r names.Rule, e memory.Entry) {
	if r.Whose != names.Workers || r.Linked || !r.Fixed && !r.Hollow {
		m.mem.Files[name] = e
	}
}

// bring brings wants in: groups side by side, each in its order, and results of attempts last. It returns what differs, by group.
func (m *Mirror) bring(ctx context.Context, groups [][]*want) (differ []error, err error) {
	all := 0
	for _, g := range groups {
		all += len(g)
	}
	// So many files are made durable one by one; of more, all at once at the end.
	const few = 100
	durable := all <= few
	differ = make([]error, len(groups))
	for _, results := range []bool{false, true} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for i, group := range groups {
			g.Go(func() error {
				for _, w := range group {
					if w.passed || names.IsResult(w.name) != results {
						continue
					}
					if err := ctx.Err(); err != nil {
						return err
					}
					if err := m.settle(ctx, w, durable); errors.Is(err, ErrDiffers) {
						differ[i] = errors.Join(differ[i], err)
					} else if err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
	}
	if durable || all == 0 {
		return differ, nil
	}
	return differ, fsx.Flush(string(m.c.Dir))
}
