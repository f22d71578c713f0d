package tuning

import (
	"cmp"
	"path/filepath"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// outUnit is a unit that the scheduler has acknowledged.
type outUnit struct {
	record.Unit
	at   jobs.Handle
	name string // that of the allocation
	crew string // the unit whose crew does its work, in the allocation of that name; empty: its own
}

// recorded are the units that were acknowledged. An allocation is known by id and name: a controller that lost its last seconds gives
// the same ids again.
func (t *Tuning) recorded() ([]outUnit, error) {
	intents, err := fsx.Below(t.Dir.Jobs(), "*/intent.json")
	if err != nil {
		return nil, err
	}
	var units []outUnit
	for _, path := range intents {
		var in record.Intent
		var out record.Submitted
		id := filepath.Base(filepath.Dir(path))
		if fsx.ReadJSON(path, &in) == nil && fsx.ReadJSON(t.Dir.Submitted(id), &out) == nil {
			name := record.JobName(t.Run.ID, cmp.Or(out.Crew, id))
			units = append(units, outUnit{in.Unit, jobs.Handle{ID: out.ID, Cluster: out.Cluster}, name, out.Crew})
		}
	}
	return units, nil
}
