package refusal

import (
	"context"
	"fmt"

	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/jobs"
)

// Of is the scheduler of a run that was imported: there is none, and never was.
const Of = "imported"

// Imported is why nobody can act on an imported run; nil for any other.
func Imported(run record.Run, dir record.Dir, program string) error {
	if run.Scheduler != Of {
		return nil
	}
	return diag.Wrap(fmt.Errorf("run %s was imported: it has no jobs to submit, collect, repeat or cancel, and no site to verify it on", dir), diag.Usage,
		fmt.Sprintf("%s status %s shows it; to measure, submit a spec: %s has what was known of it", program, dir, dir.Spec()))
}

// Scheduler is for runs whose scheduler none of the adapters is: of an imported one, it knows no job and takes none.
func Scheduler(run record.Run) (jobs.Scheduler, error) {
	if run.Scheduler == Of {
		return nobody{}, nil
	}
	return nil, fmt.Errorf("run %s: unknown scheduler %q", run.ID, run.Scheduler)
}

// nobody is asked to look only: whoever would act is refused before.
type nobody struct{}

func (nobody) Capabilities(context.Context) (jobs.Capabilities, error) {
	return jobs.Capabilities{}, jobs.ErrRefused
}

func (nobody) Submit(context.Context, jobs.Request) (jobs.Handle, error) {
	return jobs.Handle{}, jobs.ErrRefused
}
func (nobody) List(context.Context, string) ([]jobs.Status, error) { return nil, nil }
func (nobody) Cancel(context.Context, []jobs.Handle) error         { return jobs.ErrRefused }
