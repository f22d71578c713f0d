package tuning

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"vtune/cmd/vtune/internal/scripts"
	"vtune/cmd/vtune/internal/secrets"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/templates"
)

// Request is what submit, render and run were asked for.
type Request struct {
	SpecFile    string
	TemplateDir string
	TemplatesOf string // those of another run, where TemplateDir is not said; empty: none
	Slots       int
	Another     bool          // a new run although an unfinished one of the same spec exists
	HandsFree   time.Duration // pause between the looks of a run that collects itself; 0: a person collects
	ChipHours   float64       // that machines which cost may spend at the worst; 0: what the spec says, or what was asked
	Yes         bool          // whatever they may spend was agreed to
}

// newRun makes the run directory of r, whole but for the jobs at the scheduler: run.json is its last file, and a directory
// without it was never submitted from.
func (w World) newRun(ctx context.Context, base string, r Request, s *spec.Spec, source []byte, plan record.Plan) (*Tuning, error) {
	if _, err := templates.Load(cmp.Or(r.TemplateDir, r.TemplatesOf)); err != nil {
		return nil, err
	}
	kept, err := secrets.Text(w.Getenv, r.SpecFile, s)
	if err != nil {
		return nil, err
	}
	t := &Tuning{world: w, Plan: plan, spec: s, written: r.SpecFile}
	if t.Dir, err = claimRun(base, w.Now().Format("2006_01_02_15_04"), t.claimer(ctx, s)); err != nil {
		return nil, err
	}
	return t, t.fill(ctx, r, source, kept)
}

// baseDir is where results go: base is relative to the spec's folder, so that a spec means the same from everywhere.
func baseDir(specFile string, s *spec.Spec) string {
	base := s.Base
	if !filepath.IsAbs(base) {
		base = filepath.Join(filepath.Dir(specFile), base)
	}
	if abs, err := filepath.Abs(base); err == nil {
		return abs
	}
	return base
}

// claimRun takes the first free directory of this minute that is not taken elsewhere. The script removes what it finds there.
func claimRun(base, tag string, taken func(name string) (bool, error)) (record.Dir, error) {
	for n := 1; ; n++ {
		name := tag
		if n > 1 {
			name = fmt.Sprintf("%s_%d", tag, n)
		}
		err := fsx.Claim(filepath.Join(base, name))
		if err == nil && taken != nil {
			var elsewhere bool
			if elsewhere, err = taken(name); elsewhere {
				err = errors.Join(fsx.ErrTaken, os.Remove(filepath.Join(base, name)))
			}
		}
		if err == nil {
			return record.Dir(filepath.Join(base, name)), nil
		}
		if !errors.Is(err, fsx.ErrTaken) {
			return "", err
		}
	}
}

// fill writes the run's directory, run.json last.
func (t *Tuning) fill(ctx context.Context, r Request, source, kept []byte) error {
	w, dir, s, plan := t.world, t.Dir, t.spec, t.Plan
	for _, d := range []string{dir.Jobs(), dir.Events(), dir.Cells(), dir.Profile(), filepath.Dir(dir.Agent())} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	sum, err := scripts.CopyAgent(dir.Agent())
	if err != nil {
		return err
	}
	id, err := runID(dir)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	specSum := sha256.Sum256(source)
	t.Run = record.Run{
		Schema: record.Schema, ID: id, Created: w.Now().UTC(), Program: w.Program, Version: w.Version,
		AgentSHA256: sum, SpecSHA256: hex.EncodeToString(specSum[:]), User: UserName(), Host: host,
		Scheduler: s.Scheduler, Slots: r.Slots, Bucket: t.Run.Bucket,
	}
	if kept != nil {
		if err := fsx.Publish(dir.Secrets(), kept, 0o600); err != nil {
			return err
		}
	}
	env, err := fsx.JSON(secrets.Without(w.Env, s))
	if err != nil {
		return err
	}
	if err := fsx.Publish(dir.Environment(), env, 0o600); err != nil {
		return err
	}
	if err := scripts.CopyTemplates(cmp.Or(r.TemplateDir, r.TemplatesOf), dir.Templates()); err != nil {
		return err
	}
	if err := fsx.Publish(dir.Spec(), source, 0o644); err != nil {
		return err
	}
	if err := fsx.Publish(dir.Effective(), s.Effective(), 0o644); err != nil {
		return err
	}
	if err := fsx.PublishJSON(dir.Plan(), plan); err != nil {
		return err
	}
	if err := t.equip(ctx); err != nil {
		return err
	}
	if err := t.scripts().Launch(); err != nil {
		return err
	}
	if err := t.scripts().Units(plan.Units); err != nil {
		return err
	}
	return fsx.PublishJSON(dir.Run(), t.Run)
}

// runID tells runs apart that were made in the same minute under different bases: job names carry it, and a scheduler knows
// nothing of directories. A script may start hundreds in one minute: with two bytes one pair of 300 would clash every other time.
func runID(dir record.Dir) (string, error) {
	salt := make([]byte, 4)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	return filepath.Base(string(dir)) + "-" + hex.EncodeToString(salt), nil
}
