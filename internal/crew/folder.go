package crew

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// folder is a crew's part of the run directory.
type folder struct {
	dir  record.Dir
	unit string
	now  func() time.Time
}

// begin claims the crew's work for this process: a site that runs the script a second time runs it for nothing.
func (f folder) begin() error { return fsx.Claim(f.dir.CrewBegun(f.unit)) }

// queued are the jobs that were put in for this crew, in order. What cannot be read yet is read the next time.
func (f folder) queued() []record.Job {
	entries, err := os.ReadDir(f.dir.Queue(f.unit))
	if err != nil {
		return nil
	}
	var js []record.Job
	for _, e := range entries {
		var j record.Job
		if !fsx.Temporary(e.Name()) && fsx.ReadJSON(filepath.Join(f.dir.Queue(f.unit), e.Name()), &j) == nil && j.ID != "" {
			js = append(js, j)
		}
	}
	return js
}

func (f folder) unwanted(job string) bool {
	_, err := os.Stat(f.dir.Unwanted(job))
	return err == nil
}

func (f folder) runCancelled() bool {
	_, err := os.Stat(f.dir.Cancelled())
	return err == nil
}

// runOver reports whether a collector found that nothing is left to do.
func (f folder) runOver() bool {
	var st record.State
	return fsx.ReadJSON(f.dir.State(), &st) == nil && st.Phase.Over()
}

// met reports whether a job did what it was for. A probe did if any attempt of it did: one that was lost is made again.
func (f folder) met(j record.Job) bool {
	attempts := []int{j.Attempt}
	if j.Kind == record.KindProbe {
		entries, err := os.ReadDir(f.dir.Work(j.Kind, j.Cell))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		attempts = nil
		for i := range entries {
			attempts = append(attempts, i+1)
		}
	}
	for _, n := range attempts {
		var r record.Result
		if fsx.ReadJSON(f.dir.Attempt(j.Kind, j.Cell, n).Result(), &r) == nil && r.Complete && r.Outcome == record.OutcomeDone {
			return true
		}
	}
	return false
}

func (f folder) publishStep(s record.Step) error {
	s.Schema, s.Crew = record.Schema, f.unit
	return fsx.PublishJSON(f.dir.Step(s.Job), s)
}

func (f folder) publishAboard(r *Roster, closed bool) error {
	return fsx.PublishJSON(f.dir.Aboard(f.unit), record.Aboard{
		Schema: record.Schema, Jobs: r.Aboard(), Waiting: len(r.Waiting()), Closed: closed,
	})
}
