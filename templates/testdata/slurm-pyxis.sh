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

# Run 2026_11_23_10_30 of vtune.
# Its agent starts a server, with the gpu-memory-utilization that the probe finds, and sends it load.
# To do so by hand, load the environment below first, then:
#   vllm serve $'a model\nrm -rf /' --port '$(id)'
#   vllm bench serve --request-rate inf

TMPDIR=/local/scratch/${SLURM_JOB_ID:?is not set: site.scratch is for jobs of Slurm}
mkdir -p -- "$TMPDIR" || { echo "vtune: no folder $TMPDIR can be made on $(hostname) (site.scratch)" >&2; exit 1; }
export TMPDIR
export http_proxy=http://proxy:3128
export no_proxy="localhost,127.0.0.1,::1,$(hostname)${no_proxy:+,$no_proxy}"
export https_proxy=$http_proxy HTTP_PROXY=$http_proxy HTTPS_PROXY=$http_proxy NO_PROXY=$no_proxy
set -a; . "/scratch/it's 100% \$HOME #1/secrets.env"; set +a
module load cuda/12.4
module load 'a;b'
source "$HOME/venv/bin/activate"
export OMP_NUM_THREADS=16
mkdir -p -- "/shared/it's models" || exit
mkdir -p -- /shared/cache || exit
exec srun '--ntasks=1' '--export=ALL' '--container-image=registry.example#org/vllm:1' "--container-mounts=/scratch/it's 100% \$HOME #1:/scratch/it's 100% \$HOME #1,/local/scratch:/local/scratch,/shared/it's models:/shared/it's models,/shared/cache:/shared/cache,/a:/a,/b:/b:ro,/c:/d,/e:/f:ro" '--container-env=HF_TOKEN,TMPDIR,http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY' --no-home "\$(id) 'x'" "/scratch/it's 100% \$HOME #1/bin/vtune" agent "/scratch/it's 100% \$HOME #1/jobs/s128-t2048-1/assignment.json"
