#!/bin/bash
# Run 2026_11_23_10_30 of vtune. Each host of a slice but the first runs this: join HEAD, with the first host's address. Each server that is
# started there has a Ray cluster of its own (see bin/launch); this host joins one after the other.
run=$(cd -- "$(dirname -- "$0")" && pwd) || exit
head=$1
source /opt/vllm/bin/activate

# Who reaches a Ray cluster runs what he likes on it; the hosts of this slice alone have the token. vLLM finds its hosts through Ray
# when it is told so, and each takes the TPU itself: a choice of JAX's platform made for one host would be wrong here.
RAY_AUTH_MODE=${RAY_AUTH_MODE-token} RAY_AUTH_TOKEN=$(cat -- "$run/ray-token") || exit
export RAY_AUTH_MODE RAY_AUTH_TOKEN TPU_MULTIHOST_BACKEND=ray JAX_PLATFORMS=
port=6379 options=(--disable-usage-stats --log-color=false --min-worker-port=0 --max-worker-port=0)
# That its head is gone, a host believes after a minute if it is not told otherwise; by then the next server waits for it.
export RAY_gcs_rpc_server_reconnect_timeout_s=10
ray=(ray start --block "--address=$head:$port" "${options[@]}")
while :; do
  until (: <"/dev/tcp/$head/$port") 2>/dev/null; do sleep 1; done
  echo "$(date -u +%FT%TZ) joining $head"
  "${ray[@]}" || echo "$(date -u +%FT%TZ) left with code $?"
  sleep 1
done
