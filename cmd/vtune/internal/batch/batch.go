// Package batch works off a file of runs as batch_auto_tune.sh does: each entry becomes a spec and a run, and what came of it is
// written back into the file. It may be killed anywhere: the file and the runs' own records say where to go on.
package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"vtune/internal/batchfile"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/internal/spec/autotune"
)

// Run is one entry's run, in the hands of those who do the same for single runs.
type Run interface {
	Name() string  // of its directory
	Place() string // where people find it
	Dir() record.Dir
	PutOut(context.Context) error                // what is not at the scheduler yet
	Watch(context.Context) (record.State, error) // until it is over
}

// Config of a batch.
type Config struct {
	File   string
	Common *autotune.Common // a spec that holds where entries say nothing; nil: none
	Retry  bool             // entries that failed, too
	GCS    string           // gs://BUCKET/PATH that the folders of runs go to; empty: nowhere

	Prepare func(ctx context.Context, specFile string, say io.Writer) (Run, error) // makes a run, or finds the unfinished one of the same spec
	Open    func(ctx context.Context, place string, say io.Writer) (Run, error)
	Upload  func(ctx context.Context, r Run, to string) (url string, err error)
	Hold    func(ctx context.Context, lock string) (Lease, error)
	Say     io.Writer // the conversation
	Again   string    // the command that goes on, for hints
}

// Lease keeps a second batch from the same file.
type Lease interface{ Release() error }

// Batch is a batch whose file was read: Items are its entries in their order.
type Batch struct {
	Items []Item
	c     Config
	book  *book
}

// Item is an entry and what is to be done with it.
type Item struct {
	Entry    int // counting from 1
	Action   Action
	Spec     *spec.Spec // nil where an entry that is done with says what is no spec
	YAML     []byte
	Warnings []string

	outcome batchfile.Outcome // as it stands in the file
}

// Action is what is to be done with an entry.
type Action string

const (
	Submit Action = "submit"
	GoOn   Action = "go on"
	Upload Action = "upload"
	Skip   Action = "skip"
)

// Read reads the file and makes a spec of each entry. The error is all problems of all entries; nothing is written.
func Read(c Config) (*Batch, error) {
	book, err := openBook(c.File)
	if err != nil {
		return nil, err
	}
	b := &Batch{c: c, book: book}
	folder, err := filepath.Abs(filepath.Dir(book.path))
	if err != nil {
		return nil, err
	}
	var ps diag.Problems
	alike := map[string]int{}
	for i, e := range book.file.Entries {
		it := Item{Entry: i + 1, outcome: e.Outcome, Action: c.action(e.Outcome)}
		problems, err := b.read(&it, e, folder)
		if err != nil {
			return nil, err
		}
		if it.Action != Skip { // what is done with may say what it likes
			ps = append(ps, problems...)
		}
		// Two entries may say the same, to measure twice; a run is found again by its spec's bytes, so the second's must be its own.
		text := string(it.YAML)
		if alike[text]++; alike[text] > 1 {
			it.YAML = fmt.Appendf(it.YAML, "# number %d of its like\n", alike[text])
		}
		b.Items = append(b.Items, it)
	}
	return b, distinct(ps).Err()
}

// action by what stands in the file. An entry that vtune has begun has a run and no status.
func (c Config) action(o batchfile.Outcome) Action {
	switch {
	case o.Status == batchfile.Success && c.GCS != "" && o.GCS == "":
		return Upload
	case o.Status == batchfile.Success, o.Status != "" && !c.Retry:
		return Skip
	case o.Status == "" && o.RunID != "":
		return GoOn
	}
	return Submit
}

func (b *Batch) read(it *Item, e batchfile.Entry, folder string) (diag.Problems, error) {
	set, warnings, ps := settings(e)
	it.Warnings = warnings
	if (it.Action == GoOn || it.Action == Upload) && !plainName(e.Outcome.RunID) {
		ps = append(ps, diag.Problem{Pos: e.Pos, Path: batchfile.RunID, What: fmt.Sprintf("%q is no run's name", e.Outcome.RunID), Hint: "take it out to start another run"})
	}
	if len(ps) > 0 {
		return ps, nil
	}
	imp, err := autotune.FromSettings(folder, set, b.c.Common)
	if errors.As(err, &ps) {
		return ps, nil
	}
	if err != nil {
		return nil, err
	}
	it.Warnings = append(it.Warnings, imp.Notes...)
	it.YAML = append([]byte("# Made of an entry of "+quoted(b.c.File)+", which is what to edit.\n"), imp.YAML...)
	var sites spec.Sites
	if b.c.Common != nil {
		sites = b.c.Common.Sites
	}
	it.Spec, err = spec.ParseWith(b.c.File, it.YAML, sites)
	return nil, err
}

// plainName keeps what somebody wrote into the file from leading elsewhere.
func plainName(s string) bool { return filepath.IsLocal(s) && !strings.ContainsAny(s, "/\\") }

// quoted is a file's name as a comment may have it.
func quoted(name string) string { return fmt.Sprintf("%q", filepath.Base(name)) }

// distinct leaves out what is told more than once, as a problem of the common spec is for each entry.
func distinct(ps diag.Problems) (out diag.Problems) {
	seen := map[diag.Problem]bool{}
	for _, p := range ps {
		if !seen[p] {
			out = append(out, p)
		}
		seen[p] = true
	}
	out.Sort()
	return out
}

// place of the run of that name.
func (it Item) place(run string) string {
	return strings.TrimSuffix(it.Spec.Base, "/") + "/auto-benchmark/" + run
}

// Folder is where a batch keeps what it makes of its file: the entries' specs, and its lock.
func (b *Batch) Folder() string { return b.book.path + ".d" }

// Do works the batch off, and says how each entry came out. An error is about the batch as a whole; what went wrong with one entry is
// in its line, and the others go on.
func (b *Batch) Do(ctx context.Context) ([]Line, error) {
	lines := make([]Line, len(b.Items))
	for i, it := range b.Items {
		lines[i] = Line{Entry: it.Entry, Outcome: it.outcome, Code: codeOf(it.outcome), Skipped: it.Action == Skip}
	}
	if err := os.MkdirAll(b.Folder(), 0o755); err != nil {
		return nil, diag.Wrap(err, diag.Usage, "copy the file into a folder of your own; nothing was submitted")
	}
	lease, err := b.c.Hold(ctx, filepath.Join(b.Folder(), "batch.lock"))
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	if err := b.book.try(); err != nil {
		return nil, err
	}
	say := &lineWriter{out: b.c.Say}
	var watching sync.WaitGroup
	for i, it := range b.Items {
		if it.Action == Skip || ctx.Err() != nil {
			continue
		}
		w := work{Batch: b, i: i, it: it, say: say.entry(it.Entry), line: &lines[i]}
		r, err := w.begin(ctx)
		w.failed(err)
		if err != nil {
			if diag.CodeOf(err) == diag.Scheduler {
				break // nor will it answer for the others; what is at work is watched
			}
			continue
		}
		// The local scheduler is this machine's: two runs at once would measure each other.
		if it.Spec.Scheduler == "local" {
			w.failed(w.finish(ctx, r))
			continue
		}
		watching.Add(1)
		go func() {
			defer watching.Done()
			w.failed(w.finish(ctx, r))
		}()
	}
	watching.Wait()
	if ctx.Err() != nil {
		return lines, diag.Wrap(errors.New("interrupted"), diag.Interrupted, "the jobs go on; "+b.c.Again+" goes on with the batch")
	}
	return lines, nil
}

// work is an entry in the making.
type work struct {
	*Batch
	i    int
	it   Item
	say  io.Writer
	line *Line
}

// failed tells what went wrong with the entry now: a batch may last for days.
func (w work) failed(err error) {
	if err == nil {
		return
	}
	w.line.Code, w.line.Error = diag.CodeOf(err), strings.ReplaceAll(err.Error(), "\n", "; ")
	if w.line.Code == diag.Interrupted {
		return // told once for all
	}
	fmt.Fprintf(w.say, "error: %s\n", w.line.Error)
	for _, h := range diag.HintsOf(err) {
		fmt.Fprintf(w.say, "hint: %s\n", h)
	}
}

// begin makes or finds the entry's run, notes it, and puts it out. The note comes before the first job: whoever finds the entry with a
// run goes on with that, and one that was made and not noted is found by its spec.
func (w work) begin(ctx context.Context) (Run, error) {
	for _, warning := range w.it.Warnings {
		fmt.Fprintln(w.say, "note:", warning)
	}
	if w.it.Action == GoOn || w.it.Action == Upload {
		r, err := w.c.Open(ctx, w.it.place(w.it.outcome.RunID), w.say)
		if diag.CodeOf(err) == diag.Usage { // there is no such run
			return nil, diag.Wrap(err, diag.Usage, fmt.Sprintf("entry %d has a run_id that leads nowhere: take it out to start another run", w.it.Entry))
		}
		if err != nil {
			return nil, err
		}
		w.line.Place = r.Place()
		if w.it.Action == Upload {
			return r, nil
		}
		if written, err := os.ReadFile(r.Dir().Spec()); err == nil && !bytes.Equal(written, w.it.YAML) {
			fmt.Fprintln(w.say, "note: the entry, or the common spec, says something else than when its run began; take out run_id to start another")
		}
		return r, r.PutOut(ctx)
	}
	file := filepath.Join(w.Folder(), fmt.Sprintf("%02d.yaml", w.it.Entry))
	if err := fsx.Publish(file, w.it.YAML, 0o644); err != nil {
		return nil, err
	}
	r, err := w.c.Prepare(ctx, file, w.say)
	if err != nil {
		return nil, err
	}
	fsx.Point("batch.prepared", file)
	if err := w.note(batchfile.Outcome{RunID: r.Name()}); err != nil {
		return nil, err
	}
	fsx.Point("batch.noted", file)
	w.line.Place = r.Place()
	fmt.Fprintln(w.say, "run:", r.Place())
	return r, r.PutOut(ctx)
}

func (w work) note(o batchfile.Outcome) error {
	w.line.Outcome, w.line.Code = o, codeOf(o)
	return w.book.note(w.i, o)
}

// finish sees the run through, and notes what came of it: first the answer, and where it was put when it is there whole.
func (w work) finish(ctx context.Context, r Run) error {
	o := w.it.outcome
	if w.it.Action != Upload {
		st, err := r.Watch(ctx)
		if err != nil {
			return err
		}
		o = outcome(r, st)
		if err := w.note(o); err != nil {
			return err
		}
		w.line.Code = code(st)
		w.line.Winner = winner(st)
		fmt.Fprintln(w.say, "status:", o.Status)
	}
	url, err := w.upload(ctx, r)
	if err != nil || url == "" {
		return err
	}
	c := w.line.Code
	o.GCS = url
	err = w.note(o)
	w.line.Code = c
	return err
}

// upload is nothing to do for a run that lives in a bucket.
func (w work) upload(ctx context.Context, r Run) (string, error) {
	if strings.HasPrefix(r.Place(), "gs://") {
		return r.Place(), nil
	}
	if w.c.GCS == "" {
		return "", nil
	}
	return w.c.Upload(ctx, r, w.c.GCS)
}
