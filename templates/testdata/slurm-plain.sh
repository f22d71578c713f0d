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

# Run 2026_11_23_10_30 of vtune.

exec /scratch/auto-benchmark/2026_11_23_10_30/bin/vtune agent /scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/assignment.json
