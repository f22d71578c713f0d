package doctor

import (
	"fmt"
	"math"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs"
)

// span is how long a job takes, in s: when things go as the plan assumes, and when they go as badly as they may.
type span struct{ expected, worst float64 }

// longest is the span of the plan's longest job. It follows the plan's counts, and holds as they do: for an assumed throughput.
func longest(p record.Plan) span {
	if p.Policy.Method == spec.MethodVtune {
		return longestOf(p.Counts, p.Shape)
	}
	throughput := p.Counts.AssumedThroughput
	cell := span{expected: jobs.StartSeconds + float64(p.Policy.InfRequests)/throughput}
	cell.worst = cell.expected
	if len(p.Policy.SLOs()) > 0 {
		for rate := int(throughput) + 1; rate >= 1; rate-- {
			walk := float64(p.Policy.RateRequests) / float64(rate)
			cell.worst += walk
			if float64(rate) >= 0.75*throughput-1 {
				cell.expected += walk
			}
		}
	}
	starts := p.Counts.ServerStarts.Worst - p.Counts.ServerStarts.Expected + 1 // of the probe, if it passes last
	cell.worst = math.Max(cell.worst, float64(starts)*jobs.StartSeconds)
	return cell
}

// longestOf takes a job that makes every run that it may for one that is longer by as much.
func longestOf(c record.Counts, shape record.Shape) span {
	for _, s := range c.Shapes {
		if s.Shape == shape && s.BenchmarkRuns.Expected > 0 {
			expected := math.Max(s.FirstJob, s.OtherJob)
			more := float64(s.BenchmarkRuns.Worst) / float64(s.BenchmarkRuns.Expected)
			return span{expected, jobs.StartSeconds + (expected-jobs.StartSeconds)*more}
		}
	}
	return span{}
}

// time is whether a job may run as long as it must.
func (d *diagnosis) time(f Facts) {
	need := longest(f.Plan)
	given := time.Duration(f.Spec.Site.TimeSeconds()) * time.Second
	key, written := "site.time", Clock
	if f.Cloud != nil { // a job may have all of its machine's life
		given = time.Duration(f.Spec.Site.TPU.MaxRunSeconds()) * time.Second
		key, written = "site.max_run_duration", short
	}
	whose := key
	if f.Cluster != nil && len(f.Cluster.Partitions) > 0 {
		p, _ := f.Cluster.Partition(strings.Split(f.Spec.Site.Partition, ",")[0])
		if given == 0 {
			given, whose = p.DefaultTime, "the default of partition "+p.Name
		}
		if given == 0 {
			given, whose = p.MaxTime, "the limit of partition "+p.Name
		}
		most, of := p.MaxTime, "partition "+p.Name
		if t, other := wall(*f.Cluster, f.Spec.Site, f.Spec.Site.Account); t > 0 && (most == 0 || t < most) {
			most, of = t, other
		}
		if most > 0 && given > most {
			d.fail("time", "write at most "+Clock(most)+" as site.time", "%s is %s, and %s allows %s", whose, Clock(given), of, Clock(most))
			return
		}
	}
	says := fmt.Sprintf("the longest job takes %s, %s at worst, if a cell does %g req/s (--assume-throughput)",
		minutes(need.expected), minutes(need.worst), f.Plan.Counts.AssumedThroughput)
	enough := written(time.Duration(math.Ceil(need.worst/60)) * time.Minute)
	switch {
	case given == 0:
		d.ok("time", "no limit; %s", says)
	case given.Seconds() < need.expected:
		d.fail("time", "write "+enough+" as "+key, "%s is %s; %s", whose, written(given), says)
	case given.Seconds() < need.worst:
		d.warn("time", "write "+enough+" as "+key+"; a job that is cut off goes on in another, which starts a server anew",
			"%s is %s; %s", whose, written(given), says)
	default:
		d.ok("time", "%s is %s; %s", whose, written(given), says)
	}
}

func minutes(seconds float64) string { return fmt.Sprintf("%.0f min", math.Ceil(seconds/60)) }
