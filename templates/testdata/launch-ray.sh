#!/bin/bash
# Run 2026_11_23_10_30 of vtune. Starts the vLLM server whose command line it is given on the first of 2 nodes of the job that it is
# called in, on top of a Ray cluster of all of them that lives no longer than the server.

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
step+=(--gres=gpu:8)

# Who reaches a Ray cluster runs what he likes on it, so each has a token of its own (Ray 2.52 and later ask for it).
export RAY_AUTH_MODE=${RAY_AUTH_MODE-token} RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN-$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')}

# Worker ports of 0 are free ones. What Ray cannot be kept from is 10001, on the head, if its client is installed: two such heads
# need two machines. The cluster outlives SIGINT, by which the server ends; bash outlives it too, and then ends the head, whose
# processes follow it. A code of its own that is not 0 has srun end the other nodes at once instead of after --wait.
exec srun "${step[@]}" /bin/bash -c '
  export RAY_ADDRESS=$VTUNE_MASTER_ADDR:$VTUNE_MASTER_PORT
  ray=(ray start --block --disable-usage-stats --log-color=false --num-gpus=8 --min-worker-port=0 --max-worker-port=0)
  if [ "$SLURM_NODEID" -ne 0 ]; then
    trap "" INT
    until (: <"/dev/tcp/$VTUNE_MASTER_ADDR/$VTUNE_MASTER_PORT") 2>/dev/null; do sleep 1; done
    exec "${ray[@]}" --address="$RAY_ADDRESS"
  fi
  (trap "" INT; exec "${ray[@]}" --head --port="$VTUNE_MASTER_PORT" --include-dashboard=false) &
  head=$!
  trap : INT TERM
  until [ "$(ray status 2>/dev/null | grep -cE "^ +1 node_")" -ge 2 ]; do
    kill -0 "$head" || exit
    sleep 1
  done
  "$@" --distributed-executor-backend ray
  code=$?
  kill -KILL "$head"
  exit "$((code ? code : 1))"' rank "$@"
