package main

import (
	"bufio"
	"fmt"
	"strings"

	"vtune/cmd/vtune/internal/screen"
	"vtune/cmd/vtune/internal/tuning"
	"vtune/internal/diag"
)

// agree has a person agree to what a run may cost at the worst, before anything is asked for that costs. Who is no terminal says it by
// a flag or in the spec.
func (a *app) agree(t *tuning.Tuning, r tuning.Request) error {
	if t.Pool() == nil {
		return nil
	}
	c, err := t.Pool().Cost(t.Plan, r.ChipHours)
	if err != nil || c.Agreed {
		return err
	}
	if c.Most > 0 && c.Most < c.Worst {
		return diag.Wrap(fmt.Errorf("%s, and no more than %.1f are to be spent", c, c.Most), diag.Usage,
			"lower site.max_run_duration, raise site.cells_per_resource (fewer machines, each for more cells), or raise max_chip_hours")
	}
	if c.Most == 0 && !r.Yes {
		if !screen.IsTerminal(a.err) {
			return diag.Wrap(fmt.Errorf("%s, which nobody has agreed to", c), diag.Usage, "say --yes, or max_chip_hours: in the spec; nothing was asked for")
		}
		fmt.Fprintf(a.err, "%s\nGo on? [y/N] ", c)
		answer, _ := bufio.NewReader(a.in).ReadString('\n') // no answer is none
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return diag.Errorf(diag.Usage, "nothing was asked for")
		}
	}
	return t.Pool().Approve(max(c.Most, c.Worst), tuning.UserName())
}
