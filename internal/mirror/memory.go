package mirror

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/record"
)

// memory is what a mirror knows of the bucket: mirror.json. All of it can be found out again by a listing. Files of the workers that
// are written once are not in it: they say for themselves what they are.
type memory struct {
	Schema int              `json:"schema"`
	Prefix string           `json:"prefix"`
	Whole  bool             `json:"whole"`             // a pull of the whole run came to its end
	Newest int64            `json:"newest"`            // manifest seen, in ms of the bucket's time
	Seen   map[string][]run `json:"seen,omitempty"`    // manifests, by writer
	Looked map[string]int   `json:"looked,omitempty"`  // by writer: how many manifests it claimed when all were looked through for them
	Signs  map[string]sign  `json:"workers,omitempty"` // by unit
	Host   string           `json:"host,omitempty"`    // whose clock Signs go by
	Files  map[string]entry `json:"files,omitempty"`
	// Announce are files that are up, and that no manifest is known to name.
	Announce  []string `json:"announce,omitempty"`
	Withdrawn bool     `json:"withdrawn,omitempty"` // the secrets were taken back for good
}

// entry is what is known of a file that this side writes, or that changes.
type entry struct {
	Size       int64  `json:"s"`
	MTime      int64  `json:"t"` // of the file here when it was as the bucket's, in ns
	CRC32C     uint32 `json:"c"`
	Generation int64  `json:"g,omitempty"` // 0: not known
	Writer     string `json:"w,omitempty"` // whose manifest told of it last, as number Seq
	Seq        int    `json:"n,omitempty"`
}

// sign is a worker's sign of life, as a listing tells it.
type sign struct {
	Generation int64         `json:"generation"`
	First      time.Time     `json:"first"` // seen, by our own clock
	Again      bool          `json:"again"` // and seen since
	Worker     record.Worker `json:"worker"`
}

// run is manifests of one writer in a row. A machine that lost its disk counts from 1 again, later; so a number alone is no name.
type run struct {
	From [2]int64 `json:"from"` // time in ms and number of the first
	To   [2]int64 `json:"to"`
}

// told is a manifest as its name tells of it.
type told struct {
	name    string // relative to the run
	writer  string
	at, seq int64 // at in ms
	object  bucket.Object
}

// parseManifest reads a name that record.ManifestName made.
func parseManifest(name string) (told, bool) {
	rest, ok := strings.CutPrefix(name, "events/")
	rest, json := strings.CutSuffix(rest, ".json")
	at, rest, cut := strings.Cut(rest, "-")
	last := strings.LastIndexByte(rest, '-')
	if !ok || !json || !cut || len(at) != 13 || last <= 0 {
		return told{}, false
	}
	ms, err := strconv.ParseUint(at, 10, 63)
	n, nerr := strconv.ParseUint(rest[last+1:], 10, 31)
	return told{name: name, writer: rest[:last], at: int64(ms), seq: int64(n)}, err == nil && nerr == nil
}

func (r run) holds(t told) bool {
	return r.From[0] <= t.at && t.at <= r.To[0] && r.From[1] <= t.seq && t.seq <= r.To[1]
}

// seen reports whether a manifest was read.
func (m *memory) seen(t told) bool {
	return slices.ContainsFunc(m.Seen[t.writer], func(r run) bool { return r.holds(t) })
}

// got is how many manifests of a writer were read.
func (m *memory) got(writer string) (n int64) {
	for _, r := range m.Seen[writer] {
		n += r.To[1] - r.From[1] + 1
	}
	return n
}

// see notes a manifest as read. Numbers in a row, at times that go up, become one run, so that the memory of a long life stays small.
func (m *memory) see(t told) {
	if m.seen(t) {
		return
	}
	if m.Seen == nil {
		m.Seen = map[string][]run{}
	}
	p := [2]int64{t.at, t.seq}
	runs := append(m.Seen[t.writer], run{p, p})
	slices.SortFunc(runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.From[0], b.From[0]), cmp.Compare(a.From[1], b.From[1]))
	})
	joined := runs[:1]
	for _, r := range runs[1:] {
		if last := &joined[len(joined)-1]; last.To[1]+1 == r.From[1] && last.To[0] <= r.From[0] {
			last.To = r.To
			continue
		}
		joined = append(joined, r)
	}
	m.Seen[t.writer] = joined
	// A name from the future must not make the mirror blind for what comes; the bucket itself says when an object was made.
	at := t.at
	if made := t.object.Updated; !made.IsZero() {
		at = min(at, made.UnixMilli())
	}
	m.Newest = max(m.Newest, at)
}

// load reads mirror.json once. One that is absent, torn or of another run is none.
func (m *Mirror) load() {
	if m.mem != nil {
		return
	}
	var mem memory
	if fsx.ReadJSON(m.c.Dir.Mirror(), &mem) != nil || mem.Schema != record.Schema || mem.Prefix != m.c.Prefix {
		mem = memory{Schema: record.Schema, Prefix: m.c.Prefix}
	}
	if host, _ := os.Hostname(); mem.Host != host {
		mem.Host, mem.Signs = host, nil // seen by another clock
	}
	if mem.Files == nil {
		mem.Files = map[string]entry{}
	}
	m.mem = &mem
}

// keep publishes mirror.json. What it says is here is on the disk by then.
func (m *Mirror) keep() error {
	data, err := json.Marshal(m.mem)
	if err != nil {
		return err
	}
	fsx.Point("mirror.keep", m.c.Dir.Mirror())
	return fsx.Publish(m.c.Dir.Mirror(), data, 0o644)
}
