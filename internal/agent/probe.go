package agent

import (
	"context"

	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/serving"
	"vtune/internal/vllm"
)

// probe looks for the highest gpu-memory-utilization at which a server starts. To have started is all that is asked, so each
// server is stopped again at once, unless others' work goes on on it.
func (w *work) probe(ctx context.Context) error {
	serve := vllm.Serve{Server: w.a.Server, Cell: w.a.Cell}
	if w.a.Policy.Method == search.Vtune {
		if _, err := w.vocabulary(); err != nil { // every cell would end for it
			return err
		}
		if steps, traces := w.tracesHere(); traces {
			profiler, err := w.profiler("", steps)
			if err != nil {
				return err
			}
			serve.Profiler = profiler
		}
	}
	var starts []record.Start // without those that a flag spoilt which can be done without
	for {
		d := search.NextProbe(w.a.Policy, starts)
		switch d.Action {
		case search.Accept:
			w.result.Utilization = d.Utilization
			w.say("gpu-memory-utilization %.2f", d.Utilization)
			return nil
		case search.GiveUp:
			return &ending{record.OutcomeFailed, d.Cause, d.Reason}
		}
		serve.Utilization = d.Utilization
		srv, err := w.startLean(ctx, serve, w.dir.ProbeLog(d.Utilization))
		switch f := serving.AsFailure(err); {
		case f != nil:
			w.say("gpu-memory-utilization %.2f: %s: %s", d.Utilization, f.Cause, f.Message)
		case err != nil:
			return err
		case len(w.a.Riders) > 0:
			w.warm = srv
		default:
			w.stop(ctx, srv)
		}
		starts = append(starts, w.result.Starts[len(w.result.Starts)-1])
	}
}
