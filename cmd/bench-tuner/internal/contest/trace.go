package contest

import (
	"fmt"
	"strings"

	"vtune/cmd/bench-tuner/internal/world"
	"vtune/internal/record"
)

// note keeps a run for the record.
func (t *tuning) note(o record.Observation, run world.Run) {
	t.result.Loads = append(t.result.Loads, Load{
		Cell: o.Cell, Load: o.Load, Emulated: o.Emulated, Verdict: o.Verdict, Requests: len(run.Requests), Seconds: run.Seconds, Reason: o.Detail,
	})
	if !t.verbose {
		return
	}
	var b strings.Builder
	where := o.Cell
	if o.Emulated {
		where += "*"
	}
	fmt.Fprintf(&b, "    load %-12s %-8s rate %-9.4g %-7s n %4d %7.1f s  tput %-8.4g P50 %-7.0f P99 %-7.0f peak %d", where, o.Load.Purpose, float64(o.Load.Rate),
		o.Verdict, len(run.Requests), run.Seconds, o.Metrics.RequestThroughput, o.Metrics.E2EL.P50, o.Metrics.E2EL.P99, run.Peak)
	for _, s := range o.Standings {
		fmt.Fprintf(&b, "  share %.4f [%.4f %.4f] at %.0f [%.0f %.0f]", s.Share.Value, s.Share.Low, s.Share.High, s.At.Value, s.At.Low, s.At.High)
	}
	if o.Steady != nil {
		fmt.Fprintf(&b, "  eff %.0f steady %.4g [%.4g %.4g]", o.Steady.Effective, o.Steady.Throughput.Value, o.Steady.Throughput.Low, o.Steady.Throughput.High)
	}
	fmt.Fprintf(&b, "  %s", o.Detail)
	t.tracef("%s", b.String())
}
