package live

import (
	"context"
	"errors"
	"io"
	"time"

	"vtune/cmd/vtune/internal/caller"
	"vtune/collect"
	"vtune/collect/doorbell"
	"vtune/internal/diag"
	"vtune/internal/record"
)

// Look is where a run stands, as somebody has just seen it who does not decide on it.
type Look struct {
	State  record.State
	Seen   map[string]collect.Seen // what the scheduler says of each job
	Text   string                  // the same for the answer's stream
	Remark string                  // for the conversation
}

// Onlook shows look after look until the run is over or a person has seen enough: in a view, or else as text whenever that is another.
// What was seen last stays on out.
func Onlook(ctx context.Context, c Config, every time.Duration, out io.Writer, look func(context.Context) (Look, error)) error {
	if !c.Possible() {
		return repeat(ctx, every, nil, look, func(l, before Look) error { return l.Print(out, c.Talk, before) })
	}
	ctx, view := Open(ctx, c)
	defer view.Close()
	events := doorbell.Reader{Dir: c.Dir.Events()}
	var last Look
	err := repeat(ctx, every, view.refresh, look, func(l, before Look) error {
		for _, e := range events.Fresh() {
			view.Event(e)
		}
		view.see(l.State, l.Seen)
		last = l
		_, err := io.WriteString(c.Talk, l.Remark)
		return err
	})
	view.Close()
	if errors.Is(context.Cause(ctx), ErrQuit) {
		err = nil
	}
	return errors.Join(last.Print(out, io.Discard, Look{}), err)
}

// Print says what is another than before.
func (l Look) Print(out, talk io.Writer, before Look) error {
	if l.Text != before.Text {
		if _, err := io.WriteString(out, l.Text); err != nil {
			return err
		}
	}
	if l.Remark != before.Remark {
		io.WriteString(talk, l.Remark)
	}
	return nil
}

func repeat(ctx context.Context, every time.Duration, now <-chan struct{}, look func(context.Context) (Look, error), show func(l, before Look) error) error {
	for before := (Look{}); ; {
		l, err := look(ctx)
		if ctx.Err() != nil {
			return caller.Exit(diag.Interrupted)
		}
		if err == nil {
			err = show(l, before)
		}
		if err != nil || l.State.Phase.Over() {
			return err
		}
		before = l
		select {
		case <-ctx.Done():
			return caller.Exit(diag.Interrupted)
		case <-now:
		case <-time.After(every): // the pace of a display, not a wait for a condition
		}
	}
}
