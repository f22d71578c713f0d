#!/bin/bash
# Run $'it\'s $(id) `id` "x" #1; rm -rf /\n&' of vtune, machine $'it\'s $(id) `id` "x" #1; rm -rf /\n&'. Every host of the slice runs this as root, at each of its starts. It sees to it that
# the machine ends in time, fetches the agent and begins its work, and does not wait for it: what is begun here outlives this script.
set -euo pipefail
umask 077
export HOME="${HOME:-/root}"
dir=${VTUNE_STATE_DIR:-/var/lib/vtune}/$'it\'s $(id) `id` "x" #1; rm -rf /\n&'
agent=$dir/bin/vtune
export VTUNE_STORAGE_ENDPOINT='https://storage.example/$(id)'

say() { echo "$(date -u +%FT%TZ) $*" >&2; }

metadata() {
  curl --silent --fail --noproxy '*' --max-time 10 --header 'Metadata-Flavor: Google' \
    "http://${GCE_METADATA_HOST:-metadata.google.internal}/computeMetadata/v1/instance/$1"
}

# The token goes by a pipe: what stands in arguments can be read by everybody here. Each request has a fresh one.
authorization() {
  local token
  token=$(metadata service-accounts/default/token | sed -n 's/.*"access_token"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p')
  [ -n "$token" ] || { say "no token from the metadata server"; return 1; }
  printf 'header = "Authorization: Bearer %s"\n' "$token"
}
request() { curl --config <(authorization) --silent --show-error --globoff --connect-timeout 10 --max-time 900 --speed-limit 1 --speed-time 60 "$@"; }

# persist tries a command again for some ten minutes. It is for what may be done twice.
persist() {
  local pause
  for pause in 1 2 4 8 16 32 60 60 60 60 60 60 60 60; do
    if "$@"; then return 0; fi
    sleep "$pause"
  done
  "$@"
}

# create uploads FILE to URL, where nothing may be yet: what is there stays, and is as good. So it may be done twice.
create() {
  local code
  code=$(request --output /dev/null --write-out '%{http_code}' --header 'Content-Type: application/octet-stream' --data-binary "@$2" "$1") || return 1
  case $code in
    200 | 412) ;;
    *) say "an upload was answered with $code"; return 1 ;;
  esac
}

# finish CODE:SIGNAL MESSAGE says that nothing is left for this machine to do, unless that is said already. Whoever mirrors the run
# reads of what is new in manifests, whose names go by the bucket's clock: so what stands there now goes into one.
finish() {
  local at
  at=$(date -u +%FT%TZ)
  printf '{"schema":1,"unit":%s,"exit_code":"%s","message":"%s","at":"%s"}\n' "\"it's \$(id) \`id\` \\\"x\\\" #1; rm -rf /\\n\\u0026\"" "$1" "$2" "$at" >"$dir/done.mine"
  persist create 'https://storage.example/$(id)/upload/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o?uploadType=media&ifGenerationMatch=0&name=it%27s%20%24%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A%26%2Fjobs%2Fit%27s%20%24%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A%26%2Fdone.json' "$dir/done.mine"
  persist tell_done "$at"
  : >"$dir/over"
}
tell_done() {
  local crc stamp
  request --fail --output "$dir/done.json" 'https://storage.example/$(id)/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fjobs%2Fit%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fdone.json?alt=media' || return 1
  crc=$(request --fail --dump-header "$dir/headers" 'https://storage.example/$(id)/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fjobs%2Fit%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fdone.json' |
    sed -n 's/.*"crc32c"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' | base64 --decode | od -An -tu4 --endian=big) || return 1
  stamp=$(date -d "$(sed -n 's/\r$//; s/^[Dd]ate: //p' "$dir/headers" | tail -n 1)" +%s) || return 1
  printf '{"schema":1,"writer":%s,"seq":1,"at":"%s","files":[{"path":%s,"size":%d,"crc32c":%d,"data":"%s"}]}\n' \
    "\"it's \$(id) \`id\` \\\"x\\\" #1; rm -rf /\\n\\u0026-script\"" "$1" "\"jobs/it's \$(id) \`id\` \\\"x\\\" #1; rm -rf /\\n\\u0026/done.json\"" "$(wc -c <"$dir/done.json")" "${crc// /}" "$(base64 --wrap=0 "$dir/done.json")" >"$dir/manifest"
  create 'https://storage.example/$(id)/upload/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o?uploadType=media&ifGenerationMatch=0&name=it%27s%20%24%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A%26%2Fevents%2F'"$(printf '%013d' "$((stamp * 1000))")"-it%27s%20%24%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A%26-script-000001.json "$dir/manifest"
}

# expire ends the machine when its time, counted from its first start, is over. Whether it may delete itself is the service
# account's affair; that it shuts down is not.
expire() {
  exec 8>"$dir/expire.lock"
  flock --nonblock 8 || return 0
  local left pause
  left=$(($(cat "$dir/deadline") - $(date +%s)))
  # A clock that was set in between can make it shorter but not longer.
  sleep 8>&- "$((left < 0 ? 0 : left > 14400 ? 14400 : left))"
  say "the time of this machine is over"
  for pause in 2 4 0; do
    if request --fail --max-time 60 --request DELETE --output /dev/null "https://tpu.example/'\$(id)/v2/projects/it%27s%20\$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/locations/it%27s%20\$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/queuedResources/it%27s%20\$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&?force=true"; then break; fi
    sleep "$pause"
  done
  shutdown -h now
}

# detach begins one of these functions as a process that outlives this script, and runs once however often it is begun: each takes a
# lock, which the kernel gives back when its process is gone. Machines that are folders of one (VTUNE_STATE_DIR) share its systemd,
# whose units would bear the same names.
detach() {
  if [ -z "${VTUNE_STATE_DIR-}" ] && [ -d /run/systemd/system ]; then
    systemctl is-active --quiet "vtune-$1.service" ||
      systemd-run --quiet --collect --unit="vtune-$1" --property=OOMScoreAdjust=-900 /bin/bash "$dir/machine-$1" "$1"
  else
    setsid /bin/bash "$dir/machine-$1" "$1" </dev/null >/dev/null 2>&1 &
  fi
}
# remember writes what is defined by now to where the process of that function has it from: a file for each, since another boot writes
# them anew, and has not defined all of it yet when a process of this one may still be about to read its own.
remember() {
  {
    echo 'set -euo pipefail; umask 077'
    declare -p dir agent PATH HOME ${!VTUNE_@} ${!GCE_METADATA_@} ${!STORAGE_EMULATOR_@}
    declare -f
    echo 'exec >>"$dir/$1.log" 2>&1 </dev/null; "$1"'
  } >"$dir/machine-$1.$$"
  mv -f -- "$dir/machine-$1.$$" "$dir/machine-$1"
}

mkdir -p -- "$dir/bin"
chmod 0700 "$dir"
if ! [ -s "$dir/deadline" ]; then
  echo "$(($(date +%s) + 14400))" >"$dir/deadline.$$"
  mv -n -- "$dir/deadline.$$" "$dir/deadline"
fi
remember expire
detach expire

# What goes wrong from here on, on the first host, ends the machine's work, and is told.
host=0
give_up() {
  say "$1"
  [ "$host" != 0 ] || finish 1:0 "$1"
}
trap 'give_up "the startup script failed"' ERR

# Which host of the slice this is, and where the first one is: the endpoints are in the order of the hosts, each with its address in
# the third place. Whichever host is first draws the token for all.
host_number() {
  host=$(metadata attributes/agent-worker-number) || host=$(metadata attributes/tpu-env | sed -n "s/^WORKER_ID: *'\{0,1\}\([0-9]*\)'\{0,1\} *\$/\1/p")
  [[ $host =~ ^[0-9]+$ ]]
}
head_address() {
  local endpoints
  endpoints=$(metadata attributes/worker-network-endpoints) && [[ ${endpoints%%,*} =~ ^[^:]*:[^:]*:([^:]+) ]] && echo "${BASH_REMATCH[1]}" >"$dir/head"
}
ray_token() {
  head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$dir/ray-token.mine"
  create 'https://storage.example/$(id)/upload/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o?uploadType=media&ifGenerationMatch=0&name=it%27s%20%24%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A%26%2Fjobs%2Fit%27s%20%24%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A%26%2Fray-token' "$dir/ray-token.mine" && request --fail --output "$dir/ray-token" 'https://storage.example/$(id)/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fjobs%2Fit%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fray-token?alt=media'
}
host=unknown
persist host_number
persist head_address
persist ray_token

if [ "$host" -ne 0 ]; then
  cat >"$dir/join" <<'END-OF-JOIN'
#!/bin/bash
# Run $'it\'s $(id) `id` "x" #1; rm -rf /\n&' of vtune. Each host of a slice but the first runs this: join HEAD, with the first host's address. Each server that is
# started there has a Ray cluster of its own (see bin/launch); this host joins one after the other.
run=$(cd -- "$(dirname -- "$0")" && pwd) || exit
head=$1

# What is exported below goes into the container, by name, so that no value stands in an argument; the rest of this machine's
# environment stays outside.
outside=" $(compgen -e | tr '\n' ' ')"
export http_proxy='http://$(id)'
no_proxy="localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254,$(hostname)${no_proxy:+,$no_proxy}"
export no_proxy https_proxy=$http_proxy HTTP_PROXY=$http_proxy HTTPS_PROXY=$http_proxy NO_PROXY=$no_proxy
if [ -e "$run/secrets.env" ]; then set -a; . "$run/secrets.env"; set +a; fi

# Who reaches a Ray cluster runs what he likes on it; the hosts of this slice alone have the token. vLLM finds its hosts through Ray
# when it is told so, and each takes the TPU itself: a choice of JAX's platform made for one host would be wrong here.
RAY_AUTH_MODE=${RAY_AUTH_MODE-token} RAY_AUTH_TOKEN=$(cat -- "$run/ray-token") || exit
export RAY_AUTH_MODE RAY_AUTH_TOKEN TPU_MULTIHOST_BACKEND=ray JAX_PLATFORMS=
port=6379 options=(--disable-usage-stats --log-color=false --min-worker-port=0 --max-worker-port=0)
# That its head is gone, a host believes after a minute if it is not told otherwise; by then the next server waits for it.
export RAY_gcs_rpc_server_reconnect_timeout_s=10
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

ray=(docker run --rm --privileged '--net=host' '--shm-size=16g' "--volume=/cache/it's \$HOME:/cache/it's \$HOME" '--volume=/mnt/models:/mnt/models:ro' "--label=\$(id) 'x'" --cidfile="$run/container" "${carried[@]}" --entrypoint= 'image $(id)' ray start --block "--address=$head:$port" "${options[@]}")
while :; do
  until (: <"/dev/tcp/$head/$port") 2>/dev/null; do sleep 1; done
  echo "$(date -u +%FT%TZ) joining $head"
  rm -f -- "$run/container"
  "${ray[@]}" || echo "$(date -u +%FT%TZ) left with code $?"
  sleep 1
done

END-OF-JOIN
  join_slice() {
    exec 9>"$dir/join.lock"
    flock --nonblock 9 || return 0
    /bin/bash "$dir/join" "$(cat "$dir/head")" 9>&-
  }
  remember join_slice
  detach join_slice
  exit
fi

if [ -e "$dir/over" ]; then
  say "this machine's work is over"
  exit
fi

fetch() { request --fail --output "$agent.new" 'https://storage.example/$(id)/storage/v1/b/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&/o/it%27s%20$%28id%29%20%60id%60%20%22x%22%20%231%3B%20rm%20-rf%20%2F%0A&%2Fbin%2Fvtune?alt=media' && mv -f -- "$agent.new" "$agent"; }
if ! { [ -f "$agent" ] && [ "$(sha256sum <"$agent")" = '0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd  -' ]; }; then
  persist fetch || { give_up "the agent cannot be fetched"; exit 1; }
fi
[ "$(sha256sum <"$agent")" = '0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd  -' ] || { give_up "the agent is not the one that this run was submitted with"; exit 1; }
chmod 0755 "$agent"

# work runs the worker, and sees to it that its end is told, however it ends. A machine that is being shut down sends SIGTERM to both;
# it may come back, and then its work goes on.
work() {
  exec 9>"$dir/work.lock"
  flock --nonblock 9 || return 0
  local code=0 stopped=""
  VTUNE_BOOT=$(($(cat "$dir/boots" 2>/dev/null || echo 0) + 1))
  echo "$VTUNE_BOOT" >"$dir/boots"
  export VTUNE_BOOT
  trap 'stopped=yes' TERM
  "$agent" worker --bucket $'gs://it\'s $(id) `id` "x" #1; rm -rf /\n&/it\'s $(id) `id` "x" #1; rm -rf /\n&' --unit $'it\'s $(id) `id` "x" #1; rm -rf /\n&' --dir "$dir" >>"$dir/worker.log" 2>&1 9>&- || code=$?
  say "the worker ended with code $code"
  if [ -s "$dir/container" ]; then docker rm --force "$(cat -- "$dir/container")" >/dev/null 2>&1 || :; fi
  # 7: another machine does this one's work, or nobody wants it done here. 8: it was cut off, and whoever cut it off says more; where its
  # time was over, it has said so itself.
  if [ -n "$stopped" ] || [ "$code" = 7 ] || [ "$code" = 8 ]; then return 0; fi
  if [ "$code" -gt 128 ]; then
    finish "0:$((code - 128))" "the worker was ended by signal $((code - 128))"
  else
    finish "$code:0" "the worker ended without a word"
  fi
}
remember work
detach work
