package crew

import (
	"context"
	"slices"
	"time"

	"vtune/internal/diag"
	"vtune/internal/proc"
)

// again is the pause after which a collector that ended is started anew: somebody else may have held the run, or the scheduler been
// away.
const again = 5 * time.Second

// Collect has a program collect for the run until ctx ends, so that nobody need do it elsewhere. The channel is closed when the
// program says that the run is over. When wait returns, the program has ended.
func Collect(ctx context.Context, spec proc.Spec, say func(string, ...any)) (over <-chan struct{}, wait func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			exit, err := attend(ctx, spec)
			if err != nil {
				say("collector: %v", err)
			}
			if err == nil && ctx.Err() == nil && exit.Signal == 0 && answered(diag.Code(exit.Code)) {
				close(done)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	}()
	return done, func() { <-ended }
}

// attend runs the program to its end, or to ctx's.
func attend(ctx context.Context, spec proc.Spec) (proc.Exit, error) {
	p, err := proc.Start(spec)
	if err != nil {
		return proc.Exit{}, err
	}
	select {
	case <-p.Done():
		return p.Wait(), nil
	case <-ctx.Done():
		return p.Stop(context.WithoutCancel(ctx), 10*time.Second)
	}
}

// answered are the exit codes of a collector that leave nothing to be collected.
func answered(code diag.Code) bool {
	return slices.Contains([]diag.Code{diag.OK, diag.FailedCells, diag.Infeasible, diag.NoAnswer}, code)
}
