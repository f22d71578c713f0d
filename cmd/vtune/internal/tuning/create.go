package tuning

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/templates"
)

// Request is what submit, render and run were asked for.
type Request struct {
	SpecFile    string
	TemplateDir string
	Slots       int
	Another     bool          // a new run although an unfinished one of the same spec exists
	HandsFree   time.Duration // pause between the looks of a run that collects itself; 0: a person collects
}

// newRun makes the run directory of r, whole but for the jobs at the scheduler: run.json is its last file, and a directory
// without it was never submitted from.
func (w World) newRun(base string, r Request, s *spec.Spec, source []byte, plan record.Plan) (*Tuning, error) {
	if _, err := templates.Load(r.TemplateDir); err != nil {
		return nil, err
	}
	secrets, err := w.secrets(r.SpecFile, s)
	if err != nil {
		return nil, err
	}
	dir, err := claimRun(base, w.Now().Format("2006_01_02_15_04"))
	if err != nil {
		return nil, err
	}
	return w.fillRun(dir, r, s, source, secrets, plan)
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

// claimRun takes the first free directory of this minute. The script removes what it finds there.
func claimRun(base, tag string) (record.Dir, error) {
	for n := 1; ; n++ {
		name := tag
		if n > 1 {
			name = fmt.Sprintf("%s_%d", tag, n)
		}
		err := fsx.Claim(filepath.Join(base, name))
		if err == nil {
			return record.Dir(filepath.Join(base, name)), nil
		}
		if !errors.Is(err, fsx.ErrTaken) {
			return "", err
		}
	}
}

func (w World) fillRun(dir record.Dir, r Request, s *spec.Spec, source, secrets []byte, plan record.Plan) (*Tuning, error) {
	t := &Tuning{world: w, Dir: dir, Plan: plan, spec: s, written: r.SpecFile}
	for _, d := range []string{dir.Jobs(), dir.Events(), dir.Cells(), dir.Profile(), filepath.Dir(dir.Agent())} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	sum, err := copyAgent(dir.Agent())
	if err != nil {
		return nil, err
	}
	id, err := runID(dir)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	specSum := sha256.Sum256(source)
	t.Run = record.Run{
		Schema: record.Schema, ID: id, Created: w.Now().UTC(), Program: w.Program, Version: w.Version,
		AgentSHA256: sum, SpecSHA256: hex.EncodeToString(specSum[:]), User: UserName(), Host: host,
		Scheduler: s.Scheduler, Slots: r.Slots,
	}
	if secrets != nil {
		if err := fsx.Publish(dir.Secrets(), secrets, 0o600); err != nil {
			return nil, err
		}
	}
	env, err := fsx.JSON(withoutSecrets(w.Env, s))
	if err != nil {
		return nil, err
	}
	if err := fsx.Publish(dir.Environment(), env, 0o600); err != nil {
		return nil, err
	}
	if err := copyTemplates(r.TemplateDir, dir.Templates()); err != nil {
		return nil, err
	}
	if err := fsx.Publish(dir.Spec(), source, 0o644); err != nil {
		return nil, err
	}
	if err := fsx.Publish(dir.Effective(), s.Effective(), 0o644); err != nil {
		return nil, err
	}
	if err := fsx.PublishJSON(dir.Plan(), plan); err != nil {
		return nil, err
	}
	if err := t.equip(); err != nil {
		return nil, err
	}
	if err := t.scripts().Launch(); err != nil {
		return nil, err
	}
	for _, u := range plan.Units {
		if err := t.scripts().Unit(u, nil); err != nil {
			return nil, err
		}
	}
	return t, fsx.PublishJSON(dir.Run(), t.Run)
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

// copyAgent puts this very program into the run: what runs on a node is what was submitted, whatever is installed by then.
func copyAgent(to string) (sum string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	in, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return "", fmt.Errorf("copy the agent: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func copyTemplates(from, to string) error {
	if from == "" {
		return nil
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("copy the templates: %w", err)
	}
	return nil
}
