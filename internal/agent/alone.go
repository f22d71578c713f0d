package agent

import (
	"context"

	"vtune/internal/record"
)

// alone repeats the cell's run at an infinite rate when the other cells of its crew are through, so that what they cost each other
// is known. It is a comparison and no answer: its loss costs nothing else, and the server's failure in it is the cell's no more.
func (t *tuning) alone(ctx context.Context) {
	if err := t.w.beside.Through(); err != nil {
		t.w.say("tell the crew: %v", err)
	}
	for _, o := range t.known[member{t.w.a.Cell.ID, false}] {
		if !o.Load.Rate.IsInf() || o.Neighbours == 0 || o.Attempt != t.w.a.Attempt || o.Verdict == record.Invalid || t.srv == nil {
			continue
		}
		quiet, err := t.w.beside.Alone(ctx, t.w.c.Grace)
		if err != nil {
			t.w.say("alone on the node: %v", err)
		}
		if !quiet || t.w.settle(ctx, t.srv, record.SpendDraining) != nil {
			return
		}
		again := record.Observation{Cell: o.Cell, Load: o.Load, Seed: o.Seed, Alone: true}
		if _, err := t.w.observe(ctx, t.srv, t.client, again, t.w.c.Load); err != nil {
			t.w.say("alone on the node: %v", err)
		}
		return
	}
}
