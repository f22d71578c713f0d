#!/bin/bash
#SBATCH --job-name=vt-2026_11_23_10_30-s128-t2048-1
#SBATCH --open-mode=append
#SBATCH --export=ALL
#SBATCH --no-requeue
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --signal=B:INT@120
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

# What is known.
# a line that is two
# $(id)
#
# Submit it from a folder of your own: the log, slurm-JOB.out, says where the server answers, and its key is kept beside it.

set -a; . "/scratch/it's 100% \$HOME #1/secrets.env"; set +a
module load cuda/12.4
module load 'a;b'
source "$HOME/venv/bin/activate"
export OMP_NUM_THREADS=16

# A port of this job's own. Two servers that find the same port free both bind it, and either answers for the other; so each job begins
# to look at another one.
port=$((20000 + ${SLURM_JOB_ID:?is not set: this is a job of Slurm} % 10000))
while { : <"/dev/tcp/127.0.0.1/$port" || : <"/dev/tcp/$(hostname)/$port"; } 2>/dev/null; do port=$((port + 1)); done

# Whoever reaches the node reaches the port, so the server asks for a key. The secrets or the environment above may set another one.
key=$PWD/serve-$SLURM_JOB_ID.key
[ -n "${VLLM_API_KEY-}" ] || VLLM_API_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export VLLM_API_KEY
(umask 077 && printf '%s\n' "$VLLM_API_KEY" >"$key") || exit
echo "serving at http://$(hostname):$port/v1 with the key in $key"

# In bash's place the server gets every signal itself: SIGINT before the time limit, SIGTERM when the job is cancelled.
exec env "A=\$HOME 'b'" vllm serve $'a model\nrm -rf /' --x '$(id)' --host 0.0.0.0 --port "$port"
