package table

import (
	"fmt"
	"strings"
)

const (
	goalRegret = 0.02
	goalNear   = 0.95 // of the scenarios
	goalFalse  = 0.01
)

// Goals says of each thing that vtune is held to whether it is so.
func Goals(rows []Row) []string {
	var out []string
	say := func(ok bool, format string, args ...any) {
		word := "FAIL"
		if ok {
			word = "pass"
		}
		out = append(out, word+"  "+fmt.Sprintf(format, args...))
	}
	for i, p := range [][]line{linesOf(rows, limited), linesOf(rows, unlimited)} {
		for _, l := range p {
			switch {
			case !strings.Contains(l.method, "-"):
				continue
			case i == 0 && strings.HasPrefix(l.method, "columns-"):
				say(l.ratio[0] <= 0.1, "%s: accelerator-seconds with a limit %.3f of auto_tune's at the median, at most 0.100", l.method, l.ratio[0])
				say(l.ratio[1] <= 0.2, "%s: accelerator-seconds with a limit %.3f of auto_tune's at P95, at most 0.200", l.method, l.ratio[1])
			case i == 1 && strings.HasSuffix(l.method, "-model"):
				say(l.ratio[0] <= 0.5, "%s: accelerator-seconds without a limit %.3f of auto_tune's at the median, at most 0.500", l.method, l.ratio[0])
			}
			where := []string{"with", "without"}[i]
			say(l.near >= goalNear, "%s: regret %s a limit at most 2 %% in %.1f %% of scenarios, at least 95 %%", l.method, where, 100*l.near)
			if i == 0 {
				share := 0.0
				if l.answers > 0 {
					share = float64(l.wrong) / float64(l.answers)
				}
				say(share <= goalFalse, "%s: false accepts %.1f %%, at most 1 %%", l.method, 100*share)
			}
		}
	}
	return out
}
