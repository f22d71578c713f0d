#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-cells
#SBATCH --output="/scratch/it's 100%% $HOME #1/jobs/cells/log.%a"
#SBATCH --array=0-11
#SBATCH --chdir="/scratch/it's 100% $HOME #1"
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --signal=B:USR2@120
#SBATCH --gpus=a100:1

# Run 2026_11_23_10_30 of vtune. Task i runs the script of the job that line i+1 of the tasks file names, with that job's log.
mapfile -t tasks <"/scratch/it's 100% \$HOME #1/jobs/cells/tasks"
job=${tasks[SLURM_ARRAY_TASK_ID]:?the tasks file names no such task}
jobs="/scratch/it's 100% \$HOME #1/jobs"
exec /bin/bash "$jobs/$job/script" >>"$jobs/$job/log" 2>&1
