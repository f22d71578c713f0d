// Package doctor says what will go wrong before it does: it turns what was found out about a cluster, a spec and a node into
// lines that are ok, warn or fail, each with its remedy. Pure: who gathers the facts is internal/exam and cmd/vtune.
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"vtune/internal/record"
	"vtune/internal/spec"
	"vtune/jobs/slurm"
)

// Level of a line.
type Level string

const (
	OK   Level = "ok"
	Warn Level = "warn" // a run may work, or work worse
	Fail Level = "fail" // a run would not work
)

// Line is the outcome of one check.
type Line struct {
	Check  string `json:"check"`
	Level  Level  `json:"level"`
	Says   string `json:"says"`
	Remedy string `json:"remedy,omitempty"`
}

// Facts are what the lines rest on. Without a spec only the cluster is looked at.
type Facts struct {
	Scheduler string         `json:"scheduler"`
	Spec      *spec.Spec     `json:"-"`
	Plan      record.Plan    `json:"-"`
	Cluster   *slurm.Cluster `json:"-"`
	// Missing are commands of Slurm that are not there, Unreachable what its controller's silence was put into words as, and
	// AnswerSeconds how long its answer took.
	Missing       []string `json:"missing_commands,omitempty"`
	Unreachable   string   `json:"unreachable,omitempty"`
	AnswerSeconds float64  `json:"controller_answer_s,omitempty"`
	Slots         int      `json:"slots,omitempty"` // of the local scheduler
	Base          *Disk    `json:"base,omitempty"`
	BaseProblem   string   `json:"base_problem,omitempty"`
	Secrets       Problem  `json:"-"`
	Image         string   `json:"image_problem,omitempty"` // what is wrong with the container's image, seen from here
	Job           *Job     `json:"job,omitempty"`           // nil: none was asked for
	Cloud         *Cloud   `json:"cloud,omitempty"`         // of scheduler tpu
}

// Problem is something that went wrong, in words; empty: nothing did.
type Problem struct {
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

// Diagnose is every line, from the cluster's own to what the job found.
func Diagnose(f Facts) []Line {
	var d diagnosis
	if f.Scheduler == "slurm" {
		d.cluster(f)
	}
	if f.Spec == nil {
		return d.lines
	}
	if f.Scheduler == "slurm" && f.Cluster != nil {
		d.fit(*f.Cluster, f.Spec, f.Plan)
	}
	if f.Scheduler == "local" {
		d.slots(f)
	}
	if f.Cloud != nil {
		d.cloud(f)
	}
	d.time(f)
	d.here(f)
	if f.Cloud != nil {
		d.ok("job", "none is sent, since a machine costs; what only a machine can tell (its image, vLLM, the model) the run's first one does")
	}
	if f.Job != nil {
		d.job(f.Spec, biggest(f.Plan).GPUs, *f.Job)
	}
	return d.lines
}

// Failed reports whether a run would not work.
func Failed(lines []Line) bool {
	return slices.ContainsFunc(lines, func(l Line) bool { return l.Level == Fail })
}

// Blocked reports whether something has failed without which no job can run.
func Blocked(lines []Line) bool {
	return slices.ContainsFunc(lines, func(l Line) bool {
		return l.Level == Fail && slices.Contains([]string{"slurm", "partition", "account", "qos", "nodes", "base", "secrets"}, l.Check)
	})
}

// diagnosis collects lines.
type diagnosis struct{ lines []Line }

func (d *diagnosis) ok(check, format string, args ...any) {
	d.lines = append(d.lines, Line{check, OK, fmt.Sprintf(format, args...), ""})
}

func (d *diagnosis) warn(check, remedy, format string, args ...any) {
	d.lines = append(d.lines, Line{check, Warn, fmt.Sprintf(format, args...), remedy})
}

func (d *diagnosis) fail(check, remedy, format string, args ...any) {
	d.lines = append(d.lines, Line{check, Fail, fmt.Sprintf(format, args...), remedy})
}

// Text is the lines as a person reads them, in columns, each remedy below its line.
func Text(lines []Line) string {
	width := 0
	for _, l := range lines {
		width = max(width, len(l.Check))
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%-5s %-*s  %s\n", l.Level, width, l.Check, l.Says)
		if l.Remedy != "" {
			fmt.Fprintf(&b, "      remedy: %s\n", l.Remedy)
		}
	}
	return b.String()
}

// these is a list in words: the first few, and how many more there are.
func these(names []string) string {
	const most = 6
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// count is a number with its noun.
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
