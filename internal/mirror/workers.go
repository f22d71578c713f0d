package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"vtune/internal/bucket"
	"vtune/internal/fsx"
	"vtune/internal/mirror/memory"
	"vtune/internal/mirror/names"
	"vtune/internal/record"
)

// WorkerSeen is a worker's sign of life as of the last pull.
type WorkerSeen struct {
	record.Worker
	Generation int64     // of its object
	Since      time.Time // when this generation was seen first, by our own clock; zero until it was seen again
}

// Workers are those that ever gave a sign of life, by unit.
func (m *Mirror) Workers() []WorkerSeen {
	m.load()
	var seen []WorkerSeen
	for _, s := range m.mem.Signs {
		w := WorkerSeen{Worker: s.Worker, Generation: s.Generation}
		if s.Again {
			w.Since = s.First
		}
		seen = append(seen, w)
	}
	slices.SortFunc(seen, func(a, b WorkerSeen) int { return strings.Compare(a.Unit, b.Unit) })
	return seen
}

func (m *Mirror) listSigns(ctx context.Context) (signs []bucket.Object, err error) {
	err = m.c.Store.List(ctx, m.object("workers/"), "", func(o bucket.Object) error {
		if name := m.relative(o.Name); !names.Proper(name) || path.Dir(name) != "workers" || path.Ext(name) != ".json" {
			m.refuse("%q is no worker's name", o.Name)
			return nil
		}
		signs = append(signs, o)
		return nil
	})
	return signs, err
}

// sight takes signs of life in, and reports whether they say anything new.
func (m *Mirror) sight(ctx context.Context, signs []bucket.Object) (changed bool, err error) {
	now := map[string]memory.Sign{}
	for _, o := range signs {
		unit := names.Unit(o.Name)
		s, fresh, moved := m.mem.Sight(unit, o.Generation, m.c.Now())
		if fresh {
			if s.Worker, err = m.worker(ctx, unit, o); err != nil {
				return false, err
			}
		}
		now[unit], changed = s, changed || moved
	}
	changed = changed || len(now) != len(m.mem.Signs)
	m.mem.Signs = now
	return changed, nil
}

// worker is what an object says of a worker: by its metadata, and only where that is missing by its content.
func (m *Mirror) worker(ctx context.Context, unit string, o bucket.Object) (record.Worker, error) {
	w, ok := names.Described(unit, o.Metadata)
	if ok {
		return w, nil
	}
	data, _, err := m.c.Store.Get(ctx, o.Name)
	if err != nil && !absent(err) {
		return w, err
	}
	if err := json.Unmarshal(data, &w); err != nil {
		m.refuse("%q: %v", o.Name, err)
	}
	w.Unit = unit
	return w, nil
}

// Bury writes that a worker is dead, on condition that it has not beaten since the last pull. False: it has, or its object is gone; it
// lives, for all that is known. A worker that was buried and does live finds its next beat refused, and stops.
func (m *Mirror) Bury(ctx context.Context, unit string) (bool, error) {
	m.load()
	s, known := m.mem.Signs[unit]
	switch {
	case m.c.ReadOnly:
		return false, ErrReadOnly
	case !known:
		return false, fmt.Errorf("bury %s: it has given no sign of life", unit)
	case s.Worker.Phase == record.WorkerDead:
		return true, nil
	}
	w := s.Worker
	w.Phase, w.Reason = record.WorkerDead, "no sign of life for long, says "+m.c.Writer
	data, err := fsx.JSON(w)
	if err != nil {
		return false, err
	}
	o, err := m.c.Store.Put(ctx, m.object("workers/"+unit+".json"), data, s.Generation, names.Describe(w))
	if errors.Is(err, fs.ErrExist) || absent(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("bury %s: %w", unit, err)
	}
	m.mem.Signs[unit] = memory.Sign{Generation: o.Generation, First: m.c.Now(), Worker: w}
	return true, m.keep()
}

// GiveUp takes a job out of the queue by claiming it for nobody, and returns the claim that stands: this one, or that of the machine
// that was there first.
func (m *Mirror) GiveUp(ctx context.Context, job string) (record.Claim, error) {
	name := "claims/" + job + ".json"
	claim := record.Claim{Schema: record.Schema, Job: job, At: m.c.Now().UTC()}
	if m.c.ReadOnly {
		return claim, ErrReadOnly
	}
	if !names.Proper(name) || path.Dir(name) != "claims" {
		return claim, fmt.Errorf("give up %q: no job's name", job)
	}
	m.load()
	if err := m.open(); err != nil {
		return claim, err
	}
	defer m.close()
	data, err := fsx.JSON(claim)
	if err != nil {
		return claim, err
	}
	_, err = m.c.Store.Put(ctx, m.object(name), data, 0, nil)
	ours := err == nil
	if errors.Is(err, fs.ErrExist) {
		if data, _, err = m.c.Store.Get(ctx, m.object(name)); err == nil {
			err = json.Unmarshal(data, &claim)
		}
	}
	if err != nil {
		return claim, fmt.Errorf("give up %s: %w", job, err)
	}
	w := &want{name: name, rule: names.Of(name), data: data, have: true, size: int64(len(data)), sum: sum(data)}
	if err := m.settle(ctx, w, true); err != nil {
		return claim, err
	}
	if ours {
		m.mem.Announce = append(m.mem.Announce, name)
		return claim, m.keep()
	}
	return claim, nil
}
