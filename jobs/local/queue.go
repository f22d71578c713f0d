package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// queue is what the folder says, as of the last refresh. Facts are read once: they do not change.
type queue struct {
	dir   folder
	jobs  map[int]*job
	order []*job // by id, that is, in order of submission
}

// job is what is known of one. A pointer is nil until the fact is there.
type job struct {
	id      int
	request request
	cancel  *cancel
	start   *start
	runner  *runner
	exit    *exit
}

func newQueue(dir folder) *queue { return &queue{dir: dir, jobs: map[int]*job{}} }

// refresh costs five directory listings, however many jobs there are, and one read for each new fact.
func (q *queue) refresh() error {
	ids, err := q.dir.numbers("requests", ".json")
	if err != nil {
		return err
	}
	for _, id := range ids {
		if q.jobs[id] != nil {
			continue
		}
		j := &job{id: id}
		if err := fsx.ReadJSON(q.dir.request(id), &j.request); err != nil {
			return err
		}
		q.jobs[id] = j
		q.order = append(q.order, j)
	}
	slices.SortFunc(q.order, func(a, b *job) int { return cmp.Compare(a.id, b.id) })
	return errors.Join(
		learn(q, "cancels", folder.cancel, func(j *job) **cancel { return &j.cancel }),
		learn(q, "starts", folder.start, func(j *job) **start { return &j.start }),
		learn(q, "runners", folder.runner, func(j *job) **runner { return &j.runner }),
		learn(q, "exits", folder.exit, func(j *job) **exit { return &j.exit }),
	)
}

// learn reads the facts of one kind that are new.
func learn[T any](q *queue, dir string, path func(folder, int) string, of func(*job) **T) error {
	ids, err := q.dir.numbers(dir, ".json")
	if err != nil {
		return err
	}
	for _, id := range ids {
		j := q.jobs[id]
		if j == nil || *of(j) != nil {
			continue
		}
		var fact T
		if err := fsx.ReadJSON(path(q.dir, id), &fact); err != nil {
			return err
		}
		*of(j) = &fact
	}
	return nil
}

// add publishes a request under the first free id.
func (q *queue) add(r request) (int, error) {
	id := 1
	if n := len(q.order); n > 0 {
		id = q.order[n-1].id + 1
	}
	for ; ; id++ {
		switch err := publishOnce(q.dir.request(id), r); {
		case err == nil:
			return id, nil
		case !errors.Is(err, fs.ErrExist):
			return 0, err
		}
	}
}

func (q *queue) unfinished() bool {
	return slices.ContainsFunc(q.order, func(j *job) bool { return j.exit == nil })
}

// slots that the job takes: one even without a GPU, so that the pool is bounded.
func (j *job) slots() int { return max(1, j.request.Resources.GPUs) }

// running: it has been told to start and holds its slots.
func (j *job) running() bool { return j.start != nil && j.exit == nil }

func (j *job) status(others map[int]*job) jobs.Status {
	s := jobs.Status{Handle: jobs.Handle{ID: strconv.Itoa(j.id)}, Name: j.request.Name, Task: -1}
	if j.runner != nil {
		s.Node, s.Started = j.runner.Identity.Host, j.runner.At
	}
	switch {
	case j.exit != nil:
		s.State, s.Reason = j.exit.State, j.exit.Reason
		s.ExitCode = fmt.Sprintf("%d:%d", j.exit.Code, j.exit.Signal)
	case j.runner != nil:
		s.State = jobs.Running
	default:
		s.State, s.Reason = jobs.Pending, j.waitsFor(others)
	}
	if j.exit == nil && j.cancel != nil {
		s.Reason = "being cancelled"
	}
	s.Word = string(s.State)
	return s
}

func (j *job) waitsFor(others map[int]*job) string {
	if j.start != nil {
		return "starting"
	}
	for _, e := range j.request.After {
		if on := others[e.On]; on == nil || on.exit == nil {
			return fmt.Sprintf("waits for job %d", e.On)
		}
	}
	return fmt.Sprintf("waits for %d free slots", j.slots())
}

// fate of a dependency.
type fate int

const (
	open fate = iota // not decided yet
	satisfied
	never
)

// fate of an edge to a job that ended in the given state, "" if it has not.
func (e edge) fate(state jobs.JobState) fate {
	switch {
	case state == "":
		return open
	case e.When == record.AfterAny || state == jobs.Completed:
		return satisfied
	default:
		return never
	}
}
