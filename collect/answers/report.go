package answers

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report/page"
)

// Serve says with which command line the winner is served; empty without one.
type Serve func(record.State) (string, error)

// looks is how often, at most, report.html is written for cells that were answered.
const looks = 20

// stamp says what the page must know of. A page of 10,000 cells takes a second to make and up to 10 MB to write, and to put up where the run
// is in a bucket, so one is not made at every pass: while a run goes on, with each phase and each twentieth of its cells (each cell of a small
// run), which costs the same however many cells there are; of a run that is over, whenever its state is another. What lies between
// is `vtune report`'s to show.
func stamp(st record.State, state []byte) string {
	if st.Phase.Over() {
		return fmt.Sprintf("%s %x", st.Phase, sha256.Sum256(state))
	}
	final := 0
	for _, c := range st.Cells {
		if c.Phase.Final() {
			final++
		}
	}
	return fmt.Sprintf("%s %d", st.Phase, final*looks/max(len(st.Cells), looks))
}

// reportHTML writes report.html, unless the one that is there knows enough.
func reportHTML(dir record.Dir, run record.Run, st record.State, state []byte, serve Serve) error {
	mark := stamp(st, state)
	if head, err := start(dir.Report()); err == nil && page.Stamped(head, mark) {
		return nil
	}
	data, err := Page(dir, run, st, serve)
	if err != nil {
		return err
	}
	return fsx.Publish(dir.Report(), data, 0o644)
}

func start(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, page.StampLength)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}

// Page is report.html of what the run's records say. What else is in the directory, and what is not there, as in another's mirror of a bucket, is
// left out: the page lacks a line then.
func Page(dir record.Dir, run record.Run, st record.State, serve Serve) ([]byte, error) {
	state, err := fsx.JSON(st)
	if err != nil {
		return nil, err
	}
	in := page.Input{Run: run, State: st, Stamp: stamp(st, state)}
	if in.Effective, err = os.ReadFile(dir.Effective()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if serve != nil {
		if in.Serve, err = serve(st); err != nil {
			return nil, err
		}
	}
	var plan record.Plan
	if fsx.ReadJSON(dir.Plan(), &plan) == nil && len(plan.Units) > 0 && len(plan.Units[0].Jobs) > 0 {
		var a record.Assignment
		if fsx.ReadJSON(dir.Assignment(plan.Units[0].Jobs[0].ID), &a) == nil {
			in.Server, in.Workload = a.Server, a.Workload
		}
	}
	if b := st.Best; b != nil {
		var o record.Observation
		if fsx.ReadJSON(dir.Attempt(record.KindCell, b.Cell.ID, b.Observation.Attempt).Observation(b.Observation.Seq), &o) == nil {
			in.Histograms = o.Histograms
		}
	}
	return page.HTML(in)
}
