package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/jobs"
)

// JobVariable tells a job its id.
const JobVariable = "VTUNE_LOCAL_JOB"

// cancelPoll is how often a runner looks for its job's cancellation.
const cancelPoll = 100 * time.Millisecond

// RunJob runs one job to its end and records it: the script in a process group of its own, its output appended to the log, a
// SIGUSR2 some time before the time limit, SIGTERM and SIGKILL at the limit or when the job is cancelled. Nothing that the job
// started is left when it returns. It returns at once when another process runs the job. The end of ctx stops the job as a
// failing node would.
func RunJob(ctx context.Context, dir string, id int) error {
	r := &run{dir: folder(dir), id: id}
	if err := r.load(); err != nil {
		return fmt.Errorf("local job %d: %w", id, err)
	}
	supervisor, err := proc.Supervise(r.start.Token)
	if err != nil {
		return fmt.Errorf("local job %d: %w", id, err)
	}
	self, err := proc.Self()
	if err != nil {
		return fmt.Errorf("local job %d: %w", id, err)
	}
	switch err := publishOnce(r.dir.runner(id), runner{Schema: schema, Identity: self, At: time.Now().UTC()}); {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("local job %d: %w", id, err)
	}
	e := r.execute(ctx)
	grace := min(leftoverGrace, r.settings.grace())
	sweeping, stop := context.WithTimeout(context.WithoutCancel(ctx), grace+sweepPatience)
	defer stop()
	if _, err := supervisor.Sweep(sweeping, grace); err != nil {
		e.Reason = strings.TrimPrefix(e.Reason+"; "+err.Error(), "; ")
	}
	if err := publishExit(r.dir, id, e); err != nil {
		return fmt.Errorf("local job %d: %w", id, err)
	}
	return nil
}

// run is one job and what it may use.
type run struct {
	dir      folder
	id       int
	settings settings
	request  request
	start    start
}

func (r *run) load() error {
	return errors.Join(
		fsx.ReadJSON(r.dir.settings(), &r.settings),
		fsx.ReadJSON(r.dir.request(r.id), &r.request),
		fsx.ReadJSON(r.dir.start(r.id), &r.start),
	)
}

// execute runs the script and says how it ended.
func (r *run) execute(ctx context.Context) exit {
	if r.cancelled() {
		return exit{State: jobs.Cancelled, Reason: reasonCancelled}
	}
	script, err := r.launch()
	if err != nil {
		return exit{State: jobs.NodeFail, Reason: "launch failed: " + err.Error()}
	}
	fsx.Point("local.launched", r.dir.start(r.id))
	return r.await(ctx, script)
}

func (r *run) launch() (*proc.Process, error) {
	argv, err := interpreter(r.request.Script)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(r.request.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return proc.Start(proc.Spec{
		Argv: argv, Env: r.environment(os.Environ()), Dir: r.request.WorkDir, Stdout: log, Stderr: log,
		Mark: r.start.Token, DieWithCaller: true,
	})
}

// environment hides the GPUs of other slots; from a job without GPUs, all of them.
func (r *run) environment(env []string) []string {
	var visible []string
	if r.request.Resources.GPUs > 0 {
		for _, slot := range r.start.Slots {
			visible = append(visible, r.settings.Devices[slot])
		}
	}
	env = slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		return strings.HasPrefix(entry, visibleDevices+"=") || strings.HasPrefix(entry, JobVariable+"=")
	})
	return append(env, visibleDevices+"="+strings.Join(visible, ","), JobVariable+"="+strconv.Itoa(r.id))
}

func (r *run) cancelled() bool {
	_, err := os.Stat(r.dir.cancel(r.id))
	return err == nil
}

// await waits for the script's end, and brings it about when it must.
func (r *run) await(ctx context.Context, script *proc.Process) exit {
	limit := time.Duration(r.request.Resources.Seconds) * time.Second
	var warning, deadline <-chan time.Time // nil, which never fires, without a limit
	if limit > 0 {
		warning, deadline = time.After(limit-lead(limit)), time.After(limit)
	}
	look := time.NewTicker(cancelPoll)
	defer look.Stop()
	warned := false
	for {
		select {
		case <-script.Done():
			how := script.Wait()
			if warned && how.Signal == syscall.SIGUSR2 {
				return ended(jobs.TimedOut, "ended by the warning before its time limit", how)
			}
			return judge(how)
		case <-warning:
			warned = true
			// A script that has just ended needs no warning.
			_ = script.Signal(syscall.SIGUSR2)
		case <-deadline:
			return r.stop(ctx, script, jobs.TimedOut, fmt.Sprintf("time limit of %s", limit))
		case <-look.C:
			if r.cancelled() {
				return r.stop(ctx, script, jobs.Cancelled, "cancelled")
			}
			if _, err := os.Stat(r.dir.runner(r.id)); errors.Is(err, fs.ErrNotExist) {
				return r.stop(ctx, script, jobs.NodeFail, errRemoved.Error())
			}
		case <-ctx.Done():
			return r.stop(context.WithoutCancel(ctx), script, jobs.NodeFail, "the job's runner was told to stop")
		}
	}
}

// lead is how long before its time limit a script is warned: as long as the Slurm template asks for, but not most of a short job.
func lead(limit time.Duration) time.Duration { return min(2*time.Minute, limit/4) }

func (r *run) stop(ctx context.Context, script *proc.Process, state jobs.JobState, reason string) exit {
	how, err := script.Stop(ctx, r.settings.grace())
	if err != nil {
		reason += "; " + err.Error()
	}
	return ended(state, reason, how)
}

func judge(how proc.Exit) exit {
	if how.OK() {
		return ended(jobs.Completed, "", how)
	}
	return ended(jobs.Failed, "", how)
}

func ended(state jobs.JobState, reason string, how proc.Exit) exit {
	return exit{State: state, Reason: reason, Code: how.Code, Signal: int(how.Signal)}
}

// interpreter is the command that runs a script by its first line, as sbatch does: the file needs no permission to execute, and
// may lie on a file system that grants none. As in the kernel, all behind the interpreter is one argument.
func interpreter(script string) ([]string, error) {
	f, err := os.Open(script)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const longest = 4096
	line, err := bufio.NewReaderSize(f, longest).ReadSlice('\n')
	if len(line) == 0 && err != nil {
		return nil, fmt.Errorf("script %s: %w", script, err)
	}
	rest, is := strings.CutPrefix(string(line), "#!")
	command, argument, _ := strings.Cut(strings.TrimSpace(rest), " ")
	if !is || command == "" {
		return nil, fmt.Errorf("script %s does not begin with #! and an interpreter", script)
	}
	if argument = strings.TrimSpace(argument); argument != "" {
		return []string{command, argument, script}, nil
	}
	return []string{command, script}, nil
}
