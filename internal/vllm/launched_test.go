package vllm

import (
	"strings"
	"testing"

	"vtune/internal/record"
)

// What srun says when a rank ends is told from what the engine says: its "error:" is no refusal of arguments, and the engine's own
// words, from whichever node, come first.
func TestAServerOnSeveralNodesIsToldByItsOwnErrorBeforeItsLaunchers(t *testing.T) {
	const (
		noise = "srun: cluster configuration lacks support for cpu binding\n"
		up    = "(APIServer pid=7) INFO 11-23 10:29:30 [api_server.py:580] Starting vLLM server on unix:/tmp/s\n"
		ended = "srun: error: node2: task 1: Exited with exit code 1\nsrun: launch/slurm: _step_signal: Terminating StepId=5.1\n" +
			"slurmstepd-node1: error: *** STEP 5.1 ON node1 CANCELLED AT 2026-11-23T10:30:00 ***\nsrun: error: node1: task 0: Killed\n"
		killed = "srun: error: node2: task 1: Killed\nsrun: error: node1: task 0: Terminated\n"
	)
	for _, c := range []struct {
		name    string
		exit    Exit
		log     string
		cause   record.Cause
		message string
	}{
		{"memory on another node", Exit{Code: 137}, noise + "(Worker pid=9) ValueError: " + freeMemory + "\n" + ended, record.CauseOOM, "ValueError: " + freeMemory},
		{
			"an exception on another node",
			Exit{Code: 137, Healthy: true},
			up + "(Worker pid=9) RuntimeError: NCCL error\n" + ended, record.CauseCrash,
			"the server ended with exit code 137 while it served: RuntimeError: NCCL error",
		},
		{
			"a rank that was killed",
			Exit{Code: 137, Healthy: true},
			noise + up + killed, record.CauseCrash,
			"the server ended with exit code 137 while it served: srun: error: node2: task 1: Killed",
		},
		{
			"a rank that was killed at the start",
			Exit{Code: 137},
			noise + killed, record.CauseCrash,
			"the server ended with exit code 137 before it was healthy: srun: error: node2: task 1: Killed",
		},
		{
			"a rank without a word",
			Exit{Code: 137},
			ended, record.CauseCrash,
			"the server ended with exit code 137 before it was healthy: srun: error: node2: task 1: Exited with exit code 1",
		},
		{"a command that is not there", Exit{Code: 127}, "rank: line 4: exec: vlm: not found\n" + ended, record.CauseFlags, "rank: line 4: exec: vlm: not found"},
		{
			"the meeting point was taken",
			Exit{Code: 137},
			"(EngineCore pid=4) torch.distributed.DistNetworkError: The server socket has failed to listen. port: 29501, name: EADDRINUSE\n" + ended,
			record.CausePort, "torch.distributed.DistNetworkError: The server socket has failed to listen. port: 29501, name: EADDRINUSE",
		},
		{
			"no step",
			Exit{Code: 1},
			"srun: error: Unable to create step for job 7: Invalid generic resource (gres) specification\n", record.CauseLaunch,
			"srun: error: Unable to create step for job 7: Invalid generic resource (gres) specification",
		},
		{
			"no step of these options",
			Exit{Code: 1},
			"srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_GPU, and SLURM_MEM_PER_NODE are mutually exclusive.\n", record.CauseLaunch,
			"srun: fatal: SLURM_MEM_PER_CPU, SLURM_MEM_PER_GPU, and SLURM_MEM_PER_NODE are mutually exclusive.",
		},
		{"still starting", Exit{Code: -1, TimedOut: true}, noise, record.CauseTimeout, "not healthy after 0 s; its log ends in: " + strings.TrimSpace(noise)},
	} {
		c.exit.Log = []byte(c.log)
		if f := Classify(c.exit); f.Cause != c.cause || f.Message != c.message {
			t.Errorf("%s: %s: %s\nwant %s: %s", c.name, f.Cause, f.Message, c.cause, c.message)
		}
	}
}
