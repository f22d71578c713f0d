package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

const crashSpec = `model: llama-8b
max_model_len: 2048
workload: {input_len: 1800, output_len: 4}
grid: {max_num_seqs: [8], max_num_batched_tokens: [2048]}
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "400", VLLM_SIM_HARDWARE: h200-like}
`

// victim is a process to kill, told from the others by what stands in its command line.
type victim struct {
	name string
	role string
}

// Whichever process is killed, at whichever step of its protocol, the same commands run again bring the run to its right end:
// every job ran, none twice at the scheduler, the rows are those of an undisturbed run, and no process is left.
func TestAProcessMayBeKilledAtEveryStep(t *testing.T) {
	for _, v := range []victim{
		{"submit", "submit"}, {"collect", "collect"},
		{"agent of the probe", "probe-1/assignment.json"}, {"agent of a cell", "s8-t2048-1/assignment.json"}, {"agent of the profile", "profile-1/assignment.json"},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			for step := 1; ; step++ {
				if !killedAt(t, v, step) {
					if step < 10 {
						t.Errorf("only %d steps: the crash points are gone", step-1)
					}
					t.Logf("%d steps", step-1)
					return
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// killedAt plays one run in which v dies at the given step. It reports whether v got that far.
func killedAt(t *testing.T, v victim, step int) (killed bool) {
	t.Helper()
	base, err := os.MkdirTemp("", "vtcrash-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if !t.Failed() {
			os.RemoveAll(base)
		}
	}()
	spec, once := filepath.Join(base, "spec.yaml"), filepath.Join(base, "killed")
	if err := os.WriteFile(spec, []byte(crashSpec), 0o644); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(),
		"PATH="+programs+":"+os.Getenv("PATH"), "VLLM_SIM_GPU_DIR="+filepath.Join(base, "gpus"),
		"VTUNE_CRASH_AT="+fmt.Sprint(step), "VTUNE_CRASH_ROLE="+v.role, "VTUNE_CRASH_ONCE="+once)
	where := fmt.Sprintf("%s killed at step %d", v.name, step)
	attempt(t, where, env, "submit", spec)
	attempt(t, where, env, "submit", spec)
	dirs, _ := filepath.Glob(filepath.Join(base, "auto-benchmark", "*", "run.json"))
	if len(dirs) != 1 {
		t.Errorf("%s: %d whole run directories in %s", where, len(dirs), base)
		return true
	}
	dir := record.Dir(filepath.Dir(dirs[0]))
	attempt(t, where, env, "collect", "--watch", "--grace", "50ms", string(dir))
	attempt(t, where, env, "collect", "--watch", "--grace", "50ms", string(dir))
	endedWell(t, where, dir)
	_, err = os.Stat(once)
	return err == nil
}

// attempt runs a command that may be killed on the way, and nothing else may happen to it.
func attempt(t *testing.T, where string, env []string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	c := exec.Command(filepath.Join(programs, "vtune-crash"), args...)
	c.Env, c.Stdout, c.Stderr = env, &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	bound := time.AfterFunc(2*time.Minute, func() { c.Process.Signal(syscall.SIGQUIT) })
	err := c.Wait()
	bound.Stop()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL) {
		t.Errorf("%s: %s: %v\n%s", where, strings.Join(args, " "), err, said.String())
	}
}

func endedWell(t *testing.T, where string, dir record.Dir) {
	t.Helper()
	var st record.State
	if err := fsx.ReadJSON(dir.State(), &st); err != nil || st.Phase != record.PhaseOver || st.Best == nil {
		t.Errorf("%s: %s, best %+v, %v (%s)", where, st.Phase, st.Best, err, dir)
		return
	}
	text, err := os.ReadFile(dir.ResultTxt())
	rows := strings.Split(strings.TrimSpace(string(text)), "\n")
	if err != nil || len(rows) != 3 || !strings.Contains(rows[1], "request_rate: inf") || !strings.Contains(rows[2], "profile saved in") {
		t.Errorf("%s: result.txt\n%s", where, text)
	}
	names := map[string]int{}
	requests, _ := filepath.Glob(filepath.Join(dir.Scheduler(), "requests", "*.json"))
	for _, path := range requests {
		var r struct{ Name string }
		if err := fsx.ReadJSON(path, &r); err != nil {
			t.Errorf("%s: %v", where, err)
		}
		if names[r.Name]++; names[r.Name] > 1 {
			t.Errorf("%s: %s is at the scheduler twice", where, r.Name)
		}
	}
	if len(names) < 3 {
		t.Errorf("%s: the scheduler has %v", where, names)
	}
	nothingLeft(t, where, dir)
}

// nothingLeft looks for the marks of the run's attempts in every process of this machine. The last ones may be on their way out.
func nothingLeft(t *testing.T, where string, dir record.Dir) {
	t.Helper()
	var left []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if left = marked(string(dir)); len(left) == 0 {
			return
		}
	}
	t.Errorf("%s: left behind: %v", where, left)
}

func marked(dir string) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, e := range strings.Split(string(data), "\x00") {
			if strings.HasPrefix(e, "VTUNE_ATTEMPT=") && strings.Contains(e, dir) {
				cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
				found = append(found, filepath.Base(filepath.Dir(path))+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
			}
		}
	}
	return found
}
