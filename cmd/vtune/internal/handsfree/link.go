package handsfree

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"vtune/cmd/vtune/internal/notice"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/collect"
	"vtune/collect/chain"
	"vtune/internal/diag"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/report"
)

const (
	// patience of a link with a scheduler that is away, or takes no more jobs now. Its time limit leaves as much for the pass.
	patience = 8 * time.Minute
	// mostQuiet links in a row find nothing new before one that can do nothing is the last: most of an hour.
	mostQuiet = 12
)

// link is a link at work.
type link struct {
	chainOf
	n     int
	claim record.Attempt
}

// Link is what the job of link n does: its successors first, then a pass over the run.
func Link(ctx context.Context, t *tuning.Tuning, w tuning.World, n int, grace time.Duration) error {
	var wish record.Chain
	if err := fsx.ReadJSON(t.Dir.Chain(), &wish); err != nil {
		return fmt.Errorf("the chain of %s: %w", t.Dir, err)
	}
	l := link{chainOf: chainOf{t, w}, n: n}
	if mine, err := l.take(); err != nil || !mine {
		return err
	}
	return l.work(ctx, time.Duration(wish.Pause)*time.Second, grace)
}

func (l link) work(ctx context.Context, pause, grace time.Duration) error {
	before, _ := os.ReadFile(l.t.Dir.State()) // absent: everything is new
	snap, err := l.scan()
	if err != nil {
		return err
	}
	st := collect.Derive(snap)
	earlier := chain.Before(snap.Links, l.n)
	var broken error
	if !st.Phase.Over() {
		now, err := fsx.JSON(st)
		if err != nil {
			return err
		}
		broken = l.follow(ctx, chain.Pause(pause, earlier, !bytes.Equal(before, now)))
	}
	st, err = l.pass(ctx, grace)
	if err != nil && !passing(err) && chain.Quiet(earlier) >= mostQuiet && !l.inFlight() {
		err = fmt.Errorf("nothing is on its way, nothing has changed for %d links, and what is to be done fails: %w", mostQuiet, err)
		return errors.Join(l.ends(err), l.t.CancelJobs(ctx, []string{record.LinkID(l.n + 1), record.LinkID(l.n + 2)}))
	}
	if err == nil {
		fmt.Fprintf(l.w.Err, "link %d: %s\n", l.n, report.Progress(st))
	}
	after, _ := os.ReadFile(l.t.Dir.State())
	outcome := record.OutcomeContinue
	switch {
	case st.Phase.Over():
		outcome = record.OutcomeDone
	case bytes.Equal(before, after):
		outcome = record.OutcomeSkipped
	}
	if broken != nil && !st.Phase.Over() {
		broken = l.ends(l.follow(ctx, pause)) // the pass may have made room
	}
	return errors.Join(err, broken, l.lastWord(outcome))
}

// take is how this job takes the link's number. Where it has gone to another job, this one is a duplicate, left by an answer of the
// scheduler that was lost, and does nothing. A job that the site has put back into the queue finds itself.
func (l *link) take() (mine bool, err error) {
	id, dir := record.LinkID(l.n), l.t.Dir.Attempt(record.KindCollect, "", l.n)
	me, _ := l.w.Getenv("SLURM_JOB_ID")
	if me == "" {
		return false, diag.Errorf(diag.Usage, "a link is a job: its script starts it")
	}
	if _, err := os.Stat(l.t.Dir.Intent(id)); err != nil {
		return false, err
	}
	host, _ := os.Hostname()
	node, _ := l.w.Getenv("SLURMD_NODENAME")
	l.claim = record.Attempt{
		Schema: record.Schema, Job: id, Node: cmp.Or(node, host), PID: os.Getpid(), SchedulerID: me, Started: l.w.Now().UTC(),
	}
	var out record.Submitted
	known := fsx.ReadJSON(l.t.Dir.Submitted(id), &out) == nil
	if !known || out.ID == me {
		if err := claim(dir, l.claim); err != nil {
			return false, err
		}
	}
	var taken record.Attempt
	if err := fsx.ReadJSON(dir.Attempt(), &taken); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if taken.SchedulerID != me {
		fmt.Fprintf(l.w.Err, "link %d is job %s, and this is job %s: nothing to do\n", l.n, cmp.Or(taken.SchedulerID, out.ID), me)
		return false, nil
	}
	if known {
		return true, nil
	}
	// Who submitted this job died before it could say so.
	return true, fsx.PublishJSON(l.t.Dir.Submitted(id), record.Submitted{
		Schema: record.Schema, Name: record.JobName(l.t.Run.ID, id), ID: me, Adopted: true, At: l.w.Now(),
	})
}

// claim writes down who an attempt is, unless somebody has. By a link, which is atomic with its content: a directory that its maker did
// not live to write into would leave the number nobody's.
func claim(dir record.AttemptDir, a record.Attempt) error {
	if err := os.MkdirAll(string(dir), 0o755); err != nil {
		return err
	}
	data, err := fsx.JSON(a)
	if err != nil {
		return err
	}
	if err := fsx.PublishNew(dir.Attempt(), data, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// follow sees to it that the link has a successor, for as long as patience lasts.
func (l link) follow(ctx context.Context, pause time.Duration) error {
	until := l.w.Now().Add(patience)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		// An order to end, as of a person who cancels the run, shall not come between a job and its record.
		err := l.extend(context.WithoutCancel(ctx), l.n, pause, true)
		if err == nil || !passing(err) || l.w.Now().After(until) {
			return err
		}
		fmt.Fprintf(l.w.Err, "no successor yet: %v\n", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait): // the pace of asking, not a wait for a condition
		}
	}
}

// pass over the run, unless another process has it in its hands; then the chain only goes on.
func (l link) pass(ctx context.Context, grace time.Duration) (record.State, error) {
	lease, err := l.t.Lease(ctx, fmt.Sprintf("link %d", l.n))
	var held *fsx.HeldError
	if errors.As(err, &held) {
		fmt.Fprintf(l.w.Err, "link %d: %v\n", l.n, held)
		snap, err := l.scan()
		return collect.Derive(snap), err
	}
	if err != nil {
		return record.State{}, err
	}
	defer lease.Release()
	st, err := l.t.CollectorIn(record.LinkID(l.n), grace).Pass(ctx, true)
	if err == nil {
		notice.Send(ctx, l.w, l.t, st)
	}
	return st, err
}

func (l link) inFlight() bool {
	snap, err := l.scan()
	return err != nil || collect.InFlight(collect.Derive(snap))
}

// ends tells a person how a chain goes on that does not by itself.
func (l link) ends(err error) error {
	if err == nil {
		return nil
	}
	return diag.Wrap(fmt.Errorf("the chain ends at link %d: %w", l.n, err), diag.Scheduler,
		fmt.Sprintf("%s submit --hands-free %s starts it again", l.w.Program, l.t.Dir))
}

func (l link) lastWord(o record.Outcome) error {
	return fsx.PublishJSON(l.t.Dir.Attempt(record.KindCollect, "", l.n).Result(), record.Result{
		Schema: record.Schema, Run: l.t.Run.ID, Job: l.claim.Job, Kind: record.KindCollect, Attempt: l.n, Outcome: o,
		Node: l.claim.Node, SchedulerID: l.claim.SchedulerID, Started: l.claim.Started, Ended: l.w.Now().UTC(), Complete: true,
	})
}

// linkOut is the link that runs or comes next, with what the scheduler says of it.
func linkOut(links []chain.Link, seen []collect.Seen) (*chain.Link, collect.Seen) {
	find := func(job string) int {
		return slices.IndexFunc(seen, func(v collect.Seen) bool { return v.Job == job && !v.Over })
	}
	out := chain.Out(links, func(job string) bool { return find(job) >= 0 })
	if out == nil {
		return nil, collect.Seen{}
	}
	return out, seen[find(out.ID())]
}
