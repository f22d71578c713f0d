package agent

import (
	"context"
	"fmt"
	"os"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// riders are the assignments of the jobs whose work goes on on this one's server. One that cannot be read is told, and left to
// the collector, which finds that its carrier ended without it.
func (w *work) riders() []record.Assignment {
	var riders []record.Assignment
	for _, job := range w.a.Riders {
		var a record.Assignment
		err := fsx.ReadJSON(w.c.Dir.Assignment(job), &a)
		if err == nil && (a.Kind != record.KindCell || a.Job != job) {
			err = fmt.Errorf("assignment %s is no cell's", job)
		}
		if err != nil {
			w.say("rider: %v", err)
			continue
		}
		riders = append(riders, a)
	}
	return riders
}

// tracesHere reports whether a rider may want its server traced, and for how many steps: what a profiler needs is settled when
// the server starts.
func (w *work) tracesHere() (steps int, traces bool) {
	for _, r := range w.riders() {
		if r.TraceWinner {
			return r.ProfileIterations, true
		}
	}
	return 0, false
}

// carry goes on with the riders' work, one after another, each an attempt of its own, on the server that is up if it is the one
// they would start. Whether there is anything to go on from is ok: without a probe's result there is not.
func (w *work) carry(ctx context.Context, ok bool) {
	warm := w.warm
	riders := w.riders()
	if w.result.Outcome != record.OutcomeDone {
		ok = false
	}
	for i, a := range riders {
		if _, err := os.Stat(w.c.Dir.Cancelled()); err == nil || !ok || ctx.Err() != nil {
			break
		}
		r := newWork(w.c, a, w.mark)
		if err := r.claim(ctx); err != nil {
			r.say("%v", err)
			continue
		}
		r.supervisor, r.lacks, r.warm, r.leave = w.supervisor, w.lacks, warm, i+1 < len(riders)
		if warm != nil {
			warm.HandTo(r.host())
		}
		if _, err := r.finish(conclude(ctx, r.do(ctx))); err != nil {
			r.say("%v", err)
		}
		warm = r.warm
	}
	if warm != nil {
		warm.Stop(ctx)
	}
}
