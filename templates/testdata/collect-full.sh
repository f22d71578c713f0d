#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-s128-t2048-1
#SBATCH --output="/scratch/it's 100%% $HOME #1/jobs/s128-t2048-1/log"
#SBATCH --chdir="/scratch/it's 100% $HOME #1"
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --partition=gpu
#SBATCH --account="a team"
#SBATCH --qos=high
#SBATCH --reservation=week-3
#SBATCH --constraint="h200&ib"
#SBATCH --time=1-02:00:00
#SBATCH --mem=512G
#SBATCH --cpus-per-task=16
#SBATCH --comment="{\"reaper\": \"it's #1\"}"
#SBATCH --exclusive
#SBATCH --mail-type=END

# Run 2026_11_23_10_30 of vtune collects itself: this job sees to it that another like it comes after it,
# looks at the run, submits what follows from that, and ends.
module load cuda/12.4
module load 'a;b'
source "$HOME/venv/bin/activate"
export OMP_NUM_THREADS=16
exec "/scratch/it's 100% \$HOME #1/bin/vtune" link "/scratch/it's 100% \$HOME #1" 7
