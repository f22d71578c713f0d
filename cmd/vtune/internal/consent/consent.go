// Package consent says what a run may cost at the worst, and has a person agree to it before anything is asked for that costs.
package consent

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

// WorstCase says what a plan's machines cost, if they do.
func WorstCase(w io.Writer, s *spec.Spec, p record.Plan) error {
	if !jobs.Pooled(s) {
		return nil
	}
	shape, err := s.Site.TPU.Slice()
	if err != nil {
		return err
	}
	machines, _ := jobs.WorstCase(p, shape.Chips)
	return screen.WorstCase(w, machines, shape.Chips, time.Duration(s.Site.TPU.MaxRunSeconds())*time.Second, s.Site.TPU.String())
}

// Agree has a person at a terminal agree to what the run may cost; whoever is none says it by a flag or in the spec.
func Agree(t *tuning.Tuning, r tuning.Request, in io.Reader, say io.Writer) error {
	// No comparison would stop at it, and so what nobody agreed to would be spent.
	if !(r.ChipHours >= 0) || math.IsInf(r.ChipHours, 0) {
		return diag.Errorf(diag.Usage, "--max-chip-hours is %g: it is a number from 0", r.ChipHours)
	}
	pool := t.Pool()
	if pool == nil {
		return nil
	}
	c, err := pool.Cost(t.Plan, r.ChipHours)
	if err != nil || c.Agreed {
		return err
	}
	var text strings.Builder
	if err := WorstCase(&text, pool.Spec, t.Plan); err != nil {
		return err
	}
	worst := strings.TrimSpace(text.String())
	if c.Most > 0 && c.Most < c.Worst {
		return diag.Wrap(fmt.Errorf("%s, and no more than %g are to be spent", worst, c.Most), diag.Usage,
			"lower site.max_run_duration, raise site.cells_per_resource (fewer machines, each for more cells), or raise max_chip_hours")
	}
	if c.Most == 0 && !r.Yes {
		if !screen.IsTerminal(say) {
			return diag.Wrap(fmt.Errorf("%s, which nobody has agreed to", worst), diag.Usage, "say --yes, or max_chip_hours: in the spec; nothing was asked for")
		}
		fmt.Fprintf(say, "%s\nGo on? [y/N] ", worst)
		answer, _ := bufio.NewReader(in).ReadString('\n') // no answer is none
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return diag.Errorf(diag.Usage, "nothing was asked for")
		}
	}
	return pool.Approve(max(c.Most, c.Worst), tuning.UserName())
}
