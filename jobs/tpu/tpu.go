// Package tpu hands jobs to Cloud TPU as queued resources, through Google's own client of its REST API. A job is a machine, or the
// machines of a slice, that starts with the job's script and is deleted when it is no longer wanted.
//
// What the API does not give is made good by records in the run's directory, which is a mirror of the run's bucket. That a script has
// ended, and how, is the machine's word (jobs/<unit>/done.json): to the API a machine that has nothing left to do is as ACTIVE as one
// that works. What is deleted the API forgets, so its end is written down before (jobs/<unit>/deleted.json). And what may have been
// asked for is known by jobs/<unit>/request-id and request.json, from before the first try: a request of the same id is the same
// request to the API, however often it is sent.
//
// A listing is one paged list of the zone's queued resources, because the API has no filter; what is not the run's is passed over here.
// Dependencies and arrays there are none.
package tpu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/internal/spec/slice"
	"vtune/jobs"
)

// Endpoint is where the API is, unless a Config says otherwise.
const Endpoint = "https://tpu.googleapis.com/"

// Config of a Scheduler.
type Config struct {
	HTTP        *http.Client // authorised; may retry whatever carries a requestId. Nil: nothing will be asked, only rendered
	Endpoint    string       // with a slash at its end; empty: Endpoint
	Site        spec.TPU
	Reservation string // name, or projects/P/locations/Z/reservations/NAME; empty: any of the project's, where Site.Reserved
	Dir         record.Dir
	Now         func() time.Time // needed
}

// Scheduler is Cloud TPU as a jobs.Scheduler.
type Scheduler struct {
	Config
	api                api
	slice              slice.Slice
	validUntil, maxRun time.Duration
	units              map[string]string // unit by resource id, of those that may have been asked for
	seen               map[string]bool   // units that stand in it
	pause              time.Duration     // before a deletion that was not accepted is asked for again
}

var (
	projectForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.:-]*$`)
	zoneForm    = regexp.MustCompile(`^[a-z0-9-]+$`)
)

// New is a Scheduler. It asks the API nothing yet; an error is about the site's keys.
func New(c Config) (*Scheduler, error) {
	if c.Endpoint == "" {
		c.Endpoint = Endpoint
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{}
	}
	s := &Scheduler{Config: c, units: map[string]string{}, seen: map[string]bool{}, pause: 2 * time.Second}
	var err error
	if s.slice, err = c.Site.Slice(); err != nil {
		return nil, fmt.Errorf("site.accelerator_type or site.accelerator and site.topology: %w", err)
	}
	if !projectForm.MatchString(c.Site.Project) {
		return nil, fmt.Errorf("site.project: %q is no project", c.Site.Project)
	}
	if !zoneForm.MatchString(c.Site.Zone) {
		return nil, fmt.Errorf("site.zone: %q is no zone", c.Site.Zone)
	}
	if s.validUntil, err = duration("valid_until", c.Site.ValidUntil); err != nil {
		return nil, err
	}
	if s.maxRun, err = duration("max_run_duration", c.Site.MaxRunDuration); err != nil {
		return nil, err
	}
	tiers := 0
	for _, asked := range []bool{c.Site.Spot, c.Site.Reserved, c.Site.Guaranteed, c.Site.FlexStart} {
		if asked {
			tiers++
		}
	}
	switch {
	case tiers > 1:
		return nil, errors.New("site: at most one of spot, reserved, guaranteed and flex_start")
	case c.Site.FlexStart && !s.alpha():
		return nil, errors.New("site.flex_start: only the API's v2alpha1 has it; say api: v2alpha1")
	case c.Site.FlexStart && s.maxRun == 0:
		return nil, errors.New("site.flex_start: it needs a max_run_duration")
	}
	if s.api, err = open(c.HTTP, c.Endpoint, s.alpha()); err != nil {
		return nil, err
	}
	return s, nil
}

func duration(key, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("site.%s: %q is no duration such as 6h", key, text)
	}
	return d.Round(time.Second), nil
}

func (s *Scheduler) alpha() bool { return s.Site.API == "v2alpha1" }

// Chips of each resource.
func (s *Scheduler) Chips() int { return s.slice.Chips }

// Hosts of each resource; every one of them runs the script.
func (s *Scheduler) Hosts() int { return s.slice.Hosts }

// MaxRun is how long the site lets a machine live; 0: it does not say.
func (s *Scheduler) MaxRun() time.Duration { return s.maxRun }

// parent is where the site's resources are, and place the same as a handle says it.
func (s *Scheduler) parent() string {
	return "projects/" + s.Site.Project + "/locations/" + s.Site.Zone
}
func (s *Scheduler) place() string { return s.Site.Project + "/" + s.Site.Zone }

// Capabilities implements jobs.Scheduler. They are the API's, so nothing is asked. A limit on how much may be asked for there is (the
// project's quota), but the API tells it only when it is reached.
func (s *Scheduler) Capabilities(context.Context) (jobs.Capabilities, error) {
	return jobs.Capabilities{}, nil
}
