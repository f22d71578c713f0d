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

// state reduces Slurm's word for a job, with its reason and exit code, to what a decision needs. Some words are passing flags
// that hide the job's state; those count as the living state that they are seen with. A word it does not know is Unknown.
func state(word, reason, exitCode string) jobs.JobState {
	switch word {
	case "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "POWER_UP_NODE":
		if reason == "DependencyNeverSatisfied" {
			return jobs.Stuck
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
		if reason == "DependencyNeverSatisfied" { // by --kill-on-invalid-dep, or by the site's own setting
			return jobs.Orphaned
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
