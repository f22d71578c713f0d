package doorbell

import (
	"os"
	"path/filepath"
	"slices"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Reader finds the events of Dir that are new since it last looked.
type Reader struct {
	Dir  string
	seen map[string]bool
}

// Fresh are those events, oldest first.
func (r *Reader) Fresh() []record.Event {
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return nil
	}
	var fresh []record.Event
	for _, e := range entries {
		if r.seen[e.Name()] || fsx.Temporary(e.Name()) {
			continue
		}
		var ev record.Event
		if fsx.ReadJSON(filepath.Join(r.Dir, e.Name()), &ev) == nil {
			r.seen[e.Name()] = true
			fresh = append(fresh, ev)
		}
	}
	slices.SortStableFunc(fresh, func(a, b record.Event) int { return a.At.Compare(b.At) })
	return fresh
}
