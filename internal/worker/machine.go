package worker

import (
	"context"
	"time"

	"cloud.google.com/go/compute/metadata"
)

// Metadata is for Config: what Google's metadata server says of this machine, or what GCE_METADATA_HOST names.
func Metadata(ctx context.Context, key string, each func(value string)) error {
	return metadata.SubscribeWithContext(ctx, key, func(ctx context.Context, value string, ok bool) error {
		if ok && ctx.Err() == nil {
			each(value)
		}
		return ctx.Err()
	})
}

// watch keeps asking, also where there is no metadata server yet, or none.
func (w *worker) watch(ctx context.Context, key string, each func(value string)) {
	said := false
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := w.Config.Metadata(ctx, key, each)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !said {
			said = true
			w.say("metadata: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
