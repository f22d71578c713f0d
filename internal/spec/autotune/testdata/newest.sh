#!/bin/bash
# A tuner in the shape of 2026 as somebody changed it for a quantized model.
NOW=$(date +"%Y_%m_%d_%H_%M")
HERE=$( cd -- "$( dirname -- "${BASH_SOURCE[0]}" )" &> /dev/null && pwd )
VLLM_LOGGING_LEVEL=${VLLM_LOGGING_LEVEL:-DEBUG}
BASE=${BASE:-"$HERE/../../.."}
MODEL=${MODEL:-"org/moe-30b-fp8"}   # was: the 8B
SYSTEM=${SYSTEM:-"GPU"}
TP=${TP:-4}; DOWNLOAD_DIR=${DOWNLOAD_DIR:-"/scratch/hub"}
: "${INPUT_LEN:=2000}" ${OUTPUT_LEN:=100}
MAX_MODEL_LEN=$(( INPUT_LEN + OUTPUT_LEN + 28 ))
MIN_CACHE_HIT_PCT=${MIN_CACHE_HIT_PCT-30}
if [ -z "$MAX_LATENCY_ALLOWED_MS" ]; then
  MAX_LATENCY_ALLOWED_MS=2500
fi
readonly SEQS=(64 128)
NUM_SEQS_LIST=("${SEQS[@]}" 256)
NUM_BATCHED_TOKENS_LIST='2048 4096'
export VLLM_USE_DEEP_GEMM=1 NCCL_DEBUG='INFO'
export CUDA_VISIBLE_DEVICES=0,1,2,3
export HF_TOKEN=hf_abc
export LD_LIBRARY_PATH=/opt/lib:$LD_LIBRARY_PATH
EXTRA=(--trust-remote-code --enable-expert-parallel)
source ./cluster.sh

cat <<USAGE
MODEL=not/this
USAGE

launch() {
  local util=$1 seqs=$2 tokens=$3 log=$4 trace=$5
  pkill -if "vllm serve" || true
  local args=(
    "$MODEL"
    "--port" "9001"
    --host "$NODE"
    "--gpu-memory-utilization" "$util"
    "--max-num-seqs" "$seqs"
    "--max-num-batched-tokens" "$tokens"
    "--tensor-parallel-size" "$TP"
    "--enable-prefix-caching"
    --load-format=fastsafetensors
    --download-dir "$DOWNLOAD_DIR"
    --max-model-len "$MAX_MODEL_LEN"
    --kv_cache_dtype fp8
    --quantization fp8
    --served-model-name prod
    "${EXTRA[@]}"
    --seed "$RANDOM_SEED"
  )
  if [[ -n "$trace" ]]; then
    VLLM_SERVER_DEV_MODE=1 numactl --cpunodebind=0 vllm serve --profiler-config '{"profiler": "torch"}' "${args[@]}" > "$log" 2>&1 &
  else
    VLLM_SERVER_DEV_MODE=1 OMP_NUM_THREADS=8 numactl --cpunodebind=0 vllm serve "${args[@]}" > "$log" 2>&1 &
  fi
  local pid=$!
  for i in {1..180}; do
    kill -0 $pid || break
    [[ $(curl -s -o /dev/null -w '%{http_code}' http://$NODE:9001/health) -eq 200 ]] && return 0
    sleep 10
  done
  return 1
}

measure() {
  prefix=$(( INPUT_LEN * MIN_CACHE_HIT_PCT / 100 ))
  rest=$(( INPUT_LEN - prefix ))
  launch "$3" "$1" "$2" log ""
  vllm bench serve --backend vllm --model "$MODEL" --dataset-name random --random-input-len $rest \
    --random-output-len $OUTPUT_LEN --ignore-eos --disable-tqdm --request-rate inf \
    --percentile-metrics ttft,tpot,itl,e2el --goodput ttft:300 e2el:$MAX_LATENCY_ALLOWED_MS \
    --num-prompts 2000 --random-prefix-len $prefix --seed 7 --host "$NODE" --port 9001 &> out
}

read -r -a seqs_list <<< "${NUM_SEQS_LIST[*]}"
gpu_memory_utilization=0.95
while (( $(echo "$gpu_memory_utilization >= 0.85" | bc -l) )); do
  launch $gpu_memory_utilization "${seqs_list[-1]}" 4096 log "" && break
  gpu_memory_utilization=$(echo "$gpu_memory_utilization - 0.01" | bc)
done
for s in "${seqs_list[@]}"; do measure "$s" 2048 $gpu_memory_utilization; done
