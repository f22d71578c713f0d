package slurm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"vtune/jobs"
)

// runner runs one of Slurm's commands.
type runner func(ctx context.Context, name string, args ...string) result

// result of a command: what it said and how it ended.
type result struct {
	name   string
	stdout string
	stderr string
	err    error // not nil: it could not be run, did not exit 0, or was ended
	ended  bool  // it did not answer in time and was killed
}

func (r result) failed() bool { return r.err != nil }

// words is what the command said in its own words, without the marks in front of each line.
func (r result) words() string {
	var lines []string
	for line := range strings.Lines(r.stderr) {
		line = strings.TrimSpace(line)
		for _, mark := range []string{r.name + ": ", "error: ", "fatal: "} {
			line = strings.TrimPrefix(line, mark)
		}
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// says reports whether the command's stderr has one of the given phrases, in any case.
func (r result) says(phrases ...string) bool {
	text := strings.ToLower(r.stderr)
	return slices.ContainsFunc(phrases, func(p string) bool { return strings.Contains(text, strings.ToLower(p)) })
}

// unavailable is the error of a question that got no answer.
func (r result) unavailable() error {
	return r.as(jobs.ErrUnavailable)
}

// as is the command's failure as one of the port's kinds, in the site's own words.
func (r result) as(kind error) error {
	switch words := r.words(); {
	case errors.Is(r.err, exec.ErrNotFound):
		return fmt.Errorf("%w: %w: no %s on the PATH", kind, jobs.ErrAbsent, r.name)
	case r.ended && words == "":
		return fmt.Errorf("%w: %s did not answer in time", kind, r.name)
	case words == "" && r.err != nil:
		return fmt.Errorf("%w: %s: %w", kind, r.name, r.err)
	default:
		return fmt.Errorf("%w: %s: %s", kind, r.name, words)
	}
}

// commands runs real ones.
type commands struct {
	env     []string
	timeout time.Duration
}

func (c commands) run(ctx context.Context, name string, args ...string) result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = c.env
	if name != "sbatch" {
		// Not for sbatch, whose environment is its job's. The length is that of an array's tasks, which are otherwise cut at 64
		// bytes; 0 is no limit.
		cmd.Env = append(slices.Clone(c.env), "LC_ALL=C", "SLURM_TIME_FORMAT=%s", "SLURM_BITSTR_LEN=0")
	}
	cmd.WaitDelay = time.Second // a child of the command may hold its pipes
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return result{name, stdout.String(), stderr.String(), err, err != nil && ctx.Err() != nil && !errors.Is(err, exec.ErrNotFound)}
}

// scrub takes out what would steer the commands from outside: SBATCH_* overrides a script's directives, SLURM_* is of the job
// that this process may itself run in, the others add filters to a listing or a cancellation. SLURM_CONF says which cluster.
func scrub(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		if strings.HasPrefix(e, "SLURM_CONF=") {
			return false
		}
		return slices.ContainsFunc([]string{"SBATCH_", "SLURM_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_"}, func(p string) bool {
			return strings.HasPrefix(e, p)
		})
	})
}
