#!/bin/bash
# Run 2026_11_23_10_30 of vtune, machine pool-1. Every host of the slice runs this as root, at each of its starts. It sees to it that
# the machine ends in time, fetches the agent and begins its work, and does not wait for it: what is begun here outlives this script.
set -euo pipefail
umask 077
export HOME="${HOME:-/root}"
dir=${VTUNE_STATE_DIR:-/var/lib/vtune}/2026_11_23_10_30
agent=$dir/bin/vtune

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
  printf '{"schema":1,"unit":%s,"exit_code":"%s","message":"%s","at":"%s"}\n' '"pool-1"' "$1" "$2" "$at" >"$dir/done.mine"
  persist create 'https://storage.googleapis.com/upload/storage/v1/b/lab-tuning/o?uploadType=media&ifGenerationMatch=0&name=tuning%2Fauto-benchmark%2F2026_11_23_10_30%2Fjobs%2Fpool-1%2Fdone.json' "$dir/done.mine"
  persist tell_done "$at"
  : >"$dir/over"
}
tell_done() {
  local crc stamp
  request --fail --output "$dir/done.json" 'https://storage.googleapis.com/storage/v1/b/lab-tuning/o/tuning%2Fauto-benchmark%2F2026_11_23_10_30%2Fjobs%2Fpool-1%2Fdone.json?alt=media' || return 1
  crc=$(request --fail --dump-header "$dir/headers" https://storage.googleapis.com/storage/v1/b/lab-tuning/o/tuning%2Fauto-benchmark%2F2026_11_23_10_30%2Fjobs%2Fpool-1%2Fdone.json |
    sed -n 's/.*"crc32c"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' | base64 --decode | od -An -tu4 --endian=big) || return 1
  stamp=$(date -d "$(sed -n 's/\r$//; s/^[Dd]ate: //p' "$dir/headers" | tail -n 1)" +%s) || return 1
  printf '{"schema":1,"writer":%s,"seq":1,"at":"%s","files":[{"path":%s,"size":%d,"crc32c":%d,"data":"%s"}]}\n' \
    '"pool-1-script"' "$1" '"jobs/pool-1/done.json"' "$(wc -c <"$dir/done.json")" "${crc// /}" "$(base64 --wrap=0 "$dir/done.json")" >"$dir/manifest"
  create 'https://storage.googleapis.com/upload/storage/v1/b/lab-tuning/o?uploadType=media&ifGenerationMatch=0&name=tuning%2Fauto-benchmark%2F2026_11_23_10_30%2Fevents%2F'"$(printf '%013d' "$((stamp * 1000))")"-pool-1-script-000001.json "$dir/manifest"
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
    if request --fail --max-time 60 --request DELETE --output /dev/null 'https://tpu.googleapis.com/v2/projects/lab/locations/us-west4-a/queuedResources/vt-2026-11-23-10-30-pool-1?force=true'; then break; fi
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

if [ -e "$dir/over" ]; then
  say "this machine's work is over"
  exit
fi

fetch() { request --fail --output "$agent.new" 'https://storage.googleapis.com/storage/v1/b/lab-tuning/o/tuning%2Fauto-benchmark%2F2026_11_23_10_30%2Fbin%2Fvtune?alt=media' && mv -f -- "$agent.new" "$agent"; }
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
  "$agent" worker --bucket gs://lab-tuning/tuning/auto-benchmark/2026_11_23_10_30 --unit pool-1 --dir "$dir" >>"$dir/worker.log" 2>&1 9>&- || code=$?
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
