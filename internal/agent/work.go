package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"vtune/internal/aboard"
	"vtune/internal/fsx"
	"vtune/internal/hardware"
	"vtune/internal/ledger"
	"vtune/internal/proc"
	"vtune/internal/record"
	"vtune/internal/serving"
)

// work is one attempt under way.
type work struct {
	c          Config
	a          record.Assignment
	dir        record.AttemptDir
	mark       string
	supervisor *proc.Supervisor
	result     record.Result
	ledger     *ledger.Ledger
	events     int
	secrets    []string
	warm       *serving.Server // up already, or to be left up for what rides on this job
	leave      bool            // a rider follows: leave the server up
	beside     aboard.Job      // among those of its crew
	lacks      map[string]bool // flags that the server refused and that vtune can do without
	health     *hardware.Watch // of the node
	checked    bool            // the node was, or it was tried
}

// newWork is an attempt that has not begun. The mark is that of the job whose process does it.
func newWork(c Config, a record.Assignment, mark string) *work {
	now := c.Now()
	w := &work{
		c: c, a: a, dir: c.Dir.Attempt(a.Kind, a.Cell.ID, a.Attempt), mark: mark, ledger: ledger.New(now), lacks: map[string]bool{},
		result: record.Result{
			Schema: record.Schema, Run: a.Run, Job: a.Job, Kind: a.Kind, Attempt: a.Attempt, Node: node(c.Env),
			SchedulerID: c.SchedulerID, Started: now,
		},
		secrets: secrets(c.Env, a.Secrets), beside: aboard.Of(c.Env, c.Dir, node(c.Env)),
	}
	if a.Kind == record.KindCell {
		w.result.Cell = a.Cell.ID
	}
	if launch := a.Server.Launch; launch != "" && !filepath.IsAbs(launch) { // the run is elsewhere on each machine of a pool
		w.a.Server.Launch = filepath.Join(string(c.Dir), launch)
	}
	w.health = w.watch()
	return w
}

// claim takes the attempt for this process. Whoever finds it taken is a second execution of the same job.
func (w *work) claim(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(string(w.dir)), 0o755); err != nil {
		return err
	}
	if err := fsx.Claim(string(w.dir)); err != nil {
		return err
	}
	found := w.health.Look(ctx)
	err := fsx.PublishJSON(w.dir.Attempt(), record.Attempt{
		Schema: record.Schema, Job: w.a.Job, Node: w.result.Node, PID: os.Getpid(), SchedulerID: w.c.SchedulerID, Step: lookup(w.c.Env, "SLURM_STEP_ID"),
		GPUs: lookup(w.c.Env, "CUDA_VISIBLE_DEVICES"), Hardware: &found, Started: w.result.Started,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(w.dir.Observations(), 0o755); err != nil {
		return err
	}
	w.event("started", "on "+w.result.Node)
	return nil
}

// event leaves a marker in events/. It is a hint that something can be read, so its loss is told and costs nothing else.
func (w *work) event(what, detail string) {
	w.events++
	w.mustNotMatter(fmt.Sprintf("%s.%03d.%s.json", w.a.Job, w.events, what), what, detail)
}

// restarted tells of a second execution. It does not know how far the first one has numbered its events, so this one stands
// beside them.
func (w *work) restarted() {
	w.mustNotMatter(fmt.Sprintf("%s.restart-%d.json", w.a.Job, os.Getpid()), "restart", "refused on "+w.result.Node)
}

func (w *work) mustNotMatter(name, what, detail string) {
	data, err := json.Marshal(record.Event{
		At: w.c.Now(), Job: w.a.Job, Kind: w.a.Kind, Cell: w.result.Cell, What: what, Detail: w.redact(detail),
	})
	if err == nil {
		err = os.MkdirAll(w.c.Dir.Events(), 0o755)
	}
	if err == nil {
		err = fsx.Publish(filepath.Join(w.c.Dir.Events(), name), append(data, '\n'), 0o644)
	}
	if err != nil {
		w.say("event %s: %v", what, err)
	}
}

// say puts a line into the job's log. A log that cannot be written stops nothing.
func (w *work) say(format string, args ...any) {
	text := w.redact(fmt.Sprintf(format, args...))
	_, _ = fmt.Fprintf(w.c.Log, "%s %s: %s\n", w.c.Now().Format("15:04:05"), w.a.Job, text)
}

// spending books the time from now on; calling what it returns goes back to what was before.
func (w *work) spending(activity string) (back func()) {
	before := w.ledger.Enter(activity, w.c.Now())
	return func() { w.ledger.Enter(before, w.c.Now()) }
}

// redact keeps secrets out of what is published and logged: a server may well print its environment when it dies.
func (w *work) redact(s string) string {
	for _, secret := range w.secrets {
		s = strings.ReplaceAll(s, secret, "[secret]")
	}
	return s
}

// logMode keeps the logs of server and client to their owner where there are secrets: what those print is theirs.
func (w *work) logMode() os.FileMode {
	if len(w.a.Secrets) > 0 {
		return 0o600
	}
	return 0o644
}

// secrets are the values of the variables that the spec names as secrets, and of those whose own names say so.
func secrets(env, declared []string) []string {
	var found []string
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		named := func(word string) bool { return strings.HasSuffix(name, word) }
		guessed := slices.ContainsFunc([]string{"TOKEN", "KEY", "SECRET", "PASSWORD"}, named) && len(value) >= 8 // a shorter value may be a word of any message
		if guessed || value != "" && slices.Contains(declared, name) {
			found = append(found, value)
		}
	}
	return found
}

// node is this machine's name; Slurm may run several nodes on one host.
func node(env []string) string {
	if name := lookup(env, "SLURMD_NODENAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

func lookup(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// utilization is what to start the server with, and the version the probe's server gave. An assignment without a value was
// written before the probe ended, so the probe's result is read now: its job's dependency may have been lifted.
func (w *work) utilization() (value float64, version string, err error) {
	r, found, err := probed(w.c.Dir)
	if err != nil {
		return 0, "", err
	}
	switch {
	case w.a.Utilization > 0:
		return w.a.Utilization, r.ServerVersion, nil
	case found && r.Outcome == record.OutcomeDone:
		return r.Utilization, r.ServerVersion, nil
	case found && (r.Outcome == record.OutcomeFailed || r.Outcome == record.OutcomeSkipped):
		return 0, "", &ending{record.OutcomeSkipped, record.CauseProbe, "the probe found no gpu-memory-utilization: " + r.Message}
	}
	// Nothing is wrong with this work, it only came too early.
	return 0, "", &ending{record.OutcomeContinue, record.CauseProbe, "the probe has no result yet"}
}

// probed is the probe's answer: the result of its newest attempt that is done, or else of its newest attempt. found is false
// when no attempt left a result.
func probed(dir record.Dir) (answer record.Result, found bool, err error) {
	attempts, err := os.ReadDir(dir.Work(record.KindProbe, ""))
	if errors.Is(err, fs.ErrNotExist) {
		return answer, false, nil
	}
	if err != nil {
		return answer, false, err
	}
	for _, entry := range attempts {
		var r record.Result
		path := record.AttemptDir(filepath.Join(dir.Work(record.KindProbe, ""), entry.Name())).Result()
		if err := fsx.ReadJSON(path, &r); err != nil || !r.Complete {
			continue // not there, or not yet
		}
		done, before := r.Outcome == record.OutcomeDone, found && answer.Outcome == record.OutcomeDone
		if !found || done && !before || done == before && r.Attempt > answer.Attempt {
			answer, found = r, true
		}
	}
	return answer, found, nil
}
