package porter

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/worker/remote"
)

// item is a file that may have to go up.
type item struct {
	path string
	kind itemKind
	over bool // nothing is written to it any more
}

type itemKind int

const (
	whole   itemKind = iota // published once, by rename
	mutable                 // published again and again, by rename
	grows                   // a log
	event                   // tiny: in the manifest alone
	claim                   // up already, by whoever claimed; a mirror learns of it by the manifest
)

// urgent reports whether an item goes up first when there is no time: what is decided by before what people read.
func (i item) urgent() int {
	switch {
	case i.kind == grows:
		return 1
	case i.kind == whole && !strings.HasSuffix(i.path, ".json"):
		return 2
	}
	return 0
}

// Cargo is what one claimed job leaves on this machine: its own attempt and those of its riders, in which agents write.
type Cargo struct {
	Job      string
	Jobs     []string // it and its riders
	Attempts []record.AttemptDir

	over bool // nothing more is written
}

// Of is the cargo of a job. Get gives its assignment and those of its riders; one that is not there (fs.ErrNotExist) leaves nothing.
func Of(dir record.Dir, job string, get func(job string) (record.Assignment, error)) (Cargo, error) {
	c := Cargo{Job: job, Jobs: []string{job}}
	for i := 0; i < len(c.Jobs); i++ {
		a, err := get(c.Jobs[i])
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return c, err
		}
		c.Attempts = append(c.Attempts, dir.Attempt(a.Kind, a.Cell.ID, a.Attempt))
		for _, r := range a.Riders {
			if i == 0 && remote.Plain(r) {
				c.Jobs = append(c.Jobs, r)
			}
		}
	}
	return c, nil
}

// files are the cargo's, in the order in which they may be seen elsewhere: whose the job is first, an attempt before what it observed, an
// observation before the result that counts it, what either of them names before it, and that the job is over last.
func (p *Porter) files(c Cargo) []item {
	items := p.present(claim, p.Dir.Claim(c.Job))
	for _, a := range c.Attempts {
		items = append(items, p.attempt(a, c.over)...)
	}
	for _, j := range c.Jobs {
		items = append(items, p.present(mutable, p.Dir.Best(j))...)
	}
	if log := p.Rel(p.Dir.JobLog(c.Job)); p.Has(log) {
		items = append(items, item{log, grows, c.over})
	}
	return append(items, p.present(mutable, p.Dir.Step(c.Job))...)
}

// attempt looks for the result first: all that it counts was published before it, and so will be found.
func (p *Porter) attempt(a record.AttemptDir, over bool) []item {
	var result record.Result
	ended := fsx.ReadJSON(a.Result(), &result) == nil && result.Complete
	observations := p.names(a.Observations())
	loads := map[string][]item{} // by observation; "" for logs that nobody has named yet, of servers or of a load under way
	for _, name := range p.names(string(a)) {
		file := p.Rel(filepath.Join(string(a), name))
		load, is := loadOf(name)
		switch {
		case strings.HasSuffix(name, ".log"):
			loads[load] = append(loads[load], item{file, grows, over})
		case is:
			loads[load] = append(loads[load], item{path: file}) // written whole, or without an end yet: then no observation is there
		}
	}
	items := append(p.present(whole, a.Attempt()), p.present(mutable, a.Health())...)
	for _, name := range observations {
		n := strings.TrimSuffix(name, ".json")
		items = append(items, loads[n]...)
		delete(loads, n)
		items = append(items, item{path: p.Rel(filepath.Join(a.Observations(), name))})
	}
	for _, n := range slices.Sorted(maps.Keys(loads)) {
		for _, i := range loads[n] {
			if i.kind == grows || ended || over {
				items = append(items, i)
			}
		}
	}
	if ended || over {
		items = append(items, p.tree(a.Trace())...)
	}
	if ended {
		for _, file := range result.Profile {
			if local := p.Local(file); filepath.IsLocal(file) && !strings.HasPrefix(local, a.Trace()) {
				items = append(items, p.tree(local)...)
			}
		}
		items = append(items, p.present(whole, a.Result())...)
	}
	return items
}

// loadOf is the number of the observation that a load client's file belongs to (see record.AttemptDir.BenchLog).
func loadOf(name string) (n string, is bool) {
	n, is = strings.CutPrefix(name, "bench-")
	if !is {
		return "", false
	}
	n, _, is = strings.Cut(n, "-")
	return n, is
}

// present is a file as an item, if it is there.
func (p *Porter) present(k itemKind, local string) []item {
	if _, err := os.Stat(local); err != nil {
		return nil
	}
	return []item{{path: p.Rel(local), kind: k}}
}

// names are the files of a folder, in order, without those that are not published yet. A folder that is not there has none.
func (p *Porter) names(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && !fsx.Temporary(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// tree is a file, or all files below a folder: traces of a TPU are in folders of their own.
func (p *Porter) tree(root string) []item {
	var items []item
	_ = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !fsx.Temporary(d.Name()) {
			items = append(items, item{path: p.Rel(file)})
		}
		return nil // what cannot be read is not there
	})
	return items
}
