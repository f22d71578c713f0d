package crew

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// folder is a crew's part of the run directory.
type folder struct {
	dir   record.Dir
	unit  string
	queue string          // whose queue it takes jobs from
	read  map[string]bool // entries of it that are known: they do not change, and there may be ten thousand
}

func newFolder(c Config) folder {
	f := folder{c.Dir, c.Order.Unit.ID, c.Order.Unit.ID, map[string]bool{}}
	if c.Pool != nil {
		f.queue = record.Pool
	}
	return f
}

// begin claims the crew's work for this process: a site that runs the script a second time runs it for nothing.
func (f folder) begin() error { return fsx.Claim(f.dir.CrewBegun(f.unit)) }

// queued are the jobs that were put into the queue since the last time, in order. What cannot be read yet is read the next time.
func (f folder) queued() []record.Job {
	entries, err := os.ReadDir(f.dir.Queue(f.queue))
	if err != nil {
		return nil
	}
	var js []record.Job
	for _, e := range entries {
		var j record.Job
		if f.read[e.Name()] || fsx.Temporary(e.Name()) {
			continue
		}
		if fsx.ReadJSON(filepath.Join(f.dir.Queue(f.queue), e.Name()), &j) == nil && j.ID != "" {
			f.read[e.Name()] = true
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
		for _, e := range entries { // of a pool's machine, only those that it was told of
			if n, err := strconv.Atoi(e.Name()); err == nil {
				attempts = append(attempts, n)
			}
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

// metElsewhere reports whether what a job of another crew was for has come. What jobs need of others is the probe (see jobs.Plan).
func (f folder) metElsewhere(e record.Edge) bool {
	return e.When != record.AfterOK || f.met(record.Job{Kind: record.KindProbe})
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
