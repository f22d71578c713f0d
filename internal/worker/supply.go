package worker

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

// supply brings here what crew and agents read of others: the queue and who has what of it, wishes of the collector, the probe's answer,
// the best that other cells hold.
type supply struct {
	remote.Run
	unit string
	now  func() time.Time
	say  func(string, ...any)
	// strand is told of jobs that an earlier start of this machine has claimed.
	strand func(ctx context.Context, job string) error

	looking sync.Mutex // one look at a time; it guards what follows
	boot    int
	queue   map[string]bool // entries that are here, or that nobody need read
	last    string          // the last of them by name
	rest    atomic.Bool     // there are more than were brought
	whole   time.Time       // when the queue was last looked at from its beginning
	states  map[string]int64
	probed  bool
	early   map[string]bool // strand has been told

	mu    sync.Mutex
	taken map[string]bool // jobs that are another's, or are begun here
	asked time.Time       // when that was last looked at
}

const (
	// portion of the queue that one look brings: reading each of ten thousand entries takes minutes, and the first are wanted first.
	portion = 200
	// anew is how often the queue is looked at from its beginning: its entries are numbered upwards, but by collectors that may be
	// killed between two of them.
	anew = 5 * time.Minute
	// fresh is how old the claims known may be when a job is asked for: where others work too, most of what was free an hour ago is
	// not, and each would cost a try.
	fresh = 10 * time.Second
)

func newSupply(c Config) *supply {
	return &supply{
		Run: c.Run, unit: c.Unit, now: c.Now, say: c.say,
		queue: map[string]bool{}, states: map[string]int64{}, early: map[string]bool{}, taken: map[string]bool{},
	}
}

// look brings what is new. A machine with a job needs less.
func (s *supply) look(ctx context.Context, job string) error {
	s.looking.Lock()
	defer s.looking.Unlock()
	if err := s.wish(ctx, s.Rel(s.Dir.Cancelled())); err != nil {
		return err
	}
	if job != "" {
		if err := s.wish(ctx, s.Rel(s.Dir.Unwanted(job))); err != nil {
			return err
		}
		return s.bests(ctx)
	}
	// Claims before the queue: what is taken need not be read.
	for _, bring := range []func(context.Context) error{s.claims, s.entries, s.state, s.probe, s.bests} {
		if err := bring(ctx); err != nil {
			return err
		}
	}
	return nil
}

// wish brings a collector's wish, if it has one.
func (s *supply) wish(ctx context.Context, path string) error {
	if s.Has(path) {
		return nil
	}
	_, err := s.Bring(ctx, path, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// state brings the run's state, if it has changed: it says when the run is over.
func (s *supply) state(ctx context.Context) error {
	path := s.Rel(s.Dir.State())
	o, there, err := s.Find(ctx, path)
	if err != nil || !there || s.states[path] == o.Generation {
		return err
	}
	if o, err = s.Bring(ctx, path, 0o644); err == nil {
		s.states[path] = o.Generation
	}
	return err
}

// claims learns who has what.
func (s *supply) claims(ctx context.Context) error {
	began := s.now()
	var strays []string
	seen := map[string]bool{}
	err := s.List(ctx, "claims/", "", func(p string, o bucket.Object) error {
		job, is := strings.CutSuffix(path.Base(p), ".json")
		if !is || !remote.Plain(job) {
			return nil
		}
		boot, err := strconv.Atoi(o.Metadata["boot"])
		own := err == nil && o.Metadata["unit"] == s.unit
		if own && boot == s.boot {
			return nil // whether its answer came or not
		}
		if seen[job] = true; own && boot < s.boot {
			strays = append(strays, job)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	for job := range seen {
		s.taken[job] = true
	}
	s.asked = began
	s.mu.Unlock()
	for _, job := range strays {
		if s.early[job] {
			continue
		}
		if err := s.strand(ctx, job); err != nil {
			return err
		}
		s.early[job] = true
	}
	return nil
}

// refresh learns who has what, if that is not known since a moment ago.
func (s *supply) refresh(ctx context.Context) error {
	s.mu.Lock()
	old := s.now().Sub(s.asked) > fresh
	s.mu.Unlock()
	if !old {
		return nil
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	return s.claims(ctx)
}

func (s *supply) isTaken(job string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[job]
}

func (s *supply) take(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[job] = true
}

// entries brings jobs of the queue.
func (s *supply) entries(ctx context.Context) error {
	from := s.last
	if now := s.now(); s.whole.IsZero() || now.Sub(s.whole) > anew {
		from, s.whole = "", now
	}
	var names []string
	err := s.List(ctx, "queue/"+record.Pool+"/", from, func(p string, _ bucket.Object) error {
		if !s.queue[p] {
			names = append(names, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	brought := 0
	s.rest.Store(false)
	for _, name := range names {
		_, job, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".json"), "-")
		switch {
		case !remote.Plain(path.Base(name)) || !remote.Plain(job):
			s.say("passed over: an entry of the queue %q", name)
		case s.isTaken(job):
		case brought == portion:
			s.rest.Store(true)
			return nil // the next look goes on here
		default:
			if err := s.entry(ctx, name, job); err != nil {
				return err
			}
			brought++
		}
		s.queue[name], s.last = true, max(s.last, name)
	}
	return nil
}

// entry brings one job. What its name says and its content does not would be claimed by one name and begun by another.
func (s *supply) entry(ctx context.Context, name, job string) error {
	data, _, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	var j record.Job
	if err := json.Unmarshal(data, &j); err != nil || j.ID != job || !remote.Plain("x"+j.Cell) {
		s.say("passed over: %s is of job %q in cell %q", name, j.ID, j.Cell)
		return nil
	}
	return s.Publish(name, j)
}

// probe brings the answers of probes until one of them is good: jobs wait for it, and agents take their server's memory from it.
func (s *supply) probe(ctx context.Context) error {
	if s.probed {
		return nil
	}
	var results []string
	err := s.List(ctx, "probe/", "", func(p string, _ bucket.Object) error {
		n := path.Base(path.Dir(p))
		if p == "probe/"+n+"/result.json" && remote.Plain(n) {
			results = append(results, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range results {
		if !s.Has(p) {
			if _, err := s.Bring(ctx, p, 0o644); err != nil {
				return err
			}
		}
		var r record.Result
		if fsx.ReadJSON(s.Local(p), &r) == nil && r.Complete && r.Outcome == record.OutcomeDone {
			s.probed = true
		}
	}
	return nil
}

// bests brings what other machines' cells hold.
func (s *supply) bests(ctx context.Context) error {
	fresh := map[string]int64{}
	err := s.List(ctx, "best/", "", func(p string, o bucket.Object) error {
		job, is := strings.CutSuffix(path.Base(p), ".json")
		if is && remote.Plain(job) && p == "best/"+job+".json" && s.states[p] != o.Generation && !s.Has(s.Rel(s.Dir.Claim(job))) {
			fresh[p] = o.Generation
		}
		return nil
	})
	if err != nil {
		return err
	}
	for p := range fresh {
		o, err := s.Bring(ctx, p, 0o644)
		if err != nil {
			return err
		}
		s.states[p] = o.Generation
	}
	return nil
}
