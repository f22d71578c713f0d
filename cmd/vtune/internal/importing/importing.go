// Package importing makes a run directory of a folder that was left by tuning without this program. What is measured in it is not touched,
// and every number of the run stands beside a copy of the file that it came from.
package importing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/reading"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect/answers"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/imports/folder"
	"vtune/internal/record"
	"vtune/internal/report"
)

// Request is what import was asked for.
type Request struct {
	Dir, Out string // Out is empty for the usual place: beside Dir
	Wish     folder.Wish
	// What is written into the run.
	Program, Version, User string
	Zone                   *time.Location                     // of dates that name none
	Step                   func(done, total int, what string) // told how far it has come
}

// Imported is what came of it.
type Imported struct {
	Dir      record.Dir
	State    record.State
	Notes    []string      // what was assumed
	Problems diag.Problems // files that could not be read, or not whole
	program  string
}

// Import makes the run. The directory appears whole or not at all.
func Import(ctx context.Context, r Request) (*Imported, error) {
	source, out, err := r.places()
	if err != nil {
		return nil, err
	}
	files := os.DirFS(source)
	f, problems, err := folder.Scan(ctx, files, filepath.Base(source), r.Zone, func(done, total int) { r.Step(done, total, "files read") })
	switch {
	case errors.Is(err, folder.ErrRun):
		return nil, diag.Wrap(fmt.Errorf("%s: %w", r.Dir, err), diag.Usage, fmt.Sprintf("%s status %s shows it; there is nothing to import", r.Program, r.Dir))
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, diag.Wrap(err, diag.Usage)
	}
	t, err := folder.Settle(f, r.Wish)
	problems = append(problems, asked(err)...)
	for i, p := range problems {
		if p.Pos.File != "" {
			problems[i].Pos.File = filepath.Join(r.Dir, p.Pos.File)
		}
	}
	if err != nil {
		return nil, diag.Wrap(problems, diag.Usage)
	}
	// What is being made stands where scans for runs find no run.json before it is whole.
	temp, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+".tmp-")
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage, "name a folder that can be made with -o")
	}
	defer os.RemoveAll(temp) // of which nothing is left when it has its name
	if err := os.Chmod(temp, 0o755); err != nil {
		return nil, err
	}
	w := writer{request: r, dir: record.Dir(temp), name: filepath.Base(out), source: files, tuning: t}
	if err := w.write(ctx); err != nil {
		return nil, err
	}
	st, err := r.answer(ctx, record.Dir(temp))
	if err != nil {
		return nil, err
	}
	if err := fsx.Flush(temp); err != nil {
		return nil, err
	}
	if err := os.Rename(temp, out); err != nil {
		return nil, err
	}
	return &Imported{Dir: record.Dir(out), State: st, Notes: t.Notes, Problems: problems, program: r.Program}, nil
}

// places are the folder and the run's directory to be, absolute. The run is nowhere inside the folder, which stays as it is.
func (r Request) places() (source, out string, err error) {
	if source, err = filepath.Abs(r.Dir); err != nil {
		return "", "", err
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		if err == nil {
			err = fmt.Errorf("%s is no folder", r.Dir)
		}
		return "", "", diag.Wrap(err, diag.Usage, "name the folder with the results")
	}
	out = r.Out
	if out == "" {
		out = source + "-imported"
	}
	if out, err = filepath.Abs(out); err != nil {
		return "", "", err
	}
	if rel, err := filepath.Rel(source, out); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return "", "", diag.Wrap(fmt.Errorf("%s is inside the folder that is read, which stays as it is", out), diag.Usage, "name another place with -o")
	}
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return "", "", diag.Wrap(fmt.Errorf("%s exists", out), diag.Usage, "name another folder with -o, or remove it to import again")
	}
	return source, out, nil
}

// asked is what must be known. It is told together with what could not be read, which may be its reason.
func asked(err error) (ps diag.Problems) {
	errors.As(err, &ps)
	return ps
}

// answer writes the run's answers.
func (r Request) answer(ctx context.Context, dir record.Dir) (record.State, error) {
	made, err := reading.Open(ctx, tuning.World{Program: r.Program, Err: io.Discard}, string(dir))
	if err != nil {
		return record.State{}, err
	}
	st := made.State
	if !st.Phase.Over() {
		return st, fmt.Errorf("the run that was made of it is %s, and not over", st.Phase)
	}
	return st, answers.Publish(dir, made.Run, st, func(record.State) (string, error) { return made.ServeCommand() })
}

// Explain tells a person what could not be read, what was assumed, what to beware of, and what to do next.
func (i *Imported) Explain(w io.Writer) {
	hinted := ""
	for _, p := range i.Problems {
		fmt.Fprintln(w, "warning:", report.Unbroken(p.String()))
		if p.Hint != "" && p.Hint != hinted {
			fmt.Fprintln(w, "hint:", p.Hint)
			hinted = p.Hint // once, not under each of many rows
		}
	}
	for _, n := range i.Notes {
		fmt.Fprintln(w, "note:", report.Unbroken(n))
	}
	for _, s := range i.State.Warnings {
		fmt.Fprintln(w, "warning:", report.Unbroken(s))
	}
	fmt.Fprintf(w, "next: %s status %s\n", i.program, i.Dir)
}
