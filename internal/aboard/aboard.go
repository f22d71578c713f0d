// Package aboard is what a job can know of the others: what their cells hold; and of those that its crew runs beside it, how many share
// its node, and whether it is the last one there. The crew tells which jobs it runs (record.Aboard), the jobs' own claims tell where.
package aboard

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// Variables by which a crew tells a job's processes whose job they are.
const (
	CrewVariable = "VTUNE_CREW"     // the crew's unit
	JobVariable  = "VTUNE_CREW_JOB" // the job; riders on its server bear other names
)

// Job is one job among those of its crew. The zero value is a job of no crew, which has no neighbours.
type Job struct {
	dir             record.Dir
	crew, job, node string
}

// Of reads from a job's environment who it is; node is where it runs.
func Of(env []string, dir record.Dir, node string) Job {
	j := Job{dir: dir, node: node}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case CrewVariable:
			j.crew = value
		case JobVariable:
			j.job = value
		}
	}
	return j
}

// Neighbours are the other jobs under way on the node, servers that are starting included. What cannot be read counts for nothing:
// the number is a note beside a measurement and no part of it.
func (j Job) Neighbours() int { return len(j.others()) }

func (j Job) others() []string {
	if j.crew == "" {
		return nil
	}
	var a record.Aboard
	if fsx.ReadJSON(j.dir.Aboard(j.crew), &a) != nil {
		return nil
	}
	return j.onNode(a)
}

func (j Job) onNode(a record.Aboard) []string {
	var others []string
	for _, o := range a.Jobs {
		var claim record.Attempt
		path := j.dir.Attempt(o.Kind, o.Cell, o.Attempt).Attempt()
		if o.ID != j.job && fsx.ReadJSON(path, &claim) == nil && claim.Node == j.node {
			others = append(others, o.ID)
		}
	}
	return others
}

// pause between two looks at who is still there.
const pause = 500 * time.Millisecond

// Through says that the job's own measuring is over.
func (j Job) Through() error {
	if j.crew == "" {
		return nil
	}
	return os.MkdirAll(filepath.Join(j.dir.Through(j.crew), j.job), 0o755)
}

// Alone reports whether the node is now the job's own, which is through: no job waits, and all others are through too. Of several
// that end together one is chosen, by a claim; it waits up to patience for the others to be gone.
func (j Job) Alone(ctx context.Context, patience time.Duration) (bool, error) {
	if j.crew == "" {
		return false, nil
	}
	var a record.Aboard
	if err := fsx.ReadJSON(j.dir.Aboard(j.crew), &a); err != nil || a.Waiting > 0 {
		return false, err
	}
	measuring := func(job string) bool {
		_, err := os.Stat(filepath.Join(j.dir.Through(j.crew), job))
		return err != nil
	}
	if slices.ContainsFunc(j.onNode(a), measuring) {
		return false, nil
	}
	if err := fsx.Claim(j.dir.QuietNode(j.crew, j.node)); errors.Is(err, fsx.ErrTaken) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for j.Neighbours() > 0 {
		select {
		case <-ctx.Done():
			return false, nil
		case <-time.After(pause):
		}
	}
	return true, nil
}

// Rivals are what other cells are known to hold, as their agents have told.
func Rivals(dir record.Dir, cell string) []record.Feasible {
	told, err := fsx.Below(dir.Bests(), "*.json")
	if err != nil {
		return nil
	}
	var rivals []record.Feasible
	for _, path := range told {
		var f record.Feasible
		// What cannot be read is not there yet.
		if fsx.ReadJSON(path, &f) == nil && f.Cell != cell {
			rivals = append(rivals, f)
		}
	}
	return rivals
}
