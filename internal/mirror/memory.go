package mirror

import (
	"encoding/json"
	"errors"
	"maps"
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
	Schema int                  `json:"schema"`
	Prefix string               `json:"prefix"`
	Whole  bool                 `json:"whole"`             // a pull of the whole run came to its end
	Newest int64                `json:"newest"`            // manifest seen, in ms of the bucket's time
	Seen   map[string]manifests `json:"seen,omitempty"`    // manifests, by writer
	Looked map[string]int       `json:"looked,omitempty"`  // by writer: how many manifests it claimed when all were looked through for them
	Signs  map[string]sign      `json:"workers,omitempty"` // by unit
	Host   string               `json:"host,omitempty"`    // whose clock Signs go by
	Files  map[string]entry     `json:"files,omitempty"`
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

// manifests is a set of one writer's, each by its time in ms and its number: a machine that lost its disk counts from 1 again, so a
// number alone is no name. Written down, each is the difference to the one before, since there are as many as observations.
type manifests map[[2]int64]bool

func (s manifests) MarshalJSON() ([]byte, error) {
	sorted := slices.SortedFunc(maps.Keys(s), func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	flat, last := make([]int64, 0, 2*len(s)), [2]int64{}
	for _, k := range sorted {
		flat = append(flat, k[0]-last[0], k[1]-last[1])
		last = k
	}
	return json.Marshal(flat)
}

func (s *manifests) UnmarshalJSON(data []byte) error {
	var flat []int64
	if err := json.Unmarshal(data, &flat); err != nil {
		return err
	}
	*s = manifests{}
	k := [2]int64{}
	for pair := range slices.Chunk(flat, 2) {
		if len(pair) < 2 {
			return errors.New("half a manifest")
		}
		k[0], k[1] = k[0]+pair[0], k[1]+pair[1]
		(*s)[k] = true
	}
	return nil
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

// seen reports whether a manifest was read.
func (m *memory) seen(t told) bool { return m.Seen[t.writer][[2]int64{t.at, t.seq}] }

// got is how many manifests of a writer were read.
func (m *memory) got(writer string) int { return len(m.Seen[writer]) }

// see notes a manifest as read.
func (m *memory) see(t told) {
	if m.Seen == nil {
		m.Seen = map[string]manifests{}
	}
	if m.Seen[t.writer] == nil {
		m.Seen[t.writer] = manifests{}
	}
	m.Seen[t.writer][[2]int64{t.at, t.seq}] = true
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
