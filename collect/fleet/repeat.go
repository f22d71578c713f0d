package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// A cell is measured again because the spec has what was measured on an outlier repeated, or because a person asks for it. Both
// leave the same record, and the state follows from that alone: which node is an outlier may look otherwise tomorrow, and what was
// decided once must stay decided.

// Read are the wishes of a run, by name. One that cannot be read is not there yet.
func Read(dir record.Dir) Repeats {
	entries, err := os.ReadDir(dir.Repeats())
	if err != nil {
		return nil
	}
	var all Repeats
	for _, e := range entries {
		var r record.Repeat
		if !fsx.Temporary(e.Name()) && fsx.ReadJSON(filepath.Join(dir.Repeats(), e.Name()), &r) == nil && r.From > 0 {
			all = append(all, r)
		}
	}
	return all
}

// Repeats are what is asked for.
type Repeats []record.Repeat

// From is the first attempt of a cell's latest repetition; 0: it is not repeated.
func (all Repeats) From(cell string) int {
	from := 0
	for _, r := range all {
		if r.Cell == cell {
			from = max(from, r.From)
		}
	}
	return from
}

// Supersedes reports whether a job's observations of a cell do not count once a later attempt has made its own: an earlier attempt
// of the cell itself, or of the one whose server stood for it. A cell that is repeated itself gets a server of its own.
func (all Repeats) Supersedes(cell string, j record.Job) bool {
	if of := all.From(cell); of > 0 && (j.Cell != cell || j.Attempt < of) {
		return true
	}
	return j.Attempt < all.From(j.Cell)
}

// Outliers are what the spec wants measured again and is not yet asked for: when everything is known that the first
// measurements can tell, cells that rest on what was measured on an outlier, each once. Pure.
func Outliers(st record.State, jobs []Job, before Repeats) []record.Repeat {
	if st.Phase != record.PhaseProfiling && st.Phase != record.PhaseOver {
		return nil
	}
	c := compare(jobs)
	bad := c.bad()
	if 2*len(bad) > len(c.nodes) {
		return nil // what most of them are is how the run's nodes are, and elsewhere is no better
	}
	var all []record.Repeat
	made := Made(jobs)
	for _, cell := range st.Cells {
		for _, j := range made.Of(cell) {
			target := targetOf(jobs, cell, j)
			asked := before.From(cell.ID) > 0 || before.From(target) > 0 || slices.ContainsFunc(all, func(r record.Repeat) bool { return r.Cell == target })
			if cell.Phase != record.WorkDone || asked || !c.marked(j) {
				continue
			}
			all = append(all, record.Repeat{
				Schema: record.Schema, Cell: target, From: next(jobs, target), Avoid: bad, By: "collect", Reason: c.reason(j),
			})
		}
	}
	return all
}

// targetOf is the cell to repeat so that another one is measured again: the one whose server stood for it, if that one's own answer
// rests on the same server; then one job repeats the whole column.
func targetOf(jobs []Job, c record.CellState, j Job) string {
	if j.Cell != c.ID && !slices.ContainsFunc(jobs, func(of Job) bool {
		return of.Kind == record.KindCell && of.Cell == j.Cell && len(of.Emulates) == 0
	}) {
		return j.Cell
	}
	return c.ID
}

// next is the number of a cell's next attempt.
func next(jobs []Job, cell string) int {
	n := 1
	for _, j := range jobs {
		if j.Kind == record.KindCell && j.Cell == cell {
			n = max(n, j.Attempt+1)
		}
	}
	return n
}

// bad are the nodes that a repetition stays away from.
func (c comparison) bad() (nodes []string) {
	for name, n := range c.nodes {
		if n.Slow > 0 || len(n.Throttled) > 0 {
			nodes = append(nodes, name)
		}
	}
	slices.Sort(nodes)
	return nodes
}

func (c comparison) reason(j Job) string {
	if n := c.nodes[nodeOf(j)]; n.Slow > 0 {
		return fmt.Sprintf("%s is %.0f %% slower than the run's other nodes", n.Node, 100*n.Slow)
	}
	return fmt.Sprintf("%s had %s", nodeOf(j), strings.Join(throttled(j), ", "))
}

// Ask notes that a cell is to be measured again; fs.ErrExist: that is asked for already.
func Ask(dir record.Dir, r record.Repeat) error {
	if err := os.MkdirAll(dir.Repeats(), 0o755); err != nil {
		return err
	}
	data, err := fsx.JSON(r)
	if err != nil {
		return err
	}
	return fsx.PublishNew(dir.Repeat(r.Cell, r.From), data, 0o644)
}

// Wish is what a person wants measured again: cells by name, or all that rest on what was measured on an outlier.
type Wish struct {
	Cells    []string
	Outliers bool
	Avoid    []string // nodes, beside the outliers
	By       string
}

// Wished are the records of a wish. Pure. An error says which cell cannot be measured again, and why.
func Wished(st record.State, jobs []Job, w Wish) ([]record.Repeat, error) {
	c, made := compare(jobs), Made(jobs)
	avoid := append(c.bad(), w.Avoid...)
	slices.Sort(avoid)
	avoid = slices.Compact(avoid)
	var all []record.Repeat
	add := func(cell, reason string) {
		if !slices.ContainsFunc(all, func(r record.Repeat) bool { return r.Cell == cell }) {
			all = append(all, record.Repeat{Schema: record.Schema, Cell: cell, From: next(jobs, cell), Avoid: avoid, By: w.By, Reason: reason})
		}
	}
	for _, name := range w.Cells {
		i := slices.IndexFunc(st.Cells, func(c record.CellState) bool { return c.ID == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("the run has no cell %s", name)
		case !st.Cells[i].Phase.Final():
			return nil, fmt.Errorf("%s is %s: only what is final can be measured again", name, st.Cells[i].Phase)
		}
		add(name, "asked for")
	}
	for _, cell := range st.Cells {
		for _, j := range made.Of(cell) {
			if w.Outliers && cell.Phase.Final() && c.marked(j) {
				add(targetOf(jobs, cell, j), c.reason(j))
			}
		}
	}
	return all, nil
}
