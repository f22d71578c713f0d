package pool

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"

	"vtune/internal/fsx"
	"vtune/internal/record"
	"vtune/jobs"
)

// Cost is what a run's machines may cost.
type Cost struct {
	Worst  float64 // chip-hours, if each planned machine lives as long as it may
	Most   float64 // chip-hours that are to be spent; 0: nobody has said
	Agreed bool    // there is nothing to agree to any more
}

// Cost of a plan, of which most may be spent; 0: as the spec says.
func (p *Pool) Cost(plan record.Plan, most float64) (Cost, error) {
	before, err := p.Approved()
	_, worst := jobs.WorstCase(plan, p.Chips)
	return Cost{Worst: worst, Most: cmp.Or(most, p.Spec.MaxChipHours), Agreed: before.ChipHours > 0 && most <= before.ChipHours}, err
}

// Approve puts on record how many chip-hours may be spent at the worst. It can be raised and not lowered: what was asked for stands.
func (p *Pool) Approve(hours float64, by string) error {
	before, err := p.Approved()
	if err != nil || before.ChipHours >= hours {
		return err
	}
	return fsx.PublishJSON(p.Dir.Approval(), record.Approval{Schema: record.Schema, ChipHours: hours, By: by, At: p.Now().UTC()})
}

// Approved is what was approved; nothing is 0.
func (p *Pool) Approved() (a record.Approval, err error) {
	if err = fsx.ReadJSON(p.Dir.Approval(), &a); errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	return a, err
}

// budget is what was approved, and what machines were asked for.
func (p *Pool) budget() (jobs.Budget, error) {
	a, err := p.Approved()
	if err != nil {
		return jobs.Budget{}, err
	}
	b := jobs.Budget{ChipHours: a.ChipHours}
	asked, err := fsx.Below(string(p.Dir), p.Dir.Rel(p.Dir.Resource("*")))
	if err != nil {
		return b, err
	}
	for _, path := range asked {
		var r record.Resource
		if err := fsx.ReadJSON(path, &r); err != nil {
			return b, err
		}
		b.Asked = append(b.Asked, r)
	}
	return b, nil
}

// afford is how many of so many machines more can be paid for, and how many seconds each of them may live. What machines that are coming
// will cost is spent, whether or not they were asked for before.
func (p *Pool) afford(machines int, coming []record.Unit) (seconds, affordable int, err error) {
	if machines <= 0 {
		return 0, 0, nil
	}
	b, err := p.budget()
	if err != nil {
		return 0, 0, err
	}
	for _, u := range coming {
		if _, err := os.Stat(p.Dir.Resource(u.ID)); errors.Is(err, fs.ErrNotExist) {
			b.Asked = append(b.Asked, record.Resource{Chips: p.Chips, MaxRun: u.Jobs[0].Resources.Seconds})
		}
	}
	seconds, affordable = b.Afford(machines, p.Chips, p.Spec.Site.TPU.MaxRunSeconds())
	return seconds, affordable, nil
}

// errUnpaid is back-pressure that only a person can end.
var errUnpaid = errors.New("not enough is approved")

// approve puts a machine on record before it is asked for, unless it would cost more than was approved. One that is on record was.
func (p *Pool) approve(unit string, seconds int) error {
	r, err := p.resource(unit)
	if err != nil || !r.Asked.IsZero() {
		return err
	}
	b, err := p.budget()
	if err != nil {
		return err
	}
	if each, n := b.Afford(1, p.Chips, seconds); n == 0 || each < seconds || seconds == 0 {
		return fmt.Errorf("%w: %w: %s may cost %.1f chip-hours, and of the %.1f that were approved %.1f are left", jobs.ErrBackpressure,
			errUnpaid, unit, float64(p.Chips*seconds)/3600, b.ChipHours, math.Max(b.Left(), 0))
	}
	r.MaxRun, r.Asked = seconds, p.Now().UTC()
	return fsx.PublishJSON(p.Dir.Resource(unit), r)
}
