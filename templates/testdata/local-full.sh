#!/bin/bash
# Run 2026_11_23_10_30 of vtune.
# Its agent starts a server, with the gpu-memory-utilization that the probe finds, and sends it load.
# To do so by hand, load the environment below first, then:
#   vllm serve $'a model\nrm -rf /' --port '$(id)'
#   vllm bench serve --request-rate inf

set -a; . "/scratch/it's 100% \$HOME #1/secrets.env"; set +a
module load cuda/12.4
module load 'a;b'
source "$HOME/venv/bin/activate"
export OMP_NUM_THREADS=16
exec "/scratch/it's 100% \$HOME #1/bin/vtune" agent "/scratch/it's 100% \$HOME #1/jobs/s128-t2048-1/assignment.json"
