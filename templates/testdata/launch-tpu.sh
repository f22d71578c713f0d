#!/bin/bash
# Run 2026_11_23_10_30 of vtune. Starts the vLLM server whose command line it is given on the first of the 4 hosts of a slice, on top of
# a Ray cluster of all of them that lives no longer than the server. The others join by themselves.
run=$(cd -- "$(dirname -- "$0")/.." && pwd) || exit

# Who reaches a Ray cluster runs what he likes on it; the hosts of this slice alone have the token. vLLM finds its hosts through Ray
# when it is told so, and each takes the TPU itself: a choice of JAX's platform made for one host would be wrong here.
RAY_AUTH_MODE=${RAY_AUTH_MODE-token} RAY_AUTH_TOKEN=$(cat -- "$run/ray-token") || exit
export RAY_AUTH_MODE RAY_AUTH_TOKEN TPU_MULTIHOST_BACKEND=ray JAX_PLATFORMS=
port=6379 options=(--disable-usage-stats --log-color=false --min-worker-port=0 --max-worker-port=0)
RAY_ADDRESS=$(cat -- "$run/head"):$port || exit
export RAY_ADDRESS

# The cluster outlives SIGINT, by which the server ends; bash outlives it too, and then ends the head, whose processes follow it.
(trap "" INT; exec ray start --block --head --port="$port" --include-dashboard=false "${options[@]}") &
head=$!
trap : INT TERM
until [ "$(ray status 2>/dev/null | grep -cE '^ +1 node_')" -ge 4 ]; do
  kill -0 "$head" || exit
  sleep 1
done
"$@" --distributed-executor-backend ray
code=$?
kill -KILL "$head"
exit "$code"
