package checkup

import (
	"context"
	"os"
	"path/filepath"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/doctor"
	"vtune/internal/exam"
	"vtune/jobs"
	"vtune/jobs/local"
	"vtune/jobs/slurm"
)

// Look gathers what can be seen from here. The facts have their scheduler and spec already.
func Look(ctx context.Context, w tuning.World, f *doctor.Facts, r Request, assumed float64) error {
	caps := jobs.Capabilities{Dependencies: true}
	if f.Scheduler == "slurm" {
		if f.Missing = slurm.Missing(); len(f.Missing) == 0 {
			caps = askSlurm(ctx, w, f)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	} else if f.Spec != nil && jobs.Pooled(f.Spec) {
		var err error
		if f.Cloud, err = askGoogle(ctx, w, f.Spec); err != nil {
			return err
		}
		caps = tuning.Offline(f.Spec)
	} else if f.Slots = r.Slots; f.Slots <= 0 {
		f.Slots = local.DetectSlots()
	}
	if f.Spec == nil {
		return nil
	}
	if f.Scheduler == "slurm" && f.Cluster == nil {
		caps = tuning.Offline(f.Spec)
	}
	f.Plan = tuning.PlanFor(f.Spec, caps, assumed)
	folder, err := tuning.Base(w, r.SpecFile, f.Spec)
	if err != nil {
		return err
	}
	base, err := exam.StatDisk(filepath.Dir(folder))
	if err != nil {
		f.BaseProblem = err.Error()
	} else {
		f.Base = &base
	}
	if err := w.CheckSecrets(r.SpecFile, f.Spec); err != nil {
		f.Secrets.What = oneLine(err)
		for _, h := range diag.HintsOf(err) {
			f.Secrets.Remedy = h
		}
	}
	if image := f.Spec.Site.Container.Image; f.Spec.Site.Container.Runtime != "none" && filepath.IsAbs(image) {
		if _, err := os.Stat(image); err != nil {
			f.Image = err.Error()
		}
	}
	return nil
}

// askSlurm describes the cluster; what does not answer is a fact like others.
func askSlurm(ctx context.Context, w tuning.World, f *doctor.Facts) jobs.Capabilities {
	config := slurm.Config{Env: w.Env}
	if f.Spec != nil {
		config.Account, config.Partition, config.QOS = f.Spec.Site.Account, f.Spec.Site.Partition, f.Spec.Site.QOS
	}
	s := slurm.New(config)
	began := w.Now()
	caps, err := s.Capabilities(ctx)
	f.AnswerSeconds = w.Now().Sub(began).Seconds()
	if err == nil {
		var c slurm.Cluster
		if c, err = s.Describe(ctx); err == nil {
			f.Cluster = &c
			return caps
		}
	}
	f.Unreachable = oneLine(err)
	return jobs.Capabilities{}
}

// Describe asks the Slurm of this machine what it is.
func Describe(ctx context.Context, w tuning.World) (slurm.Cluster, error) {
	return slurm.New(slurm.Config{Env: w.Env}).Describe(ctx)
}
