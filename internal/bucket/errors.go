package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/api/googleapi"

	"vtune/internal/diag"
	"vtune/internal/gcp"
)

const (
	// writeTries bounds how often a write is sent.
	writeTries = 6
	// readTries bounds how often a read is begun whose answer broke off; the client beneath repeats those that got none.
	readTries = 4
)

// explain says what was tried on which object, and turns the interface's codes into errors that callers know. Where a person can
// help, it says how. The URL of a request is left out: that of an upload's session would let anybody write.
func (b *Bucket) explain(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	at := fmt.Sprintf("%s gs://%s/%s", verb, b.name, name)
	var api *googleapi.Error
	if !errors.As(err, &api) {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("%s: %w", at, err)
	}
	said := strings.TrimSpace(api.Message)
	if said == "" {
		said = http.StatusText(api.Code)
	}
	switch {
	case api.Code == http.StatusNotFound && (verb == "list" || verb == "write" || noBucket(err)):
		// A mistyped bucket is not a run in which nothing has happened yet.
		return diag.Wrap(fmt.Errorf("%s: there is no bucket %s (404: %s)", at, b.name, said), diag.Internal,
			"gcloud storage buckets create gs://"+b.name)
	case api.Code == http.StatusNotFound:
		return fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	case api.Code == http.StatusPreconditionFailed:
		return fmt.Errorf("%s: %w", at, ErrChanged)
	case api.Code == http.StatusUnauthorized:
		return diag.Wrap(fmt.Errorf("%s: not accepted as a user of bucket %s (401: %s)", at, b.name, said), diag.Internal,
			"gcloud auth application-default login")
	case api.Code == http.StatusForbidden:
		return diag.Wrap(fmt.Errorf("%s: not allowed in bucket %s (403: %s)", at, b.name, said), diag.Internal,
			"the account needs the role roles/storage.objectAdmin on the bucket: gcloud storage buckets add-iam-policy-binding gs://"+
				b.name+" --member=... --role=roles/storage.objectAdmin")
	}
	return fmt.Errorf("%s: %d: %s", at, api.Code, said)
}

// noBucket tells a bucket that is not there from an object that is not, by the interface's own words.
func noBucket(err error) bool { return strings.Contains(err.Error(), "bucket does not exist") }

// statusOf is the code of an answer; 0: there was none.
func statusOf(err error) int {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return api.Code
	}
	return 0
}

// happening is what is known of a request that failed.
type happening int

const (
	refused   happening = iota // the answer is final
	postponed                  // nothing was done; it may be tried again
	unknown                    // no answer, or one that leaves open whether it was done
)

func judge(err error) happening {
	var api *googleapi.Error
	if errors.As(err, &api) {
		switch {
		case api.Code == http.StatusTooManyRequests:
			return postponed
		case api.Code == http.StatusRequestTimeout, api.Code >= 500:
			return unknown
		}
		return refused
	}
	var credentials *gcp.CredentialsError
	if errors.As(err, &credentials) {
		return refused
	}
	return unknown
}

// read repeats what was cut off half way.
func (b *Bucket) read(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		var api *googleapi.Error
		if err == nil || try == readTries || ctx.Err() != nil || errors.As(err, &api) || judge(err) == refused {
			return err
		}
		if err := b.sleep(ctx, try); err != nil {
			return err
		}
	}
}

// sleep before another try.
func (b *Bucket) sleep(ctx context.Context, try int) error {
	t := time.NewTimer(b.pause(try))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// pause doubles from 250 ms to 20 s, less up to a half by chance.
func pause(o gcp.Options) func(int) time.Duration {
	least, most := o.WaitMin, o.WaitMax
	if least == 0 {
		least = 250 * time.Millisecond
	}
	if most == 0 {
		most = 20 * time.Second
	}
	return func(try int) time.Duration {
		d := min(most, least<<min(try-1, 16))
		return d - time.Duration(rand.Int64N(int64(d)/2+1))
	}
}
