#!/bin/bash
# Run $'it\'s $(id) `id` "x" #1; rm -rf /\n&' of vtune. A machine of Cloud TPU begins each of its jobs with this: job AGENT ASSIGNMENT.
# The agent is in the machine's run directory, in bin.
run=$(dirname -- "$(dirname -- "$1")")
TMPDIR="/scratch/it's \$HOME"/$(basename -- "$(dirname -- "$2")")
mkdir -p -- "$TMPDIR" || { echo "vtune: no folder $TMPDIR can be made on $(hostname) (site.scratch)" >&2; exit 1; }
export TMPDIR

# What is exported below goes into the container, by name, so that no value stands in an argument; the rest of this machine's
# environment stays outside.
outside=" $(compgen -e | tr '\n' ' ')"
export http_proxy='http://$(id)'
no_proxy="localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254,$(hostname)${no_proxy:+,$no_proxy}"
export no_proxy https_proxy=$http_proxy HTTP_PROXY=$http_proxy HTTPS_PROXY=$http_proxy NO_PROXY=$no_proxy
if [ -e "$run/secrets.env" ]; then set -a; . "$run/secrets.env"; set +a; fi
mkdir -p -- "/cache/it's \$HOME" || exit
carried=()
for name in $(compgen -e); do
  case $name in
    HF_TOKEN | HTTPS_PROXY | HTTP_PROXY | NO_PROXY | TMPDIR | VTUNE_* | http_proxy | https_proxy | no_proxy) ;;
    *) case $outside in *" $name "*) continue ;; esac ;;
  esac
  carried+=(--env "$name")
done

# A container outlives its client, if that is killed; then it still holds the TPU. It is known by the id that it had.
if [ -s "$run/container" ]; then docker rm --force "$(cat -- "$run/container")" >/dev/null 2>&1; fi
rm -f -- "$run/container"

exec docker run --rm --privileged '--net=host' '--shm-size=16g' "--volume=/cache/it's \$HOME:/cache/it's \$HOME" '--volume=/mnt/models:/mnt/models:ro' "--label=\$(id) 'x'" --volume="$run:$run" --volume="$TMPDIR:$TMPDIR" --cidfile="$run/container" "${carried[@]}" --entrypoint= 'image $(id)' "$1" agent "$2"
