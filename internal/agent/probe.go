package agent

import (
	"context"

	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/vllm"
)

// probe looks for the highest gpu-memory-utilization at which a server starts. To have started is all that is asked, so each
// server is stopped again at once.
func (w *work) probe(ctx context.Context) error {
	for {
		d := search.NextProbe(w.result.Starts)
		switch d.Action {
		case search.Accept:
			w.result.Utilization = d.Utilization
			w.say("gpu-memory-utilization %.2f", d.Utilization)
			return nil
		case search.GiveUp:
			return &ending{record.OutcomeFailed, d.Cause, d.Reason}
		}
		serve := vllm.Serve{Server: w.a.Server, Cell: w.a.Cell, Utilization: d.Utilization}
		srv, err := w.startOnce(ctx, serve, w.dir.ProbeLog(d.Utilization))
		switch f := asFailure(err); {
		case f != nil:
			w.say("gpu-memory-utilization %.2f: %s: %s", d.Utilization, f.Cause, f.Message)
		case err != nil:
			return err
		default:
			w.result.ServerVersion = srv.version
			srv.stop(ctx)
		}
	}
}
