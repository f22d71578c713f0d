#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-pack-1
#SBATCH --output="/scratch/it's 100%% $HOME #1/jobs/pack-1/log"
#SBATCH --chdir="/scratch/it's 100% $HOME #1"
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --exclusive
#SBATCH --no-kill
#SBATCH --signal=B:USR2@120
#SBATCH --partition=gpu
#SBATCH --account="a team"
#SBATCH --qos=high
#SBATCH --reservation=week-3
#SBATCH --constraint="h200&ib"
#SBATCH --time=1-02:00:00
#SBATCH --mem=0
#SBATCH --cpus-per-task=16
#SBATCH --gres=gpu:h200:8

# Run 2026_11_23_10_30 of vtune. One allocation for several jobs, at most 8 at once: each runs its own script, which loads its
# environment by itself, as a step.
exec "/scratch/it's 100% \$HOME #1/bin/vtune" crew "/scratch/it's 100% \$HOME #1/jobs/pack-1/crew.json"
