package record

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// Dir is a run directory. Its methods are the only place where file names of the contract are written down.
type Dir string

func (d Dir) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

func (d Dir) Run() string         { return d.path("run.json") }
func (d Dir) Spec() string        { return d.path("spec.yaml") }
func (d Dir) Effective() string   { return d.path("effective.yaml") }
func (d Dir) Plan() string        { return d.path("plan.json") }
func (d Dir) Agent() string       { return d.path("bin", "vtune") }
func (d Dir) Launch() string      { return d.path("bin", "launch") } // starts a server on every node of its job
func (d Dir) Secrets() string     { return d.path("secrets.env") }
func (d Dir) Environment() string { return d.path("environment.json") } // 0600: the submitter's, for jobs that others submit
func (d Dir) Templates() string   { return d.path("templates") }
func (d Dir) Cancelled() string   { return d.path("cancelled.json") }
func (d Dir) Collector() string   { return d.path("collector.lock") }
func (d Dir) Chain() string       { return d.path("chain.json") }
func (d Dir) Scheduler() string   { return d.path("scheduler") } // the local scheduler's own folder

func (d Dir) Jobs() string                 { return d.path("jobs") }
func (d Dir) Job(id string) string         { return d.path("jobs", id) }
func (d Dir) Script(id string) string      { return d.path("jobs", id, "script") }
func (d Dir) Assignment(id string) string  { return d.path("jobs", id, "assignment.json") }
func (d Dir) Intent(unit string) string    { return d.path("jobs", unit, "intent.json") }
func (d Dir) Submitted(unit string) string { return d.path("jobs", unit, "submitted.json") }
func (d Dir) Tasks(unit string) string     { return d.path("jobs", unit, "tasks") } // array: line i+1 is the job of task i
func (d Dir) Ended(job string) string      { return d.path("jobs", job, "ended.json") }
func (d Dir) JobLog(job string) string     { return d.path("jobs", job, "log") } // stdout and stderr of the script

func (d Dir) Events() string     { return d.path("events") }
func (d Dir) State() string      { return d.path("state.json") }
func (d Dir) ResultTxt() string  { return d.path("result.txt") }
func (d Dir) ResultJSON() string { return d.path("result.json") }
func (d Dir) Report() string     { return d.path("report.html") }
func (d Dir) Profile() string    { return d.path("profile") }
func (d Dir) Cells() string      { return d.path("cells") }

// Bests is the folder in which cells tell each other what they hold; Best is one attempt's file in it.
func (d Dir) Bests() string          { return d.path("best") }
func (d Dir) Best(job string) string { return d.path("best", job+".json") }

// Repeats is the folder of what is asked to be measured again; Repeat is the file of one such wish.
func (d Dir) Repeats() string { return d.path("repeats") }

func (d Dir) Repeat(cell string, from int) string {
	return d.path("repeats", fmt.Sprintf("%s-%d.json", cell, from))
}

// Work is the folder of all attempts of one unit of work: probe, profiling, cells/<cell>, or links.
func (d Dir) Work(k Kind, cell string) string {
	switch k {
	case KindCell:
		return d.path("cells", cell)
	case KindProfile:
		return d.path("profiling")
	case KindCollect:
		return d.path("links")
	default:
		return d.path("probe")
	}
}

// Attempt is the folder of one attempt; making it is the claim to run it.
func (d Dir) Attempt(k Kind, cell string, n int) AttemptDir {
	return AttemptDir(filepath.Join(d.Work(k, cell), strconv.Itoa(n)))
}

// Rel is path relative to the run, for records that outlive a moved directory.
func (d Dir) Rel(path string) string {
	rel, err := filepath.Rel(string(d), path)
	if err != nil {
		return path
	}
	return rel
}

// AttemptDir is the folder of one attempt.
type AttemptDir string

func (a AttemptDir) path(parts ...string) string {
	return filepath.Join(append([]string{string(a)}, parts...)...)
}

func (a AttemptDir) Attempt() string      { return a.path("attempt.json") }
func (a AttemptDir) Result() string       { return a.path("result.json") }
func (a AttemptDir) Health() string       { return a.path("health.json") }
func (a AttemptDir) ServerLog() string    { return a.path("server.log") }
func (a AttemptDir) Observations() string { return a.path("observations") }
func (a AttemptDir) Trace() string        { return a.path("trace") }

// ProbeLog is the server's log of one step of the probe.
func (a AttemptDir) ProbeLog(util float64) string {
	return a.path(fmt.Sprintf("server-%.2f.log", util))
}

// Observation n of the attempt, counting from 1.
func (a AttemptDir) Observation(n int) string {
	return a.path("observations", fmt.Sprintf("%03d.json", n))
}

// BenchLog and BenchJSON are the load client's own output for observation n.
func (a AttemptDir) BenchLog(n int, r Rate) string {
	return a.path(fmt.Sprintf("bench-%03d-%s.log", n, r))
}

func (a AttemptDir) Timelines(n int, r Rate) string {
	return a.path(fmt.Sprintf("bench-%03d-%s.timelines", n, r))
}

func (a AttemptDir) BenchJSON(n int, r Rate) string {
	return a.path(fmt.Sprintf("bench-%03d-%s.json", n, r))
}

// JobName is the name a unit bears at the scheduler.
func JobName(run, unit string) string { return "vt-" + run + "-" + unit }

// NamePrefix is what every name of a run's units begins with.
func NamePrefix(run string) string { return "vt-" + run + "-" }
