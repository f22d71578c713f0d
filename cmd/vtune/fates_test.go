package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"vtune/internal/record"
)

// What becomes of single jobs: each way to end is told apart from the others and has its own consequence.

// collectTo watches a run to its end and wants the given exit code.
func collectTo(t *testing.T, env []string, dir record.Dir, code int) record.State {
	t.Helper()
	c := exec.Command(filepath.Join(programs, "vtune"), "collect", "--watch", "--grace", "3s", string(dir))
	c.Env = env
	if out, _ := c.CombinedOutput(); c.ProcessState == nil || c.ProcessState.ExitCode() != code {
		t.Fatalf("collect: %v, want exit code %d\n%s", c.ProcessState, code, out)
	}
	return state(t, dir)
}

// A person who cancels one cell at the scheduler wants it gone: it is not run again, and the others go on.
func TestACellThatAPersonCancelsIsNotRunAgain(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitSpec(t, env, "slurm", "in-job")
	awaitEvent(t, dir, "s2-t2048-1", "load")
	var out record.Submitted
	readRecord(t, dir.Submitted("cells"), &out)
	slurm(t, env, "scancel", out.ID+"_0")
	st := collectTo(t, env, dir, 5)
	if c := st.Cells[0]; c.Phase != record.WorkFailed || c.Cause != record.CauseStopped || len(c.Attempts) != 1 {
		t.Errorf("the cancelled cell: %s (%s), %d attempts", c.Phase, c.Cause, len(c.Attempts))
	}
	if st.Cells[1].Accepted == nil {
		t.Error("the other cell has no answer")
	}
	nothingLeft(t, "after scancel", dir)
}

// A job of a higher partition takes the node away: PREEMPTED is nobody's failure, and the cell goes on from what it had observed.
func TestACellGoesOnAfterItWasPreempted(t *testing.T) {
	t.Parallel()
	env := lab(t, "PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE", "PartitionName=high Nodes=ALL PriorityTier=100 State=UP")
	dir := submitSpec(t, env, "slurm", "in-job")
	awaitEvent(t, dir, "s4-t2048-1", "observation")
	var claim record.Attempt
	readRecord(t, dir.Attempt(record.KindCell, "s4-t2048", 1).Attempt(), &claim)
	slurm(t, env, "sbatch", "-p", "high", "-w", claim.Node, "--exclusive", "--output", "/dev/null", "--wrap", "sleep 1")
	st := collectTo(t, env, dir, 0)
	c := st.Cells[1]
	if len(c.Attempts) != 2 || c.Attempts[0].Cause != record.CausePreempted || c.Accepted == nil || c.Accepted.Load.Rate != 2 {
		t.Errorf("attempts %+v, accepted %+v", c.Attempts, c.Accepted)
	}
	measuredOnce(t, c)
	nothingLeft(t, "after preemption", dir)
}

// measuredOnce fails where a load that has its answer was made again. One that says nothing has none: it was spoilt, or its server was
// killed a moment before the agent.
func measuredOnce(t *testing.T, c record.CellState) {
	t.Helper()
	for i, o := range c.Observations {
		for _, p := range c.Observations[:i] {
			if p.Load == o.Load && p.Verdict != record.Invalid {
				t.Errorf("%s: %s was measured twice, by attempts %d (%s) and %d (%s)", c.ID, o.Load, p.Attempt, p.Verdict, o.Attempt, o.Verdict)
			}
		}
	}
}

// A site may requeue a job that asked not to be. Its second execution refuses to work, and a fresh attempt takes over.
func TestAJobThatTheSiteRequeuesAllTheSameIsReplaced(t *testing.T) {
	t.Parallel()
	env := lab(t)
	dir := submitSpec(t, env, "slurm", "in-job")
	awaitEvent(t, dir, "s4-t2048-1", "observation")
	var out record.Submitted
	readRecord(t, dir.Submitted("cells"), &out)
	slurm(t, env, "scontrol", "update", "JobId="+out.ID+"_1", "Requeue=1")
	slurm(t, env, "scontrol", "requeue", out.ID+"_1")
	st := collectTo(t, env, dir, 0)
	c := st.Cells[1]
	if len(c.Attempts) != 2 || c.Attempts[0].Cause != record.CauseRestart || c.Accepted == nil || c.Accepted.Load.Rate != 2 {
		t.Errorf("attempts %+v, accepted %+v", c.Attempts, c.Accepted)
	}
	measuredOnce(t, c)
	nothingLeft(t, "after the requeue", dir)
}

// A node that cannot launch jobs takes each one that it is given. The probe goes elsewhere, the cells that waited for it are taken
// out of the queue, where they would wait for ever, and go out again as one array that stays away from the node.
func TestANodeThatLaunchesNothingIsAvoided(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	spool := filepath.Join(c.dir, "spool", "node1")
	if err := os.RemoveAll(spool); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spool, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := submitSpec(t, c.env, "slurm", "in-job")
	st := collectTo(t, c.env, dir, 0)
	if a := st.Probe.Attempts; len(a) != 2 || a[0].Cause != record.CauseLaunch || a[0].Node != "node1" || a[1].Node == "node1" {
		t.Errorf("the probe: %+v", a)
	}
	for _, cell := range st.Cells {
		if cell.Phase != record.WorkDone || len(cell.Attempts) != 2 || cell.Attempts[1].Node == "node1" {
			t.Errorf("%s: %+v", cell.ID, cell.Attempts)
		}
	}
	if _, err := os.Stat(dir.Submitted("again-1")); err != nil {
		t.Errorf("the cells did not go out as one array: %v", err)
	}
	eventually(t, "the queue to be empty", func() bool { return strings.TrimSpace(slurm(t, c.env, "squeue", "-h")) == "" })
}

// What is above a limit of the cluster goes out in portions, and every cell has its row.
func TestManyCellsGoOutWithinASmallMaxArraySize(t *testing.T) {
	t.Parallel()
	env := lab(t, "MaxArraySize=4")
	spec := writeSpec(t, manyCells(9, ""))
	dir := record.Dir(vtune(t, env, "submit", spec))
	st := collectTo(t, env, dir, 0)
	everyCellHasItsRow(t, dir, st, 9)
	for _, unit := range []string{"cells-1", "cells-2", "cells-3"} {
		if _, err := os.Stat(dir.Submitted(unit)); err != nil {
			t.Error(err)
		}
	}
}

// What is above a person's submit limit goes out as there is room: it is back-pressure and no failure.
func TestManyCellsGoOutWithinASubmitLimit(t *testing.T) {
	t.Parallel()
	c := startAccounts(t)
	slurm(t, c.env, "sacctmgr", "-i", "modify", "user", "name="+me(t), "set", "MaxSubmitJobs=5")
	v := start(t, c.env, "submit", writeSpec(t, manyCells(9, "")))
	dir := record.Dir(v.ends())
	if said := v.stderr.String(); !strings.Contains(said, "the scheduler takes no more now") || !strings.Contains(said, "collect submits the rest") {
		t.Errorf("submit says %s", said)
	}
	st := collectTo(t, c.env, dir, 0)
	everyCellHasItsRow(t, dir, st, 9)
}

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// manyCells is a spec of n small cells.
func manyCells(n int, more string) string {
	var tokens []string
	for i := range n {
		tokens = append(tokens, fmt.Sprint(256+8*i))
	}
	return fmt.Sprintf(`model: llama-8b
method: auto_tune
max_model_len: 1024
workload: {input_len: 64, output_len: 2}
grid: {max_num_seqs: [8], max_num_batched_tokens: [%s]}
scheduler: slurm
server:
  command: vllm-sim
  environment: {VLLM_SIM_TIME_SCALE: "400", VLLM_SIM_HARDWARE: h200-like}
%s`, strings.Join(tokens, ", "), more)
}

// everyCellHasItsRow wants each cell done once and in one row of result.txt.
func everyCellHasItsRow(t *testing.T, dir record.Dir, st record.State, n int) {
	t.Helper()
	if len(st.Cells) != n {
		t.Fatalf("%d cells, want %d", len(st.Cells), n)
	}
	text, err := os.ReadFile(dir.ResultTxt())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Cells {
		row := fmt.Sprintf("max_num_seqs: %d, max_num_batched_tokens: %d, request_rate", c.MaxNumSeqs, c.MaxNumBatchedTokens)
		if rows := strings.Count(string(text), "\n"+row); c.Phase != record.WorkDone || rows != 1 {
			t.Errorf("%s is %s and has %d rows", c.ID, c.Phase, rows)
		}
	}
}
