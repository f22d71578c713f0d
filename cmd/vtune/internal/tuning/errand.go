package tuning

import (
	"context"
	"os"
	"path/filepath"

	"vtune/cmd/vtune/internal/depot"
	"vtune/cmd/vtune/internal/scripts"
	"vtune/cmd/vtune/internal/secrets"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/internal/spec/word"
	"vtune/jobs"
)

// This file is what a job that belongs to no run (the check-up's) has in common with those of runs.

// Base is the folder that runs of a spec are made in. It need not be there yet.
func Base(w World, specFile string, s *spec.Spec) (string, error) {
	if word.InBucket(s.Base) {
		return depot.HomeOf(w.Getenv, s)
	}
	return filepath.Join(baseDir(specFile, s), "auto-benchmark"), nil
}

// Scheduler is the one that a spec names, for jobs in dir. It may keep the environment that it is given: secrets are not in it.
func (w World) Scheduler(ctx context.Context, dir record.Dir, s *spec.Spec, slots int) (jobs.Scheduler, error) {
	if jobs.Pooled(s) {
		return depot.Machines(ctx, w.Getenv, s, dir, w.Now)
	}
	return newScheduler(secrets.Without(w.Env, s), dir, record.Run{Scheduler: s.Scheduler, Slots: slots}, s.Site)
}

// CheckSecrets reports what is wrong with the secrets that a spec names.
func (w World) CheckSecrets(specFile string, s *spec.Spec) error {
	_, err := secrets.Text(w.Getenv, specFile, s)
	return err
}

// Outfit puts into dir what a job's script needs beside itself: the agent, and the secrets, if there are any.
func (w World) Outfit(dir record.Dir, specFile string, s *spec.Spec) (private bool, err error) {
	text, err := secrets.Text(w.Getenv, specFile, s)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(dir.Agent()), 0o755); err != nil {
		return false, err
	}
	if _, err := scripts.CopyAgent(dir.Agent()); err != nil {
		return false, err
	}
	if text == nil {
		return false, nil
	}
	return true, fsx.Publish(dir.Secrets(), text, 0o600)
}

// Slots of the local scheduler for a spec: those asked for, or else this machine's.
func Slots(s *spec.Spec, asked int) int {
	if asked > 0 {
		return asked
	}
	return localSlots(s)
}
