package hardware

import "strings"

// NotGiven is what a job says that was given no GPU.
const NotGiven = "the scheduler gave the job none of the GPUs that it asked for, and on one of its own choice another job may run"

// Given reports whether a scheduler told the job which GPUs are its own. Slurm 22.05 was seen not to tell three that began as a node
// elsewhere went down; a server would then take the first GPU of its node, whoever has it.
func Given(env []string) bool {
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch name {
		case "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS":
			if value != "" {
				return true
			}
		}
	}
	return false
}
