package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/record"
)

// packSpec has nine cells: the first rides on the probe's server, eight are for a crew. Without a limit each is measured once, for
// some seconds.
const packSpec = `model: llama-8b
max_model_len: 4096
tensor_parallel: %d
workload: {input_len: 3000, output_len: 20, cache_hit_pct: 60, vocab_size: 1000}
grid: {max_num_seqs: [4, 6, 8], max_num_batched_tokens: [1024, 2048, 3072]}
plan: cells
prune: none
profile: {with: none}
test: {max_requests: %d}
scheduler: slurm
site: {gpus_per_node: 8, pack: %s}
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "%d", VLLM_SIM_HARDWARE: a10-like}
`

func submitPacked(t *testing.T, env []string, tensorParallel int, pack string, requests, scale int) record.Dir {
	t.Helper()
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(spec, fmt.Appendf(nil, packSpec, tensorParallel, requests, pack, scale), 0o644); err != nil {
		t.Fatal(err)
	}
	return record.Dir(vtune(t, env, "submit", spec))
}

// crewJobs are the jobs of the plan's crew.
func crewJobs(t *testing.T, dir record.Dir, unit string) []record.Job {
	t.Helper()
	var order record.CrewOrder
	if err := fsx.ReadJSON(dir.CrewOrder(unit), &order); err != nil {
		t.Fatal(err)
	}
	return order.Unit.Jobs
}

func awaitThat(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited a minute for %s", what)
}

// attempt waits until a job's agent has begun.
func attempt(t *testing.T, dir record.Dir, j record.Job) (a record.Attempt) {
	t.Helper()
	awaitThat(t, j.ID+" to begin", func() bool { return fsx.ReadJSON(dir.Attempt(j.Kind, j.Cell, j.Attempt).Attempt(), &a) == nil })
	return a
}

func allocation(t *testing.T, dir record.Dir, unit string) string {
	t.Helper()
	var out record.Submitted
	if err := fsx.ReadJSON(dir.Submitted(unit), &out); err != nil {
		t.Fatal(err)
	}
	return out.ID
}

// A node's GPUs are dealt out to as many cells as fit, all of them at once, each with its own.
func TestAsManyCellsAsANodeHoldsRunSideBySide(t *testing.T) {
	t.Parallel()
	env := lab(t)
	for _, c := range []struct {
		tensorParallel int
		pack           string
		atOnce         int
	}{{1, "gpus", 8}, {2, "exclusive", 4}} {
		t.Run(fmt.Sprintf("tp %d %s", c.tensorParallel, c.pack), func(t *testing.T) {
			dir := submitPacked(t, env, c.tensorParallel, c.pack, 100, 40)
			vtune(t, env, "collect", "--watch", "--grace", "5s", string(dir))
			st := state(t, dir)
			text, err := os.ReadFile(dir.ResultTxt())
			if err != nil {
				t.Fatal(err)
			}
			if rows := strings.Count(string(text), "\nmax_num_seqs:"); st.Phase != record.PhaseOver || rows != 9 || st.Best == nil {
				t.Errorf("%s with %d rows\n%s", st.Phase, rows, text)
			}
			for _, unit := range []string{"pack-1", "pack-2"}[:8/c.atOnce] {
				sideBySide(t, dir, unit, c.tensorParallel, c.atOnce)
			}
			if len(st.Packed) == 0 || st.Packed[0].Others < 1 || st.Packed[0].Alone <= 0 {
				t.Errorf("what the cells cost each other: %+v", st.Packed)
			}
			nothingLeft(t, "after packed cells", dir)
		})
	}
}

func sideBySide(t *testing.T, dir record.Dir, unit string, each, atOnce int) {
	t.Helper()
	js := crewJobs(t, dir, unit)
	var gpus []string
	first, last := time.Now(), time.Time{} // the first end and the last beginning
	for _, j := range js {
		var s record.Step
		awaitThat(t, j.ID+"'s step to be over", func() bool { return fsx.ReadJSON(dir.Step(j.ID), &s) == nil && s.Over() })
		if s.ExitCode != "0:0" {
			t.Errorf("%s: step %+v", j.ID, s)
		}
		if s.Ended.Before(first) {
			first = s.Ended
		}
		if s.Begun.After(last) {
			last = s.Begun
		}
		own := strings.Split(attempt(t, dir, j).GPUs, ",")
		if len(own) != each {
			t.Errorf("%s has the GPUs %s, want %d", j.ID, own, each)
		}
		gpus = append(gpus, own...)
	}
	slices.Sort(gpus)
	if got := strings.Join(gpus, ""); len(js) != atOnce || got != "01234567" || !last.Before(first) {
		t.Errorf("%s: %d jobs on GPUs %s, the last began %s after the first end", unit, len(js), got, last.Sub(first))
	}
}

// One cell's agent that dies takes nobody along: the allocation lives, the others go on, and that cell gets another attempt.
func TestAPackedCellThatDiesHasAnotherAttemptAndTheOthersGoOn(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitPacked(t, env, 1, "gpus", 250, 20)
	awaitThat(t, "the crew", func() bool { _, err := os.Stat(dir.CrewBegun("pack-1")); return err == nil })
	victim := crewJobs(t, dir, "pack-1")[7]
	awaitEvent(t, dir, victim.ID, "load")
	if err := syscall.Kill(attempt(t, dir, victim).PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	vtune(t, env, "collect", "--watch", "--grace", "5s", string(dir))
	st := state(t, dir)
	for _, c := range st.Cells {
		want := 1
		if c.ID == victim.Cell {
			want = 2
		}
		if len(c.Attempts) != want || c.Attempts[want-1].Outcome != record.OutcomeDone {
			t.Errorf("%s: attempts %+v, want %d", c.ID, c.Attempts, want)
		}
		if want == 2 && c.Attempts[0].Cause != record.CauseAgent {
			t.Errorf("the first attempt of %s ended for %q", c.ID, c.Attempts[0].Cause)
		}
	}
	nothingLeft(t, "after an agent was killed", dir)
}

// A node that fails takes all cells of its crew along; they go on together on another one.
func TestPackedCellsGoOnElsewhereWhenTheirNodeFails(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitPacked(t, env, 1, "gpus", 250, 20)
	awaitThat(t, "the crew", func() bool { _, err := os.Stat(dir.CrewBegun("pack-1")); return err == nil })
	js := crewJobs(t, dir, "pack-1")
	for _, j := range js {
		awaitEvent(t, dir, j.ID, "load")
	}
	node := attempt(t, dir, js[0]).Node
	slurm(t, env, "scontrol", "update", "NodeName="+node, "State=DOWN", "Reason=test")
	vtune(t, env, "collect", "--watch", "--grace", "5s", string(dir))
	for _, c := range state(t, dir).Cells {
		want := 2
		if c.ID == "s8-t3072" { // the probe's
			want = 1
		}
		if last := c.Attempts[len(c.Attempts)-1]; last.Outcome != record.OutcomeDone || len(c.Attempts) != want {
			t.Errorf("%s: attempts %+v", c.ID, c.Attempts)
		}
		var end record.Ended
		if err := fsx.ReadJSON(dir.Ended(c.Attempts[0].Job), &end); want == 2 && end.Cause != record.CauseNode {
			t.Errorf("%s ended for %q, %v", c.ID, end.Cause, err)
		}
	}
	// As many passes of the collector as it took to note their ends, so many crews.
	intents, _ := filepath.Glob(filepath.Join(dir.Jobs(), "*", "intent.json"))
	again, together := 0, 0
	for _, path := range intents {
		var in record.Intent
		if err := fsx.ReadJSON(path, &in); err != nil {
			t.Fatal(err)
		}
		for _, j := range in.Unit.Jobs {
			if j.Attempt < 2 {
				continue
			}
			if again++; in.Unit.Crew != nil {
				together++
			}
			if !slices.Equal(j.Avoid, []string{node}) {
				t.Errorf("%s avoids %s, want %s", j.ID, j.Avoid, node)
			}
		}
	}
	if again != 8 || together == 0 {
		t.Errorf("%d jobs go on, %d of them in crews, want 8", again, together)
	}
	nothingLeft(t, "after the node of a crew failed", dir)
}

// The warning before the time limit goes to the batch script, which is the crew, and from there to each step. What was cut off goes
// on in another crew.
func TestACrewPassesTheWarningBeforeItsTimeLimitOn(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitPacked(t, env, 1, "gpus", 250, 20)
	awaitThat(t, "the crew", func() bool { _, err := os.Stat(dir.CrewBegun("pack-1")); return err == nil })
	js := crewJobs(t, dir, "pack-1")
	for _, j := range js {
		awaitEvent(t, dir, j.ID, "load")
	}
	slurm(t, env, "scancel", "--signal=USR2", "--batch", allocation(t, dir, "pack-1"))
	for _, j := range js {
		var r record.Result
		awaitThat(t, j.ID+"'s result", func() bool { return fsx.ReadJSON(dir.Attempt(j.Kind, j.Cell, 1).Result(), &r) == nil })
		if r.Outcome != record.OutcomeDone && (r.Outcome != record.OutcomeContinue || r.Cause != record.CauseTimeLimit) {
			t.Errorf("%s: %s for %q", j.ID, r.Outcome, r.Cause)
		}
	}
	awaitThat(t, "the crew's end", func() bool { return slurm(t, env, "squeue", "-h", "-t", "RUNNING,COMPLETING") == "" })
	vtune(t, env, "cancel", string(dir))
	nothingLeft(t, "after a time limit", dir)
}

// cancel ends the allocations of a run, whatever is inside, within seconds.
func TestCancelEndsCrewsAndAllThatIsInThem(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitPacked(t, env, 2, "gpus", 250, 20)
	awaitThat(t, "the crew", func() bool { _, err := os.Stat(dir.CrewBegun("pack-1")); return err == nil })
	for _, j := range crewJobs(t, dir, "pack-1") {
		awaitEvent(t, dir, j.ID, "load")
	}
	vtune(t, env, "cancel", string(dir))
	begun := time.Now()
	awaitThat(t, "an empty queue", func() bool {
		return slurm(t, env, "squeue", "-h", "-t", "PENDING,RUNNING,COMPLETING") == ""
	})
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the queue was empty after %s", took)
	}
	nothingLeft(t, "after cancel", dir)
}

// One allocation of two nodes does the whole run: the probe, the cells, the profile that follows from them through the queue, and the
// collecting. Nothing runs on the login node, and the scheduler is asked for nothing else.
func TestOneAllocationDoesTheWholeRunWithNobodyWatching(t *testing.T) {
	t.Parallel()
	env := lab(t)
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	text := `model: llama-8b
method: auto_tune
max_model_len: 4096
workload: {input_len: 3000, output_len: 20, cache_hit_pct: 60}
grid: {max_num_seqs: [4, 8], max_num_batched_tokens: [1024, 2048]}
scheduler: slurm
site: {gpus_per_node: 8, shape: one-job, nodes: 2}
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "100", VLLM_SIM_HARDWARE: a10-like}
`
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := record.Dir(vtune(t, env, "submit", spec))
	awaitThat(t, "the end of the allocation", func() bool {
		return slurm(t, env, "squeue", "-h", "-t", "PENDING,RUNNING,COMPLETING") == ""
	})
	st := state(t, dir)
	if st.Phase != record.PhaseOver || st.Best == nil || len(st.ProfileFiles) == 0 {
		log, _ := os.ReadFile(dir.JobLog("crew-1"))
		t.Fatalf("%s, best %+v\n%s", st.Phase, st.Best, log)
	}
	nodes := map[string]bool{}
	id := allocation(t, dir, "crew-1")
	works := []record.WorkState{st.Probe, st.Profile}
	for _, c := range st.Cells {
		works = append(works, c.WorkState)
	}
	for _, w := range works {
		if len(w.Attempts) != 1 || !strings.HasPrefix(w.Attempts[0].Submitted, id+".") || w.Phase != record.WorkDone {
			t.Errorf("%s: attempts %+v, want one, a step of %s", w.Phase, w.Attempts, id)
			continue
		}
		nodes[w.Attempts[0].Node] = true
	}
	all := strings.Fields(slurm(t, env, "squeue", "-h", "-t", "all", "-o", "%A"))
	if len(nodes) != 2 || len(all) != 1 {
		t.Errorf("nodes %v, jobs at the scheduler %v", nodes, all)
	}
	if table := vtune(t, env, "status", string(dir)); !strings.Contains(table, id+".0") {
		t.Errorf("no step in the status\n%s", table)
	}
	nothingLeft(t, "after a whole allocation", dir)
}
