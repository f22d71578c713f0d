package tuning

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
	"vtune/jobs/local"
	"vtune/templates"
)

// Prepare makes the run that path (a spec, or a run directory) asks for, or opens the one to go on with. Nothing is submitted.
func Prepare(ctx context.Context, w World, path string, r Request) (*Tuning, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return Open(w, path)
	}
	r.SpecFile = path
	s, err := LoadSpec(w, path)
	if err != nil {
		return nil, err
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !r.Another {
		if dir, ok := unfinished(baseDir(path, s), source); ok {
			fmt.Fprintf(w.Err, "going on with %s, which is not over (--new starts another)\n", dir)
			return Open(w, dir)
		}
	}
	if r.Slots <= 0 {
		r.Slots = localSlots(s)
	}
	caps, err := capabilities(ctx, w, s, r)
	if err != nil {
		return nil, err
	}
	return w.newRun(r, s, source, PlanFor(s, caps, 0))
}

// LoadSpec is spec.Load with the hint that a file which is not there can be made.
func LoadSpec(w World, path string) (*spec.Spec, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, diag.Wrap(err, diag.Usage, "make one with: "+w.Program+" init -o "+path)
	}
	return spec.Load(path)
}

// PlanFor is the plan of s for what its scheduler can take.
func PlanFor(s *spec.Spec, caps jobs.Capabilities, assumedThroughput float64) record.Plan {
	return jobs.Plan(s, jobs.Options{MaxArray: caps.MaxArray, AssumedThroughput: assumedThroughput})
}

// Offline is what plan and render assume of a scheduler that they do not ask: Slurm's own default of MaxArraySize, 1001.
func Offline(s *spec.Spec) jobs.Capabilities {
	if s.Scheduler == "slurm" {
		return jobs.Capabilities{Dependencies: true, MaxArray: 1001}
	}
	return jobs.Capabilities{Dependencies: true}
}

// localSlots are the GPUs of this machine, fewer if the spec wants fewer cells at once.
func localSlots(s *spec.Spec) int {
	n := local.DetectSlots()
	if s.Site.MaxParallel > 0 {
		n = min(n, s.Site.MaxParallel*s.TensorParallel)
	}
	return max(n, s.TensorParallel)
}

func capabilities(ctx context.Context, w World, s *spec.Spec, r Request) (jobs.Capabilities, error) {
	sched, err := newScheduler(w, "", record.Run{Scheduler: s.Scheduler, Slots: r.Slots})
	if err != nil {
		return jobs.Capabilities{}, err
	}
	caps, err := sched.Capabilities(ctx)
	if err != nil {
		err = diag.Wrap(err, diag.Scheduler, "nothing was submitted or written")
	}
	return caps, err
}

// unfinished finds the newest run of the same spec that is neither over nor cancelled: typing submit twice must not cost twice.
func unfinished(base string, source []byte) (string, bool) {
	sum := sha256.Sum256(source)
	dirs, _ := filepath.Glob(filepath.Join(base, "auto-benchmark", "*"))
	for i := len(dirs) - 1; i >= 0; i-- {
		dir := record.Dir(dirs[i])
		var run record.Run
		if fsx.ReadJSON(dir.Run(), &run) != nil || run.SpecSHA256 != hex.EncodeToString(sum[:]) {
			continue
		}
		var st record.State
		_, cancelled := os.Stat(dir.Cancelled())
		if cancelled != nil && (fsx.ReadJSON(dir.State(), &st) != nil || !st.Phase.Over()) {
			return dirs[i], true
		}
	}
	return "", false
}

// Render writes every script and assignment of a run under dir and submits nothing.
func Render(w World, r Request, dir string) error {
	s, err := LoadSpec(w, r.SpecFile)
	if err != nil {
		return err
	}
	set, err := templates.Load(r.TemplateDir)
	if err != nil {
		return err
	}
	t := &Tuning{
		world: w, Dir: record.Dir(dir), spec: s, Plan: PlanFor(s, Offline(s), 0), templates: set,
		Run: record.Run{ID: filepath.Base(dir), Scheduler: s.Scheduler, Program: w.Program},
	}
	if err := os.MkdirAll(t.Dir.Jobs(), 0o755); err != nil {
		return err
	}
	if err := fsx.PublishJSON(t.Dir.Plan(), t.Plan); err != nil {
		return err
	}
	if err := fsx.Publish(t.Dir.Effective(), s.Effective(), 0o644); err != nil {
		return err
	}
	for _, u := range t.Plan.Units {
		if err := t.writeUnit(u, nil); err != nil {
			return err
		}
	}
	return nil
}
