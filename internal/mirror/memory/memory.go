// Package memory is what a mirror remembers of a bucket between its looks: a cache, in mirror.json.
package memory

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// Memory is what a mirror knows of the bucket: mirror.json. All of it can be found out again by a listing. Files of the workers that
// are written once are not in it: they say for themselves what they are.
type Memory struct {
	Schema int                  `json:"schema"`
	Prefix string               `json:"prefix"`
	Whole  bool                 `json:"whole"`             // a pull of the whole run came to its end
	Newest int64                `json:"newest"`            // manifest seen, in ms of the bucket's time
	Seen   map[string]Manifests `json:"seen,omitempty"`    // manifests, by writer
	Looked map[string]int       `json:"looked,omitempty"`  // by writer: how many manifests it claimed when all were looked through for them
	Signs  map[string]Sign      `json:"workers,omitempty"` // by unit
	Host   string               `json:"host,omitempty"`    // whose clock Signs go by
	Files  map[string]Entry     `json:"files,omitempty"`
	// Announce are files that are up, and that no manifest is known to name.
	Announce  []string `json:"announce,omitempty"`
	Withdrawn bool     `json:"withdrawn,omitempty"` // the secrets were taken back for good
}

// Entry is what is known of a file that this side writes, or that changes.
type Entry struct {
	Size       int64  `json:"s"`
	MTime      int64  `json:"t"` // of the file here when it was as the bucket's, in ns
	CRC32C     uint32 `json:"c"`
	Generation int64  `json:"g,omitempty"` // 0: not known
	Writer     string `json:"w,omitempty"` // whose manifest told of it last, as number Seq
	Seq        int    `json:"n,omitempty"`
}

// Sign is a worker's sign of life, as a listing tells it.
type Sign struct {
	Generation int64         `json:"generation"`
	First      time.Time     `json:"first"` // seen, by our own clock
	Again      bool          `json:"again"` // and seen since
	Worker     record.Worker `json:"worker"`
}

// Manifests is a set of one writer's, each by its time in ms and its number: a machine that lost its disk counts from 1 again, so a
// number alone is no name. Written down, each is the difference to the one before, since there are as many as observations.
type Manifests map[[2]int64]bool

func (s Manifests) MarshalJSON() ([]byte, error) {
	sorted := slices.SortedFunc(maps.Keys(s), func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	flat, last := make([]int64, 0, 2*len(s)), [2]int64{}
	for _, k := range sorted {
		flat = append(flat, k[0]-last[0], k[1]-last[1])
		last = k
	}
	return json.Marshal(flat)
}

func (s *Manifests) UnmarshalJSON(data []byte) error {
	var flat []int64
	if err := json.Unmarshal(data, &flat); err != nil {
		return err
	}
	*s = Manifests{}
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

// Has reports whether a manifest was read.
func (m *Memory) Has(t names.Manifest) bool { return m.Seen[t.Writer][[2]int64{t.At, t.Seq}] }

// Got is how many manifests of a writer were read.
func (m *Memory) Got(writer string) int { return len(m.Seen[writer]) }

// See notes a manifest as read, which the bucket says was made at a time; zero: it does not say.
func (m *Memory) See(t names.Manifest, made time.Time) {
	if m.Seen == nil {
		m.Seen = map[string]Manifests{}
	}
	if m.Seen[t.Writer] == nil {
		m.Seen[t.Writer] = Manifests{}
	}
	m.Seen[t.Writer][[2]int64{t.At, t.Seq}] = true
	// A name from the future must not make the mirror blind for what comes; the bucket itself says when an object was made.
	at := t.At
	if !made.IsZero() {
		at = min(at, made.UnixMilli())
	}
	m.Newest = max(m.Newest, at)
}

// Sight is a sign of life as it is seen now, by our own clock: fresh where its object was not seen before, changed where that is to be
// remembered.
func (m *Memory) Sight(unit string, generation int64, now time.Time) (s Sign, fresh, changed bool) {
	s, known := m.Signs[unit]
	if !known || s.Generation != generation {
		return Sign{Generation: generation, First: now}, true, true
	}
	changed = !s.Again
	s.Again = true
	if now.Before(s.First) { // the clock was set back
		s.First, changed = now, true
	}
	return s, false, changed
}

// Load reads what is remembered of the run at prefix. A file that is absent, torn or of another run is no memory.
func Load(path, prefix string) *Memory {
	var m Memory
	if fsx.ReadJSON(path, &m) != nil || m.Schema != record.Schema || m.Prefix != prefix {
		m = Memory{Schema: record.Schema, Prefix: prefix}
	}
	if host, _ := os.Hostname(); m.Host != host {
		m.Host, m.Signs = host, nil // seen by another clock
	}
	if m.Files == nil {
		m.Files = map[string]Entry{}
	}
	return &m
}

// Keep publishes it. What it says is here must be on the disk by then.
func (m *Memory) Keep(path string) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	fsx.Point("mirror.keep", path)
	return fsx.Publish(path, data, 0o644)
}
