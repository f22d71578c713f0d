package slurm

import (
	"vtune/internal/record"
	"vtune/jobs"
)

func afterWords() map[record.When]string {
	return map[record.When]string{record.AfterOK: "afterok", record.AfterAny: "afterany"}
}

// launchFailed is the exit code of a job that never ran. Slurm gives the same reason to one that a signal ended.
const launchFailed = "0:53"

// state reduces Slurm's word for a job, with its reason, exit code and node, to what a decision needs. Some words are passing
// flags that hide the job's state; those count as the living state that they are seen with. A word it does not know is Unknown.
func state(word, reason, exitCode, node string) jobs.JobState {
	switch word {
	case "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "POWER_UP_NODE":
		switch reason {
		case "DependencyNeverSatisfied":
			return jobs.Stuck
		case "launch failed requeued held", "launch_failed_requeued_held", "JobHoldMaxRequeue":
			return jobs.Held
		}
		return jobs.Pending
	case "RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "EXPEDITING", "UPDATE_DB":
		return jobs.Running
	case "COMPLETED":
		return jobs.Completed
	case "FAILED":
		if exitCode == launchFailed {
			return jobs.NoLaunch
		}
		return jobs.Failed
	case "CANCELLED":
		switch {
		case reason == "DependencyNeverSatisfied": // by --kill-on-invalid-dep, or by the site's own setting
			return jobs.Orphaned
		case node != "" && exitCode == "0:0":
			// A prolog that fails makes the node's daemon cancel what it may not requeue. Nothing says so but that the job had a
			// node and no exit code: one that was cancelled at work was ended by a signal, or its script, which ends in the
			// agent, says that it is unfinished.
			return jobs.NoLaunch
		}
		return jobs.Cancelled
	case "TIMEOUT", "DEADLINE":
		return jobs.TimedOut
	case "NODE_FAIL":
		return jobs.NodeFail
	case "BOOT_FAIL", "LAUNCH_FAILED", "RECONFIG_FAIL":
		return jobs.NoLaunch
	case "PREEMPTED":
		return jobs.Preempted
	case "OUT_OF_MEMORY":
		return jobs.HostOOM
	}
	return jobs.Unknown
}

// waits reports whether a job is in the queue and has no node.
func waits(s jobs.JobState) bool { return s == jobs.Pending || s == jobs.Stuck || s == jobs.Held }
