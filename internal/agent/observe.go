package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"vtune/internal/client"
	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/internal/search"
	"vtune/internal/serving"
)

// measurer puts one load on a server and brings back its numbers. Declared here because the agent is who needs one.
//
// An error means that there are no numbers. Measure ends what it started before it returns, also when ctx ends.
type measurer interface {
	Measure(ctx context.Context, t client.Target) (client.Measurement, error)
}

// client is the one that the assignment names.
func (w *work) client() (measurer, error) {
	switch {
	case w.a.Client == clientVLLM:
		return client.Bench{Setting: w.setting()}, nil
	case w.a.Client == clientVtune && w.a.Policy.Method == search.Vtune:
		ids, err := w.vocabulary()
		return client.Sequential{Setting: w.setting(), IDs: ids}, err
	case w.a.Client == clientVtune:
		return client.Own{Setting: w.setting()}, nil
	}
	return nil, fmt.Errorf("an assignment with an unknown client %q", w.a.Client)
}

const (
	clientVLLM  = "vllm"
	clientVtune = "vtune"
)

func (w *work) setting() client.Setting {
	return client.Setting{Assignment: w.a, Env: w.c.Env, Dir: string(w.dir), Mark: w.mark, LogMode: w.logMode(), Now: w.c.Now}
}

// target of the attempt's nth load.
func (w *work) target(srv *serving.Server, n int, l record.Load, seed int64) client.Target {
	return client.Target{
		Server: srv, Load: l, Seed: seed, Profile: w.a.Kind == record.KindProfile,
		Log: w.dir.BenchLog(n, l.Rate), Raw: w.dir.BenchJSON(n, l.Rate), Timelines: w.dir.Timelines(n, l.Rate),
	}
}

// observe makes and publishes one observation; o says of which cell, at which load, with which seed. An error other than the
// publishing's is a stop, which leaves no observation, or the server's failure, which leaves an invalid one.
func (w *work) observe(ctx context.Context, srv *serving.Server, c measurer, o record.Observation, patience time.Duration) (record.Observation, error) {
	n := w.result.Observations + 1
	o.Schema, o.Attempt, o.Seq, o.Client, o.Started = record.Schema, w.a.Attempt, n, w.a.Client, w.c.Now()
	o.Neighbours = w.beside.Neighbours()
	t := w.target(srv, n, o.Load, o.Seed)
	w.event("load", w.describe(o))
	m, err := w.measure(srv, c, t, patience+w.arrivals(o.Load))
	o.Ended, o.Metrics = w.c.Now(), m.Metrics

	failure := w.judge(ctx, srv, &o, m, err)
	if ctx.Err() != nil {
		return o, context.Cause(ctx) // what was cut off is not recorded, so that it is made again
	}
	for path, into := range map[string]*string{t.Log: &o.LogFile, t.Raw: &o.RawFile, t.Timelines: &o.Timelines} {
		if _, err := os.Stat(path); err == nil {
			*into = w.c.Dir.Rel(path)
		}
	}
	o.Detail, o.Complete = w.redact(o.Detail), true
	if err := fsx.PublishJSON(w.dir.Observation(n), o); err != nil {
		return o, err
	}
	w.result.Observations = n
	w.event("observation", w.describe(o)+": "+sentence(o))
	w.say("%s: %s", w.describe(o), sentence(o))
	return o, failure
}

// describe is a load, and whose it is where that is not plain.
func (w *work) describe(o record.Observation) string {
	if o.Alone {
		return o.Load.String() + ", alone on the node"
	}
	if o.Emulated {
		return o.Cell + ", emulated: " + o.Load.String()
	}
	return o.Load.String()
}

// measure books the client's time: what it reports as its load is measured, the rest was the client's own start and end. Of a
// load without numbers nobody knows how long it was one.
func (w *work) measure(srv *serving.Server, c measurer, t client.Target, patience time.Duration) (client.Measurement, error) {
	ctx, cancel := context.WithTimeoutCause(srv.Alive(), patience, errPatience)
	defer cancel()
	before := w.ledger.Spent(record.SpendClient)
	back := w.spending(record.SpendClient)
	over := w.health.Loaded(ctx, w.c.Warm)
	m, err := c.Measure(ctx, t)
	over()
	back()
	spent := w.ledger.Spent(record.SpendClient) - before
	if err != nil {
		w.ledger.Move(record.SpendClient, record.SpendOther, spent)
		return m, err
	}
	profile := min(m.Writing.Seconds(), spent)
	w.ledger.Move(record.SpendClient, record.SpendProfile, profile)
	w.ledger.Move(record.SpendClient, record.SpendMeasured, min(m.Loading.Seconds(), spent-profile))
	return m, nil
}

var errPatience = errors.New("the load did not end in time")

// judge fills in the verdict. It returns the server's failure if that is what spoilt the load.
func (w *work) judge(ctx context.Context, srv *serving.Server, o *record.Observation, m client.Measurement, err error) error {
	if m.Judged != nil {
		sequential(o, m)
	} else {
		o.Verdict, o.Cause, o.Detail = search.Judge(w.a.Policy, m.Metrics, o.Load.Requests)
	}
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
	var exit *client.ExitError
	if errors.As(err, &exit) && serving.Obedient(ctx, exit.Exit) {
		return nil
	}
	// Requests that fail, or a client that does, are what a dying server looks like from outside.
	why := srv.Diagnose(ctx, nil)
	if f := serving.AsFailure(why); f != nil {
		o.Cause, o.Detail = f.Cause, f.Message
	}
	return why
}

// sequential takes over what a load's requests say of its limits. A load of which a request failed says nothing, nor does one
// whose client could not keep up; what was cut off because the verdict was sure did not fail.
func sequential(o *record.Observation, m client.Measurement) {
	j := m.Judged
	o.Verdict, o.Detail, o.Standings, o.Steady, o.Histograms = j.Verdict, j.Reason, j.Standings, &j.Steady, j.Histograms
	switch {
	case j.Failed > 0:
		o.Verdict, o.Cause = record.Invalid, record.CauseRequests
		o.Detail = fmt.Sprintf("%d requests failed, %d were answered", j.Failed, m.Metrics.Completed)
	case j.Late != "":
		o.Verdict, o.Cause, o.Detail = record.Invalid, record.CauseClient, j.Late
	case m.Metrics.Completed == 0 && j.Verdict != record.Miss:
		o.Verdict, o.Cause, o.Detail = record.Invalid, record.CauseRequests, "no request was answered"
	}
}

// arrivals is how long sending a load takes by its own schedule, within the budget of one run, which is all that bounds requests that
// are sent all at once.
func (w *work) arrivals(l record.Load) time.Duration {
	most, s := w.a.Policy.Test.MaxSeconds, float64(l.Requests)/float64(l.Rate)
	if l.Rate.IsInf() || most > 0 && s > most {
		s = most
	}
	return time.Duration(s * float64(time.Second))
}

func sentence(o record.Observation) string {
	switch {
	case o.Verdict == record.Invalid:
		return fmt.Sprintf("invalid: %s: %s", o.Cause, cmp.Or(o.Detail, "no reason given"))
	case o.Steady != nil:
		return fmt.Sprintf("%s: %s", o.Verdict, cmp.Or(o.Detail, "no reason given"))
	}
	return fmt.Sprintf("%s: P99 E2EL %.2f ms, %.2f req/s", o.Verdict, o.Metrics.E2EL.P99, o.Metrics.RequestThroughput)
}
