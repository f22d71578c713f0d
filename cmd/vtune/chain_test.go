package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// chainSpec needs a collector after its cells: the profile is a follow-up.
const chainSpec = `model: llama-8b
method: auto_tune
max_model_len: 2048
workload: {input_len: 1800, output_len: 4}
grid: {max_num_seqs: [%s], max_num_batched_tokens: [2048]}
scheduler: slurm
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: %q, VLLM_SIM_HARDWARE: h200-like}
`

const (
	quick = "400"
	slow  = "0.5" // a cell takes minutes
)

// specFile writes the spec where its run goes. Slurm's jobs and other users can get there.
func specFile(t *testing.T, seqs, timeScale string) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vtchain-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("left in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	path := filepath.Join(dir, "spec.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, chainSpec, seqs, timeScale), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func handsFree(t *testing.T, env []string, timeScale string) record.Dir {
	t.Helper()
	return record.Dir(vtune(t, env, "submit", "--hands-free=1s", "--on-done", `echo "$VTUNE_PHASE" >>"$VTUNE_RUN/told"`, specFile(t, "8", timeScale)))
}

// within awaits a condition.
func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s", limit, what)
		}
	}
}

// queued are the names of a run's jobs that are at the scheduler, without those that are over.
func queued(t *testing.T, env []string, dir record.Dir) []string {
	t.Helper()
	return names(slurm(t, env, "squeue", "-h", "-r", "-t", "PENDING,RUNNING,COMPLETING", "-o", "%j"), runOf(t, dir))
}

func names(listing string, run record.Run) (own []string) {
	for name := range strings.FieldsSeq(listing) {
		if strings.HasPrefix(name, record.NamePrefix(run.ID)) {
			own = append(own, name)
		}
	}
	return own
}

func over(dir record.Dir) bool {
	var st record.State
	return fsx.ReadJSON(dir.State(), &st) == nil && st.Phase == record.PhaseOver
}

var wantRows = regexp.MustCompile(`^hash:0\.32\.0\+sim
(max_num_seqs: [48], max_num_batched_tokens: 2048, request_rate: inf, .*
)+best_max_num_seqs: [48], best_num_batched_tokens: 2048, best_throughput: [0-9.]+, profile saved in: .*/profile
$`)

// chainEnds waits for a run that nobody collects but itself, and checks all that must hold then. It returns the links that did their
// work.
func chainEnds(t *testing.T, env []string, dir record.Dir) (links int) {
	t.Helper()
	within(t, 2*time.Minute, "the run to be over", func() bool { return over(dir) })
	within(t, 20*time.Second, "the queue to be empty", func() bool { return len(queued(t, env, dir)) == 0 })
	text, err := os.ReadFile(dir.ResultTxt())
	if err != nil || !wantRows.Match(text) {
		t.Errorf("result.txt: %v\n%s", err, text)
	}
	if _, err := os.Stat(dir.Notify()); err == nil {
		if told, err := os.ReadFile(filepath.Join(string(dir), "told")); err != nil || string(told) != "over\n" {
			t.Errorf("the end was told %q, %v", told, err)
		}
	}
	all := names(slurm(t, env, "squeue", "-h", "-r", "-t", "all", "-o", "%j%K"), runOf(t, dir))
	slices.Sort(all)
	if once := slices.Compact(slices.Clone(all)); len(once) != len(all) {
		t.Errorf("jobs that went out twice: %v", all)
	}
	return oneChain(t, dir)
}

// oneChain checks that no two links of a run were at work at once, and returns how many came to their end.
func oneChain(t *testing.T, dir record.Dir) (done int) {
	t.Helper()
	var before record.Result
	for n := 1; ; n++ {
		var r record.Result
		if _, err := os.Stat(dir.Intent(record.LinkID(n))); err != nil {
			return done
		}
		if fsx.ReadJSON(dir.Attempt(record.KindCollect, "", n).Result(), &r) != nil {
			continue
		}
		if r.Started.Before(before.Ended) {
			t.Errorf("link %d began before link %d had ended", n, before.Attempt)
		}
		before = r
		done++
	}
}

// claimed waits for link n to begin.
func claimed(t *testing.T, dir record.Dir, n int) (a record.Attempt) {
	t.Helper()
	within(t, time.Minute, fmt.Sprintf("link %d to begin", n), func() bool {
		return fsx.ReadJSON(dir.Attempt(record.KindCollect, "", n).Attempt(), &a) == nil
	})
	return a
}

// Nothing is left on the login node: submit is killed when it has hardly begun, and nobody types anything any more.
func TestTheChainBringsARunToItsEndWithTheLoginSideDead(t *testing.T) {
	t.Parallel()
	env := lab(t)
	spec := specFile(t, "4, 8", quick)
	c := exec.Command(filepath.Join(programs, "vtune"), "submit", "--hands-free=1s", spec)
	c.Env = env
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var dir record.Dir
	for dead := false; !dead; time.Sleep(time.Millisecond) {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(spec), "auto-benchmark", "*", "jobs", record.LinkID(1), "submitted.json"))
		if len(found) > 0 {
			dir, dead = record.Dir(filepath.Dir(filepath.Dir(filepath.Dir(found[0])))), true
			c.Process.Kill()
		}
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("submit was not killed: %v", err)
	}
	if links := chainEnds(t, env, dir); links < 4 || links > 60 {
		t.Errorf("%d links for a run of half a minute", links)
	}
	if said := vtune(t, env, "status", string(dir)); !strings.Contains(said, "over, 2 of 2 cells") || strings.Contains(said, "collect") {
		t.Errorf("status\n%s", said)
	}
	nothingLeft(t, "after the chain", dir)
}

// A link may be killed at any step of what it does: another one goes on, and nothing is done twice.
func TestTheChainOutlivesALinkKilledAtAnyStep(t *testing.T) {
	t.Parallel()
	env := lab(t)
	const last = 42 // step of a link that submits a follow-up
	killed := map[int]bool{}
	for first := 1; first <= last && !t.Failed(); first += 22 {
		runs := map[int]record.Dir{}                                    // they go on side by side
		for step := first; step < first+22 && step <= last; step += 2 { // staging and publishing a file are two steps, and one to others
			spec := specFile(t, "8", quick)
			c := exec.Command(filepath.Join(programs, "vtune-crash"), "submit", "--hands-free=1s", spec)
			c.Env = append(slices.Clone(env), "VTUNE_CRASH_ROLE= link ", fmt.Sprintf("VTUNE_CRASH_AT=%d", step), "VTUNE_CRASH_ONCE="+onceOf(spec))
			out, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			runs[step] = record.Dir(bytes.TrimSpace(out))
		}
		for step, dir := range runs {
			chainEnds(t, env, dir)
			_, err := os.Stat(onceOf(filepath.Join(string(dir), "..", "..", "spec.yaml")))
			if killed[step] = err == nil; t.Failed() {
				t.Fatalf("killed at step %d", step)
			}
		}
	}
	if !killed[1] || !killed[25] || !killed[31] {
		t.Errorf("killed at %v: the crash points are gone, or no link submitted a follow-up", killed)
	}
}

// onceOf is the file that the first link to be killed makes.
func onceOf(spec string) string { return filepath.Join(filepath.Dir(spec), "killed") }

// cancel ends the chain with the run, and nothing comes after it.
func TestCancelEndsTheChainWithinSeconds(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := handsFree(t, env, slow)
	claimed(t, dir, 2)
	vtune(t, env, "cancel", string(dir))
	within(t, 10*time.Second, "the queue to be empty", func() bool { return len(queued(t, env, dir)) == 0 })
	oneChain(t, dir)
	nothingLeft(t, "after cancel", dir)
}

// A person may collect beside the chain: one of the two decides at a time, and the person's end is the chain's.
func TestAPersonMayCollectBesideTheChain(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := handsFree(t, env, quick)
	vtune(t, env, "collect", "--watch", string(dir))
	chainEnds(t, env, dir)
	if left := vtune(t, append(slices.Clone(env), "SLURM_CONF=/nowhere"), "collect", string(dir)); !strings.Contains(left, "winner   max_num_seqs 8") {
		t.Errorf("collect of a run that is over, without a scheduler:\n%s", left)
	}
}

// The chain waits for a controller that goes away while a link is at work, and goes on when it is back.
func TestTheChainOutlivesItsController(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := handsFree(t, env, quick)
	claimed(t, dir, 1)
	restartController(t, env, 3*time.Second)
	chainEnds(t, env, dir)
}

// restartController ends the lab's controller, as an administrator does, and starts it again.
func restartController(t *testing.T, env []string, away time.Duration) {
	t.Helper()
	at := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "SLURM_CONF=/tmp/") })
	home := filepath.Dir(strings.TrimPrefix(env[at], "SLURM_CONF="))
	data, err := os.ReadFile(filepath.Join(home, "slurmctld.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	time.Sleep(away) // how long it is away is what is tested
	if out, err := exec.Command("../../lab/slurm-up", "-d", home).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// A job that bears a link's name and is not the one that was recorded, as an answer that was lost leaves it, does nothing: there is
// one chain.
func TestADuplicateOfALinkDoesNothing(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := record.Dir(vtune(t, env, "submit", "--hands-free=5m", specFile(t, "8", slow)))
	duplicate := strings.TrimSpace(slurm(t, env, "sbatch", "--parsable", dir.Script(record.LinkID(1))))
	var log []byte
	within(t, time.Minute, "the duplicate's last words", func() bool {
		log, _ = os.ReadFile(dir.JobLog(record.LinkID(1)))
		return bytes.HasSuffix(log, []byte("\n"))
	})
	if !regexp.MustCompile(`^link 1 is job \d+, and this is job ` + duplicate + `: nothing to do\n$`).Match(log) {
		t.Errorf("it said %s", log)
	}
	if _, err := os.Stat(dir.Attempt(record.KindCollect, "", 1).Attempt()); err == nil {
		t.Error("the duplicate has taken the link's number")
	}
	if _, err := os.Stat(dir.Job(record.LinkID(3))); err == nil {
		t.Error("the duplicate has put a link out")
	}
	vtune(t, env, "cancel", string(dir))
}

// A chain that is broken is said to be, with what puts it together again; a run that nobody collects is said to be one.
func TestStatusSaysWhoCollects(t *testing.T) {
	t.Parallel()
	env := lab(t)
	slurm(t, env, "scontrol", "update", "PartitionName=gpu", "State=DOWN")
	dir := record.Dir(vtune(t, env, "submit", specFile(t, "8", quick)))
	status := func() (said string) {
		c := exec.Command(filepath.Join(programs, "vtune"), "status", string(dir))
		c.Env = env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if said := status(); !strings.Contains(said, "warning: nobody collects this run\nhint: vtune collect --watch "+string(dir)) {
		t.Errorf("without a chain:\n%s", said)
	}
	vtune(t, env, "submit", "--hands-free=5m", string(dir))
	if said := status(); !regexp.MustCompile(`collected by itself: link 1 waits until \d\d:\d\d`).MatchString(said) {
		t.Errorf("with a chain:\n%s", said)
	}
	ids := func(state string) []string {
		listing := slurm(t, env, "squeue", "-h", "-t", state, "-o", "%A %j")
		var ids []string
		for line := range strings.Lines(listing) {
			if id, name, _ := strings.Cut(strings.TrimSpace(line), " "); strings.Contains(name, "-collect-") {
				ids = append(ids, id)
			}
		}
		return ids
	}
	links := ids("PENDING")
	if len(links) != 2 {
		t.Fatalf("links in the queue: %v", links)
	}
	slurm(t, env, "scancel", links...)
	again := "hint: vtune submit --hands-free " + string(dir) + " starts it again"
	if said := status(); !strings.Contains(said, "its chain ended with link 2") || !strings.Contains(said, again) {
		t.Errorf("with a broken chain:\n%s", said)
	}
	for range 2 { // the second time there is nothing to do
		vtune(t, env, "submit", "--hands-free=1s", string(dir))
		if links := ids("PENDING"); len(links) != 2 {
			t.Errorf("links in the queue: %v", links)
		}
	}
	slurm(t, env, "scontrol", "update", "PartitionName=gpu", "State=UP")
	chainEnds(t, env, dir)
}
