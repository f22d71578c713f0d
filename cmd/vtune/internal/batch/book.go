package batch

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"vtune/internal/batchfile"
	"vtune/internal/diag"
	"vtune/internal/fsx"
)

// book is the user's file, in which outcomes are noted by several goroutines while its author may edit it.
type book struct {
	mu   sync.Mutex
	path string // where a link leads: a rename must not replace the link
	own  []string
	now  []batchfile.Outcome // as noted last
	file *batchfile.File
}

func openBook(name string) (*book, error) {
	path, err := filepath.EvalSymlinks(name)
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage, "a batch is a JSON list of objects, whose keys are auto_tune.sh's variables")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, diag.Wrap(err, diag.Usage)
	}
	b := &book{path: path}
	if b.file, err = batchfile.Parse(name, data); err != nil {
		return nil, err
	}
	for _, e := range b.file.Entries {
		b.own, b.now = append(b.own, e.Own()), append(b.now, e.Outcome)
	}
	return b, nil
}

// try writes the file as it is: what cannot be noted afterwards should not be begun.
func (b *book) try() error {
	if err := b.write(b.file.Bytes()); err != nil {
		return diag.Wrap(fmt.Errorf("outcomes are written into %s, and it cannot be written: %w", b.path, err), diag.Usage,
			"copy it into a folder of your own; nothing was submitted")
	}
	return nil
}

func (b *book) write(data []byte) error {
	info, err := os.Stat(b.path)
	if err != nil {
		return err
	}
	return fsx.Publish(b.path, data, info.Mode().Perm())
}

// note writes an entry's outcome into the file as it is now.
func (b *book) note(i int, o batchfile.Outcome) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	file := b.file
	if !bytes.Equal(data, file.Bytes()) {
		if file, err = batchfile.Parse(b.path, data); err != nil {
			return fmt.Errorf("the file was changed meanwhile: %w", err)
		}
	}
	at := b.find(file, i)
	if at < 0 {
		return fmt.Errorf("%s: entry %d was changed or taken out while it was tuned", b.path, i+1)
	}
	if file, err = file.With(at, o); err != nil {
		return err
	}
	if err := b.write(file.Bytes()); err != nil {
		return err
	}
	b.file, b.now[i] = file, o
	return nil
}

// find is where entry i is by now: the one that says the same and has the outcome that was noted last, its own place before others.
func (b *book) find(f *batchfile.File, i int) int {
	is := func(j int) bool {
		return j < len(f.Entries) && f.Entries[j].Own() == b.own[i] && f.Entries[j].Outcome == b.now[i]
	}
	if is(i) {
		return i
	}
	for j := range f.Entries {
		if is(j) {
			return j
		}
	}
	return -1
}
