package tuning

import (
	"context"
	"errors"
	"testing"
)

func TestWhoseLeaseWasTakenOverDecidesNothingMore(t *testing.T) {
	lost := make(chan struct{})
	run := &Tuning{lost: lost}
	ctx, stop := run.Held(t.Context())
	defer stop()
	if ctx.Err() != nil {
		t.Fatal("it has the lease")
	}
	close(lost)
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, ErrTakenOver) {
		t.Errorf("%v", cause)
	}
	// A run that is in no bucket has a lease that nobody takes over.
	ctx, stop = new(Tuning).Held(t.Context())
	if stop(); errors.Is(context.Cause(ctx), ErrTakenOver) {
		t.Errorf("%v", context.Cause(ctx))
	}
}
