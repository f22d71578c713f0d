// Package jobstest is the conformance suite of jobs.Scheduler: what the port promises, asked of a real scheduler from outside,
// through its jobs' files and its own listing. It knows no scheduler; what differs between them stands in Env.
package jobstest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vtune/internal/record"
	"vtune/jobs"
)

// Env is a scheduler under test, and what the suite must know of it.
type Env struct {
	Scheduler jobs.Scheduler
	// Dir is where scripts, logs and what jobs write are put; it must be seen by the jobs.
	Dir string
	// Wait bounds every wait for a condition, from the submission of a job to its end.
	Wait time.Duration
	// Directives are the lines that ask for resources in a script, right after its first; nil: Request.Resources says it.
	Directives func(record.Resources) []string
	// TaskVariable holds a task's number in the environment of an array's script. Needed if the scheduler has arrays.
	TaskVariable string
	// GPUs is how many GPUs one job is made to ask for, and Together how many such jobs run at once; 0: it deals out none.
	GPUs, Together int
	// BadScript is one that the scheduler refuses; nil: it takes any.
	BadScript []byte
	// NoTimeLimit says why the time limit is not tested; empty: it is.
	NoTimeLimit string
	// Nodes are the names of two or more that a small job can run on; nil: the scheduler has no nodes to choose from.
	Nodes []string
	// NoBegin says why a job cannot begin later; such a request must be refused then. Empty: it can.
	NoBegin string
	// NoDependencies says why a job waits for no other, which the capabilities must say too; such a request must be refused then.
	// Empty: it does.
	NoDependencies string
	// NoLog says why what a script prints does not come to Request.Log; empty: it does.
	NoLog string
	// Elsewhere says why a script does not start in Request.WorkDir with the submitter's environment; empty: it does.
	Elsewhere string
	// Requeue makes the scheduler put a running job back into the queue by itself; nil: it never does.
	Requeue func(jobs.Handle)
}

// Run runs the suite; newScheduler is called for each of its tests, which run at the same time. Schedulers of one call may
// share a cluster.
func Run(t *testing.T, newScheduler func(t *testing.T) Env) {
	for name, test := range map[string]func(*bench){
		"a job runs and is listed as completed under its name":       testCompletes,
		"a failing script is listed as failed with its exit code":    testFails,
		"output and errors go to the log":                            testLog,
		"a script starts in its directory with its environment":      testEnvironment,
		"a run that nobody submitted has no jobs":                    testUnknownRun,
		"names come back exactly and only for their run":             testNames,
		"after-ok starts a dependent once its parent succeeded":      testAfterOK,
		"after-ok never starts the dependent of a failed job":        testAfterOKFailed,
		"after-any starts a dependent whatever became of its parent": testAfterAny,
		"each task of an array runs once and is listed":              testArray,
		"an array's throttle holds":                                  testThrottle,
		"an array waits for the job it depends on":                   testArrayAfter,
		"an array that waits is listed and cancelled by task":        testArrayWaits,
		"a dependency on one task ignores the others":                testAfterTask,
		"cancelling ends the given jobs and no others":               testCancel,
		"cancelling what is over or unknown is no error":             testCancelNothing,
		"a script that the scheduler will never take is refused":     testRefused,
		"jobs that run at the same time have different GPUs":         testGPUs,
		"a job is ended at its time limit":                           testTimeLimit,
		"a job runs on no node that it excludes":                     testExclude,
		"a job does not begin before its time":                       testBegin,
		"a job that was put back into the queue says so":             testRestarts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newScheduler(t)
			dir, err := os.MkdirTemp(e.Dir, "t") // and so a run that no other test has
			if err != nil {
				t.Fatal(err)
			}
			test(&bench{T: t, Env: e, run: filepath.Base(dir)})
		})
	}
}

// bench is one test at work.
type bench struct {
	*testing.T
	Env
	run  string
	seen []jobs.Handle
}

func (b *bench) path(name string) string { return filepath.Join(b.Dir, b.run, name) }

// request is a job of this test's run whose script has the given body.
func (b *bench) request(unit, body string) jobs.Request {
	return b.requestFor(unit, body, record.Resources{})
}

func (b *bench) requestFor(unit, body string, res record.Resources) jobs.Request {
	b.Helper()
	lines := []string{"#!/bin/bash"}
	if b.Directives != nil {
		lines = append(lines, b.Directives(res)...)
	}
	lines = append(lines, body)
	script := b.path(filepath.Join("jobs", unit, "script"))
	b.write(script, []byte(strings.Join(lines, "\n")+"\n"))
	return jobs.Request{
		Run: b.run, Name: record.JobName(b.run, unit), Script: script, Log: b.path(filepath.Join("jobs", unit, "log")),
		WorkDir: b.path(""), Resources: res,
	}
}

func (b *bench) write(path string, data []byte) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o755); err != nil {
		b.Fatal(err)
	}
}

// submit submits and sees to it that the job does not outlive the test.
func (b *bench) submit(r jobs.Request, after ...jobs.Dependency) jobs.Handle {
	b.Helper()
	r.After = after
	h, err := b.Scheduler.Submit(b.Context(), r)
	if err != nil {
		b.Fatalf("submit %s: %v", r.Name, err)
	}
	if b.seen == nil {
		b.Cleanup(func() {
			if err := b.Scheduler.Cancel(context.WithoutCancel(b.Context()), b.seen); err != nil {
				b.Errorf("clean up: %v", err)
			}
		})
	}
	b.seen = append(b.seen, h)
	return h
}

func on(h jobs.Handle, when record.When) jobs.Dependency {
	return jobs.Dependency{On: h, Task: -1, When: when}
}

// list is what the scheduler says of this test's run.
func (b *bench) list() []jobs.Status {
	b.Helper()
	all, err := b.Scheduler.List(b.Context(), b.run)
	if err != nil {
		b.Fatalf("list: %v", err)
	}
	return all
}

// statuses are those of one unit, by task (-1 for a single job).
func (b *bench) statuses(h jobs.Handle) map[int]jobs.Status {
	b.Helper()
	found := map[int]jobs.Status{}
	for _, st := range b.list() {
		if st.ID != h.ID {
			continue
		}
		if twice, ok := found[st.Task]; ok {
			b.Fatalf("task %d of %s is listed twice: %+v and %+v", st.Task, h.ID, twice, st)
		}
		found[st.Task] = st
	}
	return found
}

// await polls until the condition holds.
func (b *bench) await(what string, holds func() bool) {
	b.Helper()
	tooLong := time.After(b.Wait)
	for !holds() {
		select {
		case <-tooLong:
			b.Fatalf("%s: not within %s; the scheduler lists %+v", what, b.Wait, b.list())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// awaitEnd waits until every task of a unit (1 for a single job) is over, and returns them.
func (b *bench) awaitEnd(h jobs.Handle, tasks int) map[int]jobs.Status {
	b.Helper()
	var found map[int]jobs.Status
	b.await("the end of "+h.ID, func() bool {
		found = b.statuses(h)
		if len(found) != tasks {
			return false
		}
		for _, st := range found {
			if !st.State.Ended() {
				return false
			}
		}
		return true
	})
	return found
}

func (b *bench) awaitState(h jobs.Handle, want jobs.JobState) jobs.Status {
	b.Helper()
	var st jobs.Status
	b.await(fmt.Sprintf("%s to be %s", h.ID, want), func() bool {
		st = b.statuses(h)[-1]
		return st.State == want
	})
	return st
}

func (b *bench) exists(name string) bool {
	_, err := os.Stat(b.path(name))
	return err == nil
}

func (b *bench) awaitFile(name string) {
	b.Helper()
	b.await("file "+name, func() bool { return b.exists(name) })
}

func (b *bench) text(name string) string {
	b.Helper()
	data, err := os.ReadFile(b.path(name))
	if err != nil {
		b.Fatal(err)
	}
	return string(data)
}

// until is bash that waits for a file, and gives up before it becomes a process that nobody ends.
func until(file string) string {
	return fmt.Sprintf("for ((i = 0; i < 1200; i++)); do [ -e %s ] && break; sleep 0.1; done", file)
}
