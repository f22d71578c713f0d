package slurm

import (
	"os/exec"
	"slices"
)

// Missing are those of the commands that every use of a Scheduler needs that are not on the PATH.
func Missing() []string {
	return slices.DeleteFunc([]string{"sbatch", "squeue", "scontrol", "scancel", "sinfo"}, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	})
}
