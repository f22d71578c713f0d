package jobs

import (
	"fmt"
	"slices"

	"vtune/internal/record"
	"vtune/internal/spec"
)

// This file is the plan of runs whose jobs wait in one queue for machines that come and go (see record.Crew.Pool).

// Pooled reports whether a run's jobs are taken from one queue by machines of its own.
func Pooled(s *spec.Spec) bool { return s.Scheduler == "tpu" }

// Machines puts jobs out to so many machines, named from the nth on. What a machine is put out for is not what it must do: it takes what
// is next in the queue.
func Machines(n, count int, js, riders []record.Job) []record.Unit {
	if len(js) == 0 {
		return nil
	}
	var units []record.Unit
	for chunk := range slices.Chunk(js, ceil(len(js), min(max(count, 1), len(js)))) {
		units = append(units, record.Unit{
			ID: MachineID(n + len(units)), Jobs: chunk,
			Crew: &record.Crew{Slots: 1, Nodes: 1, Feed: true, Pool: true},
		})
	}
	units[0].Riders = riders
	return units
}

// MachineID is the unit of the nth machine of a run.
func MachineID(n int) string { return fmt.Sprintf("slice-%d", n) }

// MachinesFor is how many machines so many open jobs deserve: as many as cells_per_resource asks for, within what may live at once.
func MachinesFor(s *spec.Spec, open int) int {
	count := ceil(open, max(s.Site.TPU.CellsPerResource, 1))
	if most := s.Site.MaxParallel; most > 0 {
		count = min(count, most)
	}
	return count
}

// FateInPool is the fate of job j, done within the step of job of, in a pool. Own is the machine that it was put out for, claim who has
// it (nil: nobody, as far as can be seen), whole the fate of each machine.
//
// What nobody has claimed shares the fate of its own machine, though another may come to it first: so a machine that is gone is
// replaced. Before that is believed, the job has to be taken out of the queue (see GiveUp).
func FateInPool(dir record.Dir, own string, of, j record.Job, claim *record.Claim, whole map[string]Fate) Fate {
	switch {
	case claim == nil:
		return FateInCrew(dir, own, of, j, whole[own])
	case claim.Unit != "":
		return FateInCrew(dir, claim.Unit, of, j, whole[claim.Unit])
	}
	f := FateInCrew(dir, own, of, j, whole[own])
	if !f.Over { // given up although its machine lives: somebody wants it no more
		return Fate{Over: true, Cause: record.CauseStopped, Word: "CANCELLED", Reason: "taken out of the queue"}
	}
	return f
}
