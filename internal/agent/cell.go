package agent

import (
	"context"
	"slices"

	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/vllm"
)

// cell goes on with a cell's rate search until it is over, in one server's life. What earlier attempts observed counts.
func (w *work) cell(ctx context.Context) error {
	known := slices.Clone(w.a.Known)
	next := search.Next(search.Question{Policy: w.a.Policy, Observed: known})
	if next.Action != search.Try {
		return verdict(next) // an earlier attempt observed everything and did not come to say so
	}
	utilization, _, err := w.utilization()
	if err != nil {
		return err
	}
	c, err := w.client()
	if err != nil {
		return err
	}
	srv, err := w.start(ctx, vllm.Serve{Server: w.a.Server, Cell: w.a.Cell, Utilization: utilization}, w.dir.ServerLog())
	if err != nil {
		return err
	}
	defer w.stop(ctx, srv)
	for next.Action == search.Try {
		if w.result.Observations > 0 {
			if w.a.StopAfterInf && !next.Load.Rate.IsInf() {
				return &ending{record.OutcomeContinue, record.CauseRateLater, "the rate search is a follow-up"}
			}
			if err := w.settle(ctx, srv, record.SpendWaiting); err != nil {
				return err
			}
		}
		o, err := w.observe(ctx, srv, c, record.Observation{Cell: w.a.Cell.ID, Load: next.Load, Seed: w.a.Seed}, w.c.Load)
		if err != nil {
			return err
		}
		known = append(known, o)
		next = search.Next(search.Question{Policy: w.a.Policy, Observed: known})
	}
	return verdict(next)
}

// verdict is what the end of a search means for an attempt. No answer within the SLO is an answer, and so is that the cell cannot
// win; no valid observation is not.
func verdict(d search.Decision) error {
	switch {
	case d.Action == search.Accept:
		return nil
	case d.Cause == record.CauseNone:
		return &ending{record.OutcomeDone, record.CauseNone, d.Reason}
	}
	return &ending{record.OutcomeFailed, d.Cause, d.Reason}
}
