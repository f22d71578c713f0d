#!/bin/bash
# The shape of the first version, of May 2025: lists in small letters, one command, engine flags that are gone.
STAMP=$(date +"%Y_%m_%d_%H_%M")
BASE="/data"
MODEL="org/base-8b"
DOWNLOAD_DIR=""
INPUT_LEN=1800
OUTPUT_LEN=20
MIN_CACHE_HIT_PCT=0
MAX_LATENCY_ALLOWED_MS=1000

try() {
    local seqs=$1
    local tokens=$2
    VLLM_USE_V1=1 VLLM_SERVER_DEV_MODE=1 VLLM_TORCH_PROFILER_DIR=/tmp/x vllm serve $MODEL \
        --disable-log-requests \
        --port 8004 \
        --gpu-memory-utilization 0.98 \
        --max-num-seqs $seqs \
        --max-num-batched-tokens $tokens \
        --tensor-parallel-size 2 \
        --load-format dummy \
        --download-dir $DOWNLOAD_DIR \
        --max-model-len $(( INPUT_LEN+OUTPUT_LEN )) > log 2>&1 &
    for i in {1..60}; do grep -q ready log && break; sleep 10; done
    shared=$(( INPUT_LEN * MIN_CACHE_HIT_PCT / 100 ))
    python benchmarks/benchmark_serving.py \
        --backend vllm \
        --model $MODEL \
        --dataset-name sonnet \
        --dataset-path benchmarks/sonnet_4x.txt \
        --sonnet-input-len $INPUT_LEN \
        --ignore-eos \
        --request-rate inf \
        --percentile-metrics ttft,tpot,itl,e2el \
        --goodput e2el:$MAX_LATENCY_ALLOWED_MS \
        --num-prompts 100 \
        --port 8004 > out
    pkill vllm
}
num_seqs_list="128 256"
num_batched_tokens_list="512 1024"
for a in $num_seqs_list; do
    for b in $num_batched_tokens_list; do
        try $a $b
    done
done
