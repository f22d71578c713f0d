#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-s128-t2048-1
#SBATCH --output=/scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/log
#SBATCH --chdir=/scratch/auto-benchmark/2026_11_23_10_30
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=2
#SBATCH --ntasks=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8

# Run 2026_11_23_10_30 of vtune.
# Its agent starts a server, with the gpu-memory-utilization that the probe finds, and sends it load.
# To do so by hand, load the environment below first (in a job of 2 nodes), then:
#   /run/bin/launch vllm serve

exec /scratch/auto-benchmark/2026_11_23_10_30/bin/vtune agent /scratch/auto-benchmark/2026_11_23_10_30/jobs/s128-t2048-1/assignment.json
