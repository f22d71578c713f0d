#!/bin/bash
# Run 2026_11_23_10_30 of vtune. A machine of Cloud TPU begins each of its jobs with this: job AGENT ASSIGNMENT.
# The agent is in the machine's run directory, in bin.
run=$(dirname -- "$(dirname -- "$1")")

# What is exported below goes into the container, by name, so that no value stands in an argument; the rest of this machine's
# environment stays outside.
outside=" $(compgen -e | tr '\n' ' ')"
if [ -e "$run/secrets.env" ]; then set -a; . "$run/secrets.env"; set +a; fi
mkdir -p -- /mnt/cache || exit
carried=()
for name in $(compgen -e); do
  case $name in
    HF_TOKEN | VTUNE_*) ;;
    *) case $outside in *" $name "*) continue ;; esac ;;
  esac
  carried+=(--env "$name")
done

# A container outlives its client, if that is killed; then it still holds the TPU. It is known by the id that it had.
if [ -s "$run/container" ]; then docker rm --force "$(cat -- "$run/container")" >/dev/null 2>&1; fi
rm -f -- "$run/container"

exec docker run --rm --privileged '--net=host' '--shm-size=16g' '--volume=/mnt/cache:/mnt/cache' '--volume=/mnt/models:/mnt/models:ro' --volume="$run:$run" --cidfile="$run/container" "${carried[@]}" --entrypoint= vllm/vllm-tpu:v0.32.0 "$1" agent "$2"
