#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-cells
#SBATCH --output="/scratch/it's 100%% $HOME #1/jobs/cells/log.%a"
#SBATCH --array=0-11%4
#SBATCH --chdir="/scratch/it's 100% $HOME #1"
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --signal=B:USR2@120
#SBATCH --partition=gpu
#SBATCH --account="a team"
#SBATCH --qos=high
#SBATCH --reservation=week-3
#SBATCH --constraint="h200&ib"
#SBATCH --time=1-02:00:00
#SBATCH --mem=512G
#SBATCH --cpus-per-task=16
#SBATCH --gres=gpu:h200:2
#SBATCH --comment="{\"reaper\": \"it's #1\"}"
#SBATCH --exclusive
#SBATCH --mail-type=END

# Run 2026_11_23_10_30 of vtune. Task i runs the script of the job that line i+1 of the tasks file names, with that job's log.
mapfile -t tasks <"/scratch/it's 100% \$HOME #1/jobs/cells/tasks"
job=${tasks[SLURM_ARRAY_TASK_ID]:?the tasks file names no such task}
jobs="/scratch/it's 100% \$HOME #1/jobs"
exec /bin/bash "$jobs/$job/script" >>"$jobs/$job/log" 2>&1
