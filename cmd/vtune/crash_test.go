package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vtune/internal/agent"
	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
)

const crashSpec = `model: llama-8b
method: auto_tune
max_model_len: 2048
workload: {input_len: 1800, output_len: 4}
grid: {max_num_seqs: [8], max_num_batched_tokens: [2048]}
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "400", VLLM_SIM_HARDWARE: h200-like}
`

// vtuneSpec has the cell's work done, and its trace made, by the probe's job.
const vtuneSpec = `model: llama-8b
max_model_len: 2048
workload: {input_len: 1800, output_len: 4, vocab_size: 32000}
grid: {max_num_seqs: [8], max_num_batched_tokens: [2048]}
test: {max_requests: 200}
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "200", VLLM_SIM_HARDWARE: h200-like}
`

// victim is a process to kill, told from the others by what stands in its command line.
type victim struct {
	name string
	role string
	spec string
	jobs int // at the scheduler, at least
}

// Whichever process is killed, at whichever step of its protocol, the same commands run again bring the run to its right end:
// every job ran, none twice at the scheduler, the rows are those of an undisturbed run, and no process is left.
func TestAProcessMayBeKilledAtEveryStep(t *testing.T) { // not beside others: what they measure would be this one's load
	for _, v := range []victim{
		{"submit", "submit", crashSpec, 3},
		{"collect", "collect", crashSpec, 3},
		{"agent of the probe", "probe-1/assignment.json", crashSpec, 3},
		{"agent of a cell", "s8-t2048-1/assignment.json", crashSpec, 3},
		{"agent of the profile", "profile-1/assignment.json", crashSpec, 3},
		{"agent of the probe with its rider", "probe-1/assignment.json", vtuneSpec, 1},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			steps := 0
			for more := true; more && !t.Failed(); {
				// A play is mostly waiting, so a batch of them goes on at once.
				plays := make([]*play, 8)
				var wg sync.WaitGroup
				for i := range plays {
					plays[i] = &play{victim: v, step: steps + i + 1}
					wg.Go(plays[i].act)
				}
				wg.Wait()
				for _, p := range plays {
					for _, err := range p.errs {
						t.Errorf("%s killed at step %d: %v", v.name, p.step, err)
					}
					if more = more && p.killed; more {
						steps++
					}
				}
			}
			if steps < 10 {
				t.Errorf("only %d steps: the crash points are gone", steps)
			}
			t.Logf("%d steps", steps)
		})
	}
}

// play is one run in which the victim dies at a step, if it gets that far.
type play struct {
	victim victim
	step   int
	killed bool
	errs   []error
}

func (p *play) errorf(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *play) act() {
	base, err := os.MkdirTemp("", "vtcrash-")
	if err != nil {
		p.errorf("%w", err)
		return
	}
	spec, once := filepath.Join(base, "spec.yaml"), filepath.Join(base, "killed")
	if err := os.WriteFile(spec, []byte(p.victim.spec), 0o644); err != nil {
		p.errorf("%w", err)
	}
	env := append(environment(base), "VTUNE_CRASH_AT="+fmt.Sprint(p.step), "VTUNE_CRASH_ROLE="+p.victim.role, "VTUNE_CRASH_ONCE="+once)
	p.attempt(env, "submit", spec)
	p.attempt(env, "submit", spec)
	dirs, _ := filepath.Glob(filepath.Join(base, "auto-benchmark", "*", "run.json"))
	if len(dirs) != 1 {
		p.errorf("%d whole run directories in %s", len(dirs), base)
		return
	}
	dir := record.Dir(filepath.Dir(dirs[0]))
	p.attempt(env, "collect", "--watch", "--grace", "50ms", string(dir))
	p.attempt(env, "collect", "--watch", "--grace", "50ms", string(dir))
	p.endedWell(dir)
	_, err = os.Stat(once)
	p.killed = err == nil
	if len(p.errs) == 0 {
		os.RemoveAll(base)
	}
}

// attempt runs a command that may be killed on the way, and nothing else may happen to it.
func (p *play) attempt(env []string, args ...string) {
	var said bytes.Buffer
	c := exec.Command(filepath.Join(programs, "vtune-crash"), args...)
	c.Env, c.Stdout, c.Stderr = env, &said, &said
	if err := c.Start(); err != nil {
		p.errorf("%w", err)
		return
	}
	bound := time.AfterFunc(3*time.Minute, func() { c.Process.Signal(syscall.SIGQUIT) })
	err := c.Wait()
	bound.Stop()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		p.errorf("%s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
}

func (p *play) endedWell(dir record.Dir) {
	var st record.State
	if err := fsx.ReadJSON(dir.State(), &st); err != nil || st.Phase != record.PhaseOver || st.Best == nil {
		p.errorf("%s, best %+v, %v (%s)", st.Phase, st.Best, err, dir)
		return
	}
	text, err := os.ReadFile(dir.ResultTxt())
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || len(rows) != 3 || !strings.Contains(rows[1], "request_rate: inf") || !strings.Contains(rows[2], "profile saved in") {
		p.errorf("result.txt\n%s", text)
	}
	names := map[string]int{}
	requests, _ := filepath.Glob(filepath.Join(dir.Scheduler(), "requests", "*.json"))
	for _, path := range requests {
		var r struct{ Name string }
		if err := fsx.ReadJSON(path, &r); err != nil {
			p.errorf("%w", err)
		}
		if names[r.Name]++; names[r.Name] > 1 {
			p.errorf("%s is at the scheduler twice", r.Name)
		}
	}
	if len(names) < p.victim.jobs {
		p.errorf("the scheduler has %v", names)
	}
	if left := remains(dir); len(left) > 0 {
		p.errorf("left behind: %v", left)
	}
}

func nothingLeft(t *testing.T, where string, dir record.Dir) {
	t.Helper()
	if left := remains(dir); len(left) > 0 {
		t.Errorf("%s: left behind: %v", where, left)
	}
}

// remains looks for what the run's jobs left on this machine. The last processes may be on their way out.
func remains(dir record.Dir) (left []string) {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if left = marked(dir); len(left) == 0 {
			return nil
		}
	}
	return left
}

// marked are the processes of any of the run's jobs, by their mark.
func marked(dir record.Dir) (found []string) {
	jobs, _ := os.ReadDir(dir.Jobs())
	for _, j := range jobs {
		left, err := proc.Marked(agent.Mark(dir, j.Name()))
		if err != nil {
			return []string{err.Error()}
		}
		for _, id := range left {
			found = append(found, fmt.Sprintf("%s of %s", id, j.Name()))
		}
	}
	return found
}
