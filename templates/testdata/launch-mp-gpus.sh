#!/bin/bash
# Run 2026_11_23_10_30 of vtune. Starts the vLLM server whose command line it is given on 2 nodes of the job that it is called in, by
# vLLM's own way: the first node serves, the others are headless.

# What the agent's own job or step says of itself must not shape this one: memory and GPUs that exclude each other, a binding to
# the agent's CPUs, a number of tasks. The job's id is enough to begin with.
for name in ${!SLURM_@} ${!SRUN_@}; do
  case $name in SLURM_CONF | SLURM_JOB_ID | SLURM_JWT | SLURM_WORKING_CLUSTER) ;; *) unset "$name" ;; esac
done

# The others find the head by the name that its own node gives itself. Another network's is set by server.environment.
step=(--overlap --input=none --export=ALL --mpi=none --cpu-bind=none --mem=0)
if [ -z "${VTUNE_MASTER_ADDR-}" ]; then
  VTUNE_MASTER_ADDR=$(srun "${step[@]}" --nodes=1 --ntasks=1 --relative=0 hostname) || exit
fi
export VTUNE_MASTER_ADDR VTUNE_MASTER_PORT=${VTUNE_MASTER_PORT:-29501}

# A task on each node with all that the job has there. The end of one is the end of all: a rank that waits for a lost one would
# wait for ever. SIGINT goes on to every rank, which ends by itself then; of SIGTERM srun makes a SIGKILL. No labels: the lines of
# the log stay the engine's own.
step+=(--nodes=2 --ntasks=2 --ntasks-per-node=1 --kill-on-bad-exit=1 --wait=10 --disable-status)
step+=(--gpus-per-node=8)

exec srun "${step[@]}" /bin/bash -c '
  headless=()
  [ "$SLURM_NODEID" -eq 0 ] || headless=(--headless)
  exec "$@" --distributed-executor-backend mp --nnodes 2 --node-rank "$SLURM_NODEID" \
    --master-addr "$VTUNE_MASTER_ADDR" --master-port "$VTUNE_MASTER_PORT" "${headless[@]}"' rank "$@"
