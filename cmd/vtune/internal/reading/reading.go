// Package reading opens a run to be read: its records as they stand, and what they mean. Nothing here acts on a run, no scheduler is
// asked, and no lease is needed; so it reads runs of other people, imported ones, and ones whose cluster is gone.
package reading

import (
	"context"
	"fmt"
	"os"

	"vtune/cmd/vtune/internal/depot"
	"vtune/cmd/vtune/internal/scripts"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
)

// Run is a run as its records say.
type Run struct {
	Dir       record.Dir
	Run       record.Run
	Plan      record.Plan
	Spec      *spec.Spec // with every default filled in
	Effective []byte     // the same as it stands in effective.yaml
	State     record.State
}

// Open reads the run at path, a directory or a gs:// URL; what is new in a bucket is brought here first. The error is a usage error
// where there is no run.
func Open(ctx context.Context, w tuning.World, path string) (*Run, error) {
	dir, err := depot.Find(ctx, w.Getenv, w.Program, path, w.Err, w.Now, w.Progress)
	if err != nil {
		return nil, err
	}
	r := &Run{Dir: dir}
	if r.Run, err = depot.RunAt(dir, w.Program, path); err != nil {
		return nil, err
	}
	if r.Run.Bucket != "" {
		if err := r.pull(ctx, w); err != nil {
			fmt.Fprintln(w.Err, "warning: what is read is what was here before:", err)
		}
	}
	if err := fsx.ReadJSON(dir.Plan(), &r.Plan); err != nil {
		return nil, err
	}
	if r.Effective, err = os.ReadFile(dir.Effective()); err != nil {
		return nil, err
	}
	if r.Spec, err = spec.Load(dir.Effective()); err != nil {
		return nil, err
	}
	scan := collect.Scanner{Dir: dir}
	snap, err := scan.Scan()
	if err != nil {
		return nil, err
	}
	r.State = collect.Derive(snap)
	return r, nil
}

func (r *Run) pull(ctx context.Context, w tuning.World) error {
	d, err := depot.Open(ctx, w.Getenv, r.Run.Bucket, r.Dir, w.Now, w.Progress)
	if err != nil {
		return err
	}
	return d.Pull(ctx)
}

// ServeCommand is the command line that serves the winner; empty without one.
func (r *Run) ServeCommand() (string, error) {
	w := scripts.Writer{Dir: r.Dir, Run: r.Run, Plan: r.Plan, Spec: r.Spec}
	return w.ServeCommand(r.State)
}
