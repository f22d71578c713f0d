package importing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/refusal"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/imports"
	"vtune/internal/imports/folder"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/spec"
	"vtune/internal/spec/tree"
	"vtune/jobs"
)

// writer writes one run.
type writer struct {
	request Request
	dir     record.Dir
	name    string // the directory's, when it is whole
	source  fs.FS
	tuning  folder.Tuning
	run     record.Run
}

func (w *writer) write(ctx context.Context) error {
	for _, d := range []string{w.dir.Jobs(), w.dir.Events(), w.dir.Cells()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	page := w.page()
	s, err := spec.Parse("", page)
	if err != nil {
		return unwritten(err)
	}
	if err := fsx.Draft(w.dir.Spec(), page, 0o644); err != nil {
		return err
	}
	if err := fsx.Draft(w.dir.Effective(), s.Effective(), 0o644); err != nil {
		return err
	}
	w.run = w.identity(page)
	plan := w.plan(s)
	if err := w.record(w.dir.Plan(), plan); err != nil {
		return err
	}
	first := plan.Units[0].Jobs[0] // a report looks there for server and workload
	if err := os.Mkdir(w.dir.Job(first.ID), 0o755); err != nil {
		return err
	}
	if err := w.record(w.dir.Assignment(first.ID), jobs.Assignment(s, plan, w.run.ID, first)); err != nil {
		return err
	}
	if w.tuning.Script {
		if err := w.copy("result.txt", w.kept()); err != nil {
			return err
		}
	}
	if err := w.probe(); err != nil {
		return err
	}
	for i, c := range w.tuning.Cells {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.cell(c); err != nil {
			return err
		}
		w.request.Step(i+1, len(w.tuning.Cells), "cells written")
	}
	if err := w.profile(); err != nil {
		return err
	}
	return w.record(w.dir.Run(), w.run)
}

// record needs no publication of its own: nobody sees the run before it is whole.
func (w *writer) record(path string, v any) error {
	data, err := fsx.JSON(v)
	if err != nil {
		return err
	}
	return fsx.Draft(path, data, 0o644)
}

// kept is where the script's own result.txt goes: the run has one of that name too.
func (w *writer) kept() string { return filepath.Join(string(w.dir), "imported", "result.txt") }

// identity of the run. Its id is made of what it says: the same folder, imported twice, is the same run.
func (w *writer) identity(page []byte) record.Run {
	sum := sha256.Sum256(page)
	spec := hex.EncodeToString(sum[:])
	return record.Run{
		Schema: record.Schema, ID: w.name + "-" + spec[:8], Created: w.tuning.Created.UTC(), Program: w.request.Program, Version: w.request.Version,
		SpecSHA256: spec, User: w.request.User, Host: w.tuning.Node, Scheduler: refusal.Of,
	}
}

// page is the spec that would ask for such a run. What no file tells is left to the spec's own default.
func (w *writer) page() []byte {
	t, lines := w.tuning, map[string]spec.Line{}
	say := func(path, value string) { lines[path] = spec.Line{Value: value, Comment: ""} }
	number := func(path string, n int) {
		if n > 0 {
			say(path, strconv.Itoa(n))
		}
	}
	say("model", tree.Word(t.Model))
	if t.System != "" {
		say("system", tree.Word(t.System))
	}
	number("tensor_parallel", t.TensorParallel)
	number("max_model_len", t.MaxModelLen)
	number("workload.input_len", t.Workload.InputLen)
	number("workload.output_len", t.Workload.OutputLen)
	number("workload.cache_hit_pct", t.Workload.CacheHitPct)
	if t.LimitMS > 0 {
		say("limit.p99_e2el_ms", strconv.FormatFloat(t.LimitMS, 'f', -1, 64))
	}
	seqs, tokens := askable(t.Seqs, t.Tokens)
	say("grid.max_num_seqs", list(seqs))
	say("grid.max_num_batched_tokens", list(tokens))
	say("scheduler", "local")
	say("method", spec.MethodAutoTune)
	say("seed", strconv.FormatInt(t.Seed, 10))
	return spec.Page("What an imported folder tells of its runs. Keys that are commented out show their default or an example.", lines)
}

// askable is of a grid what a spec may ask for: it wants at least as many max-num-batched-tokens as max-num-seqs in every cell, as vLLM does.
// The script has no such scruples, and a sweep need not cross its axes.
func askable(seqs, tokens []int) (s, t []int) {
	most := slices.Max(seqs)
	t = slices.DeleteFunc(slices.Clone(tokens), func(n int) bool { return n < most })
	if len(t) > 0 {
		return seqs, t
	}
	most = slices.Max(tokens)
	s = slices.DeleteFunc(slices.Clone(seqs), func(n int) bool { return n > most })
	if len(s) == 0 {
		s = []int{most}
	}
	return s, []int{most}
}

// unwritten are problems of the page without their places: it is this program's, and nobody sees it.
func unwritten(err error) error {
	var ps diag.Problems
	if !errors.As(err, &ps) {
		return err
	}
	for i := range ps {
		ps[i].Pos = diag.Pos{}
		ps[i].Hint = cmp.Or(ps[i].Hint, "if the files do not say it as it was, say it with a flag of import")
	}
	return ps
}

func list(ns []int) string {
	var words []string
	for _, n := range ns {
		words = append(words, strconv.Itoa(n))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// plan has a job for everything that was done, and counts nothing: nothing is going to be done.
func (w *writer) plan(s *spec.Spec) record.Plan {
	p := jobs.Plan(s, jobs.Options{})
	p.Policy.Method, p.Counts, p.Warnings = search.Imported, record.Counts{}, w.tuning.Warnings
	p.Cells, p.Units = nil, nil
	add := func(j record.Job) { p.Units = append(p.Units, record.Unit{ID: j.ID, Jobs: []record.Job{j}}) }
	add(jobs.Job(s, record.KindProbe, "", 1))
	for _, c := range w.tuning.Cells {
		p.Cells = append(p.Cells, c.Cell)
		add(jobs.Job(s, record.KindCell, c.ID, 1))
	}
	add(jobs.Job(s, record.KindProfile, "", 1))
	return p
}

// result is the last word of an attempt; in it stand only times that runs have.
func (w *writer) result(k record.Kind, cell string, begin, end time.Time) record.Result {
	name := string(k)
	if k == record.KindCell {
		name = cell
	}
	return record.Result{
		Schema: record.Schema, Run: w.run.ID, Job: name + "-1", Kind: k, Cell: cell, Attempt: 1, Utilization: w.tuning.Utilization,
		ServerVersion: w.tuning.Version, Node: w.tuning.Node, Started: begin.UTC(), Ended: end.UTC(), Complete: true,
	}
}

func (w *writer) attempt(at record.AttemptDir, r record.Result) error {
	a := record.Attempt{Schema: record.Schema, Job: r.Job, Node: r.Node, Started: r.Started}
	if err := os.MkdirAll(at.Observations(), 0o755); err != nil {
		return err
	}
	if err := w.record(at.Attempt(), a); err != nil {
		return err
	}
	return w.record(at.Result(), r)
}

// probe is the script's search for a memory utilization, or the record that nobody searched.
func (w *writer) probe() error {
	p, at := w.tuning.Probe, w.dir.Attempt(record.KindProbe, "", 1)
	r := w.result(record.KindProbe, "", w.tuning.Created, w.tuning.Created)
	switch {
	case p.Failed:
		r.Outcome, r.Cause, r.Message, r.Utilization = record.OutcomeFailed, p.Cause, p.Message, 0
	case w.tuning.Utilization > 0:
		r.Outcome = record.OutcomeDone
	default:
		r.Outcome, r.Message = record.OutcomeSkipped, "no file tells of a memory utilization"
	}
	for i, l := range p.Logs {
		s := record.Start{Utilization: l.Utilization, OK: !p.Failed && i == len(p.Logs)-1, LogFile: w.dir.Rel(at.ProbeLog(l.Utilization))}
		if !s.OK && l.Failure != nil {
			s.Cause, s.Message, s.Free = l.Failure.Cause, l.Failure.Message, l.Failure.Free
		}
		r.Starts = append(r.Starts, s)
		if err := w.copy(l.File, at.ProbeLog(l.Utilization)); err != nil {
			return err
		}
	}
	return w.attempt(at, r)
}

// profile says that there is none here: a trace is larger than all the rest, and no number comes from it.
func (w *writer) profile() error {
	r := w.result(record.KindProfile, "", w.tuning.Created, w.tuning.Created)
	r.Outcome, r.Message = record.OutcomeSkipped, "an import takes no trace along"
	return w.attempt(w.dir.Attempt(record.KindProfile, "", 1), r)
}

func (w *writer) cell(c folder.Cell) error {
	at := w.dir.Attempt(record.KindCell, c.ID, 1)
	begin, end := w.tuning.Created, w.tuning.Created
	for i, run := range c.Runs {
		if i == 0 || run.Started.Before(begin) {
			begin = run.Started
		}
		if i == 0 || run.Ended.After(end) {
			end = run.Ended
		}
		if err := w.observation(at, c, i+1, run); err != nil {
			return err
		}
	}
	r := w.result(record.KindCell, c.ID, begin, end)
	r.Outcome, r.Cause, r.Message, r.Observations = c.Outcome, c.Cause, c.Message, len(c.Runs)
	if c.Server != "" {
		r.Starts = []record.Start{{Utilization: w.tuning.Utilization, OK: c.Outcome == record.OutcomeDone, LogFile: w.dir.Rel(at.ServerLog())}}
		if err := w.copy(c.Server, at.ServerLog()); err != nil {
			return err
		}
	}
	return w.attempt(at, r)
}

// observation n of a cell, with the files that it came from.
func (w *writer) observation(at record.AttemptDir, c folder.Cell, n int, run folder.Run) error {
	if err := os.MkdirAll(at.Observations(), 0o755); err != nil {
		return err
	}
	o := run.Observation
	o.Schema, o.Cell, o.Attempt, o.Seq, o.Complete = record.Schema, c.ID, 1, n, true
	o.Started, o.Ended = o.Started.UTC(), o.Ended.UTC()
	switch {
	case run.Log == "result.txt":
		o.LogFile = w.dir.Rel(w.kept())
	case run.Log != "":
		path := at.BenchLog(n, o.Load.Rate)
		o.LogFile = w.dir.Rel(path)
		if err := w.copy(run.Log, path); err != nil {
			return err
		}
	}
	if run.Saved != "" {
		path := at.BenchJSON(n, o.Load.Rate)
		o.RawFile = w.dir.Rel(path)
		if err := w.saved(run, path); err != nil {
			return err
		}
	}
	return w.record(at.Observation(n), o)
}

// saved copies what the client saved of one run: its file, or its part of a file that holds several.
func (w *writer) saved(run folder.Run, path string) error {
	if !run.Several {
		return w.copy(run.Saved, path)
	}
	data, err := fs.ReadFile(w.source, run.Saved)
	if err != nil {
		return err
	}
	part := imports.Object(data, run.Object)
	if part == nil {
		return fmt.Errorf("%s changed while it was read", run.Saved)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return fsx.Draft(path, part, 0o644)
}

// copy of a file of the folder.
func (w *writer) copy(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := w.source.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
