package slurm

import (
	"errors"
	"os/exec"
	"regexp"
	"strings"

	"vtune/jobs"
)

// submittedID is what sbatch --parsable prints: the job's id, and on a federation its cluster.
var submittedID = regexp.MustCompile(`^([0-9]+)(?:;(\S+))?$`)

// parseSubmitted finds the id in the last line that is one: sites print banners before it.
func parseSubmitted(stdout string) (jobs.Handle, bool) {
	var h jobs.Handle
	found := false
	for line := range strings.Lines(stdout) {
		if m := submittedID.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			h, found = jobs.Handle{ID: m[1], Cluster: m[2]}, true
		}
	}
	return h, found
}

// submitted is what an answer of sbatch means. Whatever does not clearly say that nothing was queued is ambiguous: a second
// submission costs an allocation, a second look costs nothing.
func submitted(r result) (jobs.Handle, error) {
	h, found := parseSubmitted(r.stdout)
	var exit *exec.ExitError
	switch {
	case found && !r.failed():
		return h, nil
	case r.says("temporarily unable to accept job", "job submit limit") && !refusedLimit(r):
		// sbatch waits and tries again by itself when the controller is full, until it is killed here. Should it have got
		// through in the last moment, the caller finds the job by its name when it tries again.
		return jobs.Handle{}, r.as(jobs.ErrBackpressure)
	case r.ended || r.says("timed out", "zero bytes were transmitted", "unexpected message", "transport endpoint"):
		return jobs.Handle{}, r.as(jobs.ErrAmbiguous)
	case errors.Is(r.err, exec.ErrNotFound) || r.says(
		"unable to contact slurm controller", "could not establish a configuration source", "authentication error",
		"standby mode", "in the process of shutting down"):
		return jobs.Handle{}, r.as(jobs.ErrUnavailable)
	case !found && errors.As(r.err, &exit) && exit.Exited() && r.says("error:", "fatal:", "unrecognized option"):
		return jobs.Handle{}, r.as(jobs.ErrRefused)
	default:
		return jobs.Handle{}, r.as(jobs.ErrAmbiguous)
	}
}

// limitName is how Slurm names the limit that a job ran into, in a line before its general remark on limits.
var limitName = regexp.MustCompile(`\b(?:QOS|Assoc)[A-Z]\w*`)

// refusedLimit tells a limit on one job, which this job will exceed for ever, from one on the number of jobs, which passes. The
// general remark is the same for both.
func refusedLimit(r result) bool {
	name := limitName.FindString(r.stderr)
	return name != "" && !strings.Contains(name, "Submit")
}

// cancelled is what an answer of scancel means. Jobs that are gone or going are what was asked for; older versions say nothing
// of them, newer ones fail.
func cancelled(r result) error {
	if !r.failed() {
		return nil
	}
	if errors.Is(r.err, exec.ErrNotFound) || r.ended || r.says("unable to contact", "timed out", "configuration source", "authentication error") {
		return r.unavailable()
	}
	for line := range strings.Lines(r.stderr) {
		line = strings.ToLower(strings.TrimSpace(line))
		if line != "" && !strings.Contains(line, "invalid job id") && !strings.Contains(line, "already completing or completed") {
			return r.as(jobs.ErrRefused)
		}
	}
	return nil
}
