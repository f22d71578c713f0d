package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
)

// client puts one load on a server and brings back its numbers. Declared here because the agent is who needs one.
//
// An error means that there are no numbers. Measure ends what it started before it returns, also when ctx ends.
type client interface {
	Measure(ctx context.Context, t target) (measurement, error)
}

// target is what a client needs to know for one load.
type target struct {
	Server  *server
	Load    record.Load
	Profile bool   // bracket the load with the profiler
	Log     string // path of the client's log
	Raw     string // path of the client's own JSON
}

// measurement is what came of a load.
type measurement struct {
	Metrics record.Metrics
	Note    string        // in the client's words, about what went wrong with single requests
	Writing time.Duration // how long a profiler wrote its trace before the client was let go
}

// client is the one that the assignment names.
func (w *work) client() (client, error) {
	switch w.a.Client {
	case clientVLLM:
		return benchClient{w}, nil
	case clientVtune:
		return ownClient{w}, nil
	}
	return nil, fmt.Errorf("an assignment with an unknown client %q", w.a.Client)
}

const (
	clientVLLM  = "vllm"
	clientVtune = "vtune"
)

// observe makes and publishes one observation. An error other than the publishing's is a stop, which leaves no observation, or
// the server's failure, which leaves an invalid one.
func (w *work) observe(ctx context.Context, srv *server, c client, l record.Load, patience time.Duration) (record.Observation, error) {
	n := w.result.Observations + 1
	o := record.Observation{
		Schema: record.Schema, Cell: w.a.Cell.ID, Attempt: w.a.Attempt, Seq: n, Load: l, Client: w.a.Client, Seed: w.a.Seed,
		Started: w.c.Now(),
	}
	t := target{
		Server: srv, Load: l, Profile: w.a.Kind == record.KindProfile,
		Log: w.dir.BenchLog(n, l.Rate), Raw: w.dir.BenchJSON(n, l.Rate),
	}
	w.event("load", l.String())
	m, err := w.measure(srv, c, t, patience+arrivals(l))
	o.Ended, o.Metrics = w.c.Now(), m.Metrics

	failure := srv.judge(ctx, &o, m, err)
	if ctx.Err() != nil {
		return o, context.Cause(ctx) // what was cut off is not recorded, so that it is made again
	}
	for path, into := range map[string]*string{t.Log: &o.LogFile, t.Raw: &o.RawFile} {
		if _, err := os.Stat(path); err == nil {
			*into = w.c.Dir.Rel(path)
		}
	}
	o.Detail, o.Complete = w.redact(o.Detail), true
	if err := fsx.PublishJSON(w.dir.Observation(n), o); err != nil {
		return o, err
	}
	w.result.Observations = n
	w.event("observation", l.String()+": "+sentence(o))
	w.say("%s: %s", l, sentence(o))
	return o, failure
}

// measure books the client's time: what it reports as its load is measured, the rest was the client's own start and end. Of a
// load without numbers nobody knows how long it was one.
func (w *work) measure(srv *server, c client, t target, patience time.Duration) (measurement, error) {
	ctx, cancel := context.WithTimeoutCause(srv.alive, patience, errPatience)
	defer cancel()
	before := w.ledger.spent[record.SpendClient]
	back := w.spending(record.SpendClient)
	m, err := c.Measure(ctx, t)
	back()
	spent := w.ledger.spent[record.SpendClient] - before
	if err != nil {
		w.ledger.move(record.SpendClient, record.SpendOther, spent)
		return m, err
	}
	profile := min(m.Writing.Seconds(), spent)
	w.ledger.move(record.SpendClient, record.SpendProfile, profile)
	w.ledger.move(record.SpendClient, record.SpendMeasured, min(m.Metrics.Seconds, spent-profile))
	return m, nil
}

var errPatience = errors.New("the load did not end in time")

// judge fills in the verdict. It returns the server's failure if that is what spoilt the load.
func (s *server) judge(ctx context.Context, o *record.Observation, m measurement, err error) error {
	o.Verdict, o.Cause, o.Detail = search.Judge(s.w.a.Policy, m.Metrics, o.Load.Requests)
	switch {
	case errors.Is(err, errPatience):
		o.Verdict, o.Cause, o.Detail = record.Invalid, record.CauseTimeout, err.Error()
	case err != nil:
		o.Verdict, o.Cause, o.Detail = record.Invalid, record.CauseClient, err.Error()
	case o.Verdict != record.Invalid:
		return nil
	case m.Note != "":
		o.Detail += ": " + m.Note
	}
	var exit *exitError
	if errors.As(err, &exit) && obedient(exit.exit) && ordered(ctx) {
		return nil
	}
	// Requests that fail, or a client that does, are what a dying server looks like from outside.
	why := s.diagnose(ctx, nil)
	if f := asFailure(why); f != nil {
		o.Cause, o.Detail = f.Cause, f.Message
	}
	return why
}

// arrivals is how long sending a load takes by its own schedule.
func arrivals(l record.Load) time.Duration {
	if l.Rate.IsInf() || l.Rate <= 0 {
		return 0
	}
	return time.Duration(float64(l.Requests) / float64(l.Rate) * float64(time.Second))
}

func sentence(o record.Observation) string {
	if o.Verdict == record.Invalid {
		return fmt.Sprintf("invalid: %s: %s", o.Cause, cmp.Or(o.Detail, "no reason given"))
	}
	return fmt.Sprintf("%s: P99 E2EL %.2f ms, %.2f req/s", o.Verdict, o.Metrics.E2EL.P99, o.Metrics.RequestThroughput)
}
