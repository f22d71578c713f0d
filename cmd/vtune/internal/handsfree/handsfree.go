// Package handsfree lets a run collect itself: it puts a chain of links out, and is what each of them does.
//
// Link n is a job of one CPU. There are two more in the queue while it runs: its successor, which waits for its end, and a spare behind
// that one. So the chain outlives a link at any moment of its life, also one that could never begin because its node was bad: with
// a successor that each link puts out for itself, that would have been the end. A number is taken by one job alone (its
// attempt.json), a job puts out only the numbers after its own, and what is out is told by the records; so there are never two
// chains.
package handsfree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"vtune/cmd/vtune/internal/scripts"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/collect/chain"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// Start makes the run collect itself, with pauses between its looks, and returns the number of the link that is out; 0: the run is
// over. A chain that is broken is put together again; one that is not gets the new pause. The caller holds the lease.
func Start(ctx context.Context, t *tuning.Tuning, w tuning.World, pause time.Duration) (link int, err error) {
	wish := record.Chain{Schema: record.Schema, Pause: int(pause.Seconds()), By: tuning.UserName(), At: w.Now().UTC()}
	if err := fsx.PublishJSON(t.Dir.Chain(), wish); err != nil {
		return 0, err
	}
	c := chainOf{t, w}
	err = t.Patiently(ctx, func() error {
		snap, err := c.scan()
		if err != nil || collect.Derive(snap).Phase.Over() {
			return err
		}
		seen, err := t.Seen(ctx)
		if err != nil {
			return err
		}
		if out, _ := linkOut(snap.Links, seen); out != nil {
			link = out.Number
			return nil
		}
		link = chain.First(snap.Links)
		return c.extend(ctx, link-1, pause, false)
	})
	return link, err
}

// Withdraw takes a chain back of whose run no job is out, and with it the wish for one.
func Withdraw(ctx context.Context, t *tuning.Tuning) error {
	snap, err := chainOf{t: t}.scan()
	if err != nil || collect.InFlight(collect.Derive(snap)) {
		return err
	}
	var ids []string
	for _, l := range snap.Links {
		ids = append(ids, l.ID())
	}
	return errors.Join(t.CancelJobs(ctx, ids), os.Remove(t.Dir.Chain()))
}

// chainOf is the chain of an open run.
type chainOf struct {
	t *tuning.Tuning
	w tuning.World
}

func (c chainOf) scan() (collect.Snapshot, error) {
	scan := collect.Scanner{Dir: c.t.Dir}
	return scan.Scan()
}

// extend puts out the two links after n that are not out yet. A link that lives is waited for. Only the first of the two is owed:
// it will see to the other one.
func (c chainOf) extend(ctx context.Context, n int, pause time.Duration, lives bool) error {
	next, err := c.unit(n+1, pause, lives)
	if err != nil {
		return err
	}
	spare, err := c.unit(n+2, 2*pause, true)
	if err != nil {
		return err
	}
	rep, err := c.t.PutOut(ctx, []record.Unit{next, spare})
	if err = cmp.Or(err, rep.Why); err == nil {
		return nil
	}
	if _, missing := os.Stat(c.t.Dir.Submitted(next.ID)); missing == nil {
		fmt.Fprintf(c.w.Err, "no spare link yet: %v\n", err)
		return nil
	}
	return err
}

// unit is link n of the chain, with its script. One that was intended before stays what it was.
func (c chainOf) unit(n int, delay time.Duration, follows bool) (record.Unit, error) {
	id := record.LinkID(n)
	var in record.Intent
	switch err := fsx.ReadJSON(c.t.Dir.Intent(id), &in); {
	case err == nil:
		return in.Unit, nil
	case !errors.Is(err, fs.ErrNotExist):
		return record.Unit{}, err
	}
	j := scripts.LinkJob(n)
	if follows {
		j.Needs = []record.Edge{{Job: record.LinkID(n - 1), When: record.AfterAny}}
	}
	return record.Unit{ID: id, Jobs: []record.Job{j}, Delay: int(delay.Seconds())}, c.t.WriteLink(j)
}

// passing reports whether an error is one that time mends.
func passing(err error) bool {
	return errors.Is(err, jobs.ErrUnavailable) || errors.Is(err, jobs.ErrBackpressure) || errors.Is(err, jobs.ErrAmbiguous)
}
