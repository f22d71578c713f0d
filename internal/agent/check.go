package agent

import (
	"context"

	"vtune/internal/client"
	"vtune/internal/hardware"
	"vtune/internal/record"
)

// watch keeps the record of the node beside the attempt's own.
func (w *work) watch() *hardware.Watch {
	return &hardware.Watch{
		Path: w.dir.Health(), Job: w.a.Job, Node: w.result.Node, Mark: w.mark, Env: w.c.Env, Dir: string(w.dir),
		Say: func(err error) { w.say("health of the node: %v", err) },
	}
}

// check has the node compared with the others, by the first server of the attempt. It is no observation: without it the search goes
// on, and a server that is not well shows it again under its first load.
func (t *tuning) check(ctx context.Context) error {
	w := t.w
	if w.a.Check == nil || w.checked {
		return nil
	}
	w.checked = true
	if err := w.settle(ctx, t.srv, record.SpendCheck); err != nil {
		return err
	}
	back := w.spending(record.SpendCheck)
	c, err := t.client.Check(t.srv.Alive(), client.Target{Server: t.srv, Seed: w.a.Seed}, *w.a.Check)
	back()
	if err != nil {
		w.say("self-check: %v", err)
		return nil
	}
	w.health.Checked(c)
	w.say("self-check: %.1f ms to the first token, %.2f ms a token", c.TTFT, c.TPOT)
	return nil
}
