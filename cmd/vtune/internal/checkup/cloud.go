package checkup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/bucket"
	"vtune/internal/diag"
	"vtune/internal/doctor"
	"vtune/internal/gcp"
	"vtune/internal/spec"
	"vtune/jobs/tpu"
	"vtune/jobs/tpu/zone"
)

const (
	// repeats of a question: somebody waits for the answer, and that the API does not answer is one.
	repeats = 2
	// probeTime bounds what is tried in a bucket, and tidyTime what is done about what is left of it.
	probeTime = time.Minute
	tidyTime  = 30 * time.Second
)

// askGoogle gathers what Google's APIs tell of a spec. Nothing of it costs, and nothing stays. An error is that of ctx, or about keys.
func askGoogle(ctx context.Context, w tuning.World, s *spec.Spec) (*doctor.Cloud, error) {
	c := new(doctor.Cloud)
	account, err := gcp.Whose(ctx, w.Getenv)
	if err != nil {
		c.Credentials = problem(err, "")
		return c, ctx.Err()
	}
	c.Account = account.String()
	client, err := gcp.Client(ctx, gcp.Options{Env: w.Getenv, RetryMax: repeats})
	if err != nil {
		c.Credentials = problem(err, "")
		return c, ctx.Err()
	}
	endpoint, _ := w.Getenv("VTUNE_TPU_ENDPOINT")
	config := tpu.Config{HTTP: client, Endpoint: endpoint, Site: s.Site.TPU, Reservation: s.Site.Reservation, Now: w.Now}
	if err := askAPI(ctx, c, config); err != nil || c.Credentials.What != "" {
		return c, err
	}
	at, err := bucket.Parse(s.Base)
	if err != nil {
		return c, diag.Wrap(err, diag.Usage)
	}
	b, err := bucket.Open(ctx, at.Bucket, w.Getenv)
	if err != nil {
		return c, err
	}
	c.Bucket, err = tryBucket(ctx, w, b, at)
	return c, err
}

// problem is an error as a fact. What it says can be done comes before what usually can.
func problem(err error, usual string) doctor.Problem {
	p := doctor.Problem{What: oneLine(err), Remedy: usual}
	if hints := diag.HintsOf(err); len(hints) > 0 {
		p.Remedy = strings.Join(slices.Compact(hints), ", ")
	}
	return p
}

// askAPI asks first what every run will ask, by the API's version that it will.
func askAPI(ctx context.Context, c *doctor.Cloud, config tpu.Config) error {
	scheduler, err := tpu.New(config)
	if err != nil {
		return err
	}
	place, err := zone.Of(config)
	if err != nil {
		return err
	}
	explained := func(err error) doctor.Problem {
		what, remedy := tpu.Explain(err)
		return doctor.Problem{What: strings.Join(strings.Fields(what), " "), Remedy: remedy}
	}
	began := config.Now()
	all, err := scheduler.Standing(ctx)
	c.AnswerSeconds = config.Now().Sub(began).Seconds()
	var refused *gcp.CredentialsError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		c.Credentials = doctor.Problem{What: refused.Error(), Remedy: problem(err, "").Remedy}
		return nil
	case err != nil:
		c.API = explained(err)
		if c.Zones, err = place.Others(ctx); err != nil {
			c.Zones = nil // then it is not known whether that is why
		}
		return ctx.Err()
	}
	for _, r := range all {
		c.Resources = append(c.Resources, doctor.QueuedResource{ID: r.ID, State: r.Word, Reason: r.Reason})
	}
	offer, err := place.Offers(ctx)
	if err != nil {
		c.Offers = explained(err)
	}
	c.Types, c.Topologies, c.Runtimes = offer.Types, offer.Topologies, offer.Runtimes
	return ctx.Err()
}

// tryBucket does with one small object what a run does with all of its own. The object is gone afterwards, also where ctx ends.
func tryBucket(ctx context.Context, w tuning.World, b *bucket.Bucket, at bucket.Location) (*doctor.Bucket, error) {
	salt := make([]byte, 8)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	found := &doctor.Bucket{Place: at.String()}
	began := w.Now()
	limited, stop := context.WithTimeout(ctx, probeTime)
	defer stop()
	object := at.Join(".vtune-doctor-" + hex.EncodeToString(salt))
	left, err := handle(limited, b, object)
	if left {
		found.Left = object.String()
		if ctx.Err() != nil { // there will be no line about it
			fmt.Fprintf(w.Err, "%s could not be deleted: %s\n", object, oneLine(err))
		}
	}
	found.Seconds = w.Now().Sub(began).Seconds()
	if err != nil {
		found.Problem = problem(err, "ask again later, and see https://status.cloud.google.com")
	} else {
		found.Ahead = b.Now().Sub(w.Now()).Round(time.Millisecond)
	}
	return found, ctx.Err()
}

var sample = []byte("vtune doctor looks whether this can be written and deleted\n")

// handle does each thing once; left: the object may still be there.
func handle(ctx context.Context, b *bucket.Bucket, object bucket.Location) (left bool, err error) {
	// A look comes first: where nobody answers it ends soonest, and it tells a bucket that is not there.
	if _, err := listed(ctx, b, object.Prefix); err != nil {
		return false, err
	}
	_, err = create(ctx, b, object)
	if err != nil && !errors.Is(err, bucket.ErrUnsettled) {
		return false, err
	}
	if err == nil {
		err = use(ctx, b, object)
	}
	tidy, stop := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer stop()
	gone := b.Delete(tidy, object.Prefix, 0)
	return gone != nil || errors.Is(err, bucket.ErrUnsettled), errors.Join(err, gone)
}

// create is not cut short by an interruption. One that was, the first or the second, might come to pass after the deletion.
func create(ctx context.Context, b *bucket.Bucket, object bucket.Location) (bucket.Object, error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), probeTime)
	defer stop()
	return b.Put(ctx, object.Prefix, sample, 0, nil)
}

// use is what is done with an object that was created.
func use(ctx context.Context, b *bucket.Bucket, object bucket.Location) error {
	switch _, err := create(ctx, b, object); {
	case err == nil:
		return diag.Wrap(fmt.Errorf("%s was created twice, so that two machines could do one job's work", object), diag.Internal,
			"name a bucket of Google Cloud Storage as base, with nothing before it that changes requests")
	case !errors.Is(err, bucket.ErrChanged):
		return err
	}
	seen, err := listed(ctx, b, object.Prefix)
	if err != nil {
		return err
	}
	if !seen {
		return diag.Wrap(fmt.Errorf("%s was created, and no list has it", object), diag.Internal,
			"name a bucket of Google Cloud Storage as base: its lists have what was created before")
	}
	_, _, err = b.Get(ctx, object.Prefix)
	return err
}

func listed(ctx context.Context, b *bucket.Bucket, name string) (seen bool, err error) {
	err = b.List(ctx, name, "", func(bucket.Object) error {
		seen = true
		return nil
	})
	return seen, err
}
