#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-s128-t2048-1
#SBATCH --output=/scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/log
#SBATCH --chdir=/scratch/auto-benchmark/2026_11_23_10_30
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=1
#SBATCH --ntasks=1

# Run 2026_11_23_10_30 of vtune collects itself: this job sees to it that another like it comes after it,
# looks at the run, submits what follows from that, and ends.
exec /scratch/auto-benchmark/2026_11_23_10_30/bin/vtune link /scratch/auto-benchmark/2026_11_23_10_30 7
