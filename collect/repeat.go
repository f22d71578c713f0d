package collect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
)

// A cell is measured again because the spec has what was measured on an outlier repeated, or because a person asks for it. Both
// leave the same record, and the state follows from that alone: which node is an outlier may look otherwise tomorrow, and what was
// decided once must stay decided.

// readRepeats are the wishes of a run, by name. One that cannot be read is not there yet.
func readRepeats(dir record.Dir) []record.Repeat {
	entries, err := os.ReadDir(dir.Repeats())
	if err != nil {
		return nil
	}
	var all []record.Repeat
	for _, e := range entries {
		var r record.Repeat
		if !fsx.Temporary(e.Name()) && fsx.ReadJSON(filepath.Join(dir.Repeats(), e.Name()), &r) == nil && r.From > 0 {
			all = append(all, r)
		}
	}
	return all
}

// from is the first attempt of a cell's latest repetition; 0: it is not repeated.
func (s Snapshot) from(cell string) int {
	from := 0
	for _, r := range s.Repeats {
		if r.Cell == cell {
			from = max(from, r.From)
		}
	}
	return from
}

// superseded reports whether a job's observations of a cell do not count once a later attempt has made its own: an earlier attempt
// of the cell itself, or of the one whose server stood for it. A cell that is repeated itself gets a server of its own.
func (s Snapshot) superseded(cell string, j JobRecord) bool {
	if of := s.from(cell); of > 0 && (j.Cell != cell || j.Job.Attempt < of) {
		return true
	}
	return j.Job.Attempt < s.from(j.Cell)
}

// stand is a cell's standing by the attempts that count. As long as a repetition has shown nothing, what was known before stands,
// but is not final.
func stand(s Snapshot, c record.Cell, byWork map[string][]JobRecord) standing {
	all := newStanding(c, byWork)
	if len(s.Repeats) == 0 {
		return all
	}
	old := func(j JobRecord) bool { return s.superseded(c.ID, j) }
	split := func(jobs []JobRecord) (before, now []JobRecord) {
		now = slices.DeleteFunc(slices.Clone(jobs), old)
		return slices.DeleteFunc(slices.Clone(jobs), func(j JobRecord) bool { return !old(j) }), now
	}
	ownBefore, own := split(all.own)
	columnsBefore, columns := split(all.columns)
	if len(ownBefore)+len(columnsBefore) == 0 && s.from(c.ID) == 0 {
		return all
	}
	again := newStanding(c, map[string][]JobRecord{workOf(record.KindCell, c.ID): own, columnOf(c.ID): columns})
	if len(again.real)+len(again.emulated) > 0 {
		again.before = ownBefore
		return again
	}
	if s.Cancelled {
		return all
	}
	jobs := own
	if len(jobs) == 0 {
		jobs = columns
	}
	switch native := nativeOf(columnsBefore); {
	case len(jobs) > 0:
		all.open = !work(jobs).Phase.Final()
	case s.from(c.ID) > 0:
		all.open, all.due, all.alone = true, true, true
	case len(all.own) == 0: // its column's turn, unless that went on without it
		all.due = !slices.ContainsFunc(byWork[workOf(record.KindCell, native)], func(j JobRecord) bool { return j.Job.Attempt >= s.from(native) })
		all.open = all.due
	}
	return all
}

func nativeOf(columns []JobRecord) string {
	if len(columns) == 0 {
		return ""
	}
	return columns[len(columns)-1].Cell
}

// known are the observations that a follow-up goes on from.
func (st *standing) known() []record.Observation {
	if st.open {
		return nil
	}
	return slices.Clone(st.real)
}

// repetitions are what the spec wants measured again and is not yet asked for: when everything is known that the first
// measurements can tell, cells that rest on what was measured on an outlier, each once. Pure.
func repetitions(s Snapshot, st record.State) []record.Repeat {
	if !s.Plan.RepeatOutliers || s.Cancelled || st.Phase != record.PhaseProfiling && st.Phase != record.PhaseOver {
		return nil
	}
	c := compare(s)
	bad := c.bad()
	if 2*len(bad) > len(c.nodes) {
		return nil // what most of them are is how the run's nodes are, and elsewhere is no better
	}
	var all []record.Repeat
	made := makers(s)
	for _, cell := range st.Cells {
		for _, j := range made.of(cell) {
			target := targetOf(s, cell, j)
			asked := s.from(cell.ID) > 0 || s.from(target) > 0 || slices.ContainsFunc(all, func(r record.Repeat) bool { return r.Cell == target })
			if cell.Phase != record.WorkDone || asked || !c.marked(j) {
				continue
			}
			all = append(all, record.Repeat{
				Schema: record.Schema, Cell: target, From: s.next(target), Avoid: bad, By: "collect", Reason: c.reason(j),
			})
		}
	}
	return all
}

// targetOf is the cell to repeat so that another one is measured again: the one whose server stood for it, if that one's own answer
// rests on the same server; then one job repeats the whole column.
func targetOf(s Snapshot, c record.CellState, j JobRecord) string {
	if j.Cell != c.ID && !slices.ContainsFunc(s.Jobs, func(of JobRecord) bool {
		return of.Kind == record.KindCell && of.Cell == j.Cell && len(of.Emulates) == 0
	}) {
		return j.Cell
	}
	return c.ID
}

// next is the number of a cell's next attempt.
func (s Snapshot) next(cell string) int {
	n := 1
	for _, j := range s.Jobs {
		if j.Kind == record.KindCell && j.Cell == cell {
			n = max(n, j.Job.Attempt+1)
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

func (c comparison) reason(j JobRecord) string {
	if n := c.nodes[nodeOf(j)]; n.Slow > 0 {
		return fmt.Sprintf("%s is %.0f %% slower than the run's other nodes", n.Node, 100*n.Slow)
	}
	return fmt.Sprintf("%s had %s", nodeOf(j), strings.Join(throttled(j), ", "))
}

// ask notes what is to be measured again. What somebody else has asked for meanwhile is asked for once.
func (c *Collector) ask(all []record.Repeat) error {
	for _, r := range all {
		r.At = c.cfg.Now()
		if err := Ask(c.cfg.Dir, r); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
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

// Repetitions are the records of a wish. Pure. An error says which cell cannot be measured again, and why.
func Repetitions(s Snapshot, st record.State, w Wish) ([]record.Repeat, error) {
	if st.Policy.Method != search.Vtune {
		return nil, fmt.Errorf("method %s measures no cell twice", st.Policy.Method)
	}
	c, made := compare(s), makers(s)
	avoid := append(c.bad(), w.Avoid...)
	slices.Sort(avoid)
	avoid = slices.Compact(avoid)
	var all []record.Repeat
	add := func(cell, reason string) {
		if !slices.ContainsFunc(all, func(r record.Repeat) bool { return r.Cell == cell }) {
			all = append(all, record.Repeat{Schema: record.Schema, Cell: cell, From: s.next(cell), Avoid: avoid, By: w.By, Reason: reason})
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
		for _, j := range made.of(cell) {
			if w.Outliers && cell.Phase.Final() && c.marked(j) {
				add(targetOf(s, cell, j), c.reason(j))
			}
		}
	}
	return all, nil
}
