#!/usr/bin/env bash
# For CPUs: flags in a variable, no dummy weights, variables exported within the function, python's module.
declare -x MODEL=${MODEL:-/models/tiny} SYSTEM=CPU
TP=2
INPUT_LEN=1024 OUTPUT_LEN=128
MAX_MODEL_LEN=4096
MAX_LATENCY_ALLOWED_MS=1e4
THREADS=$(nproc)
MORE=${MORE:-"--dtype=bfloat16 --swap-space 8"}
NUM_SEQS_LIST=${NUM_SEQS_LIST:-"64 128"}
NUM_BATCHED_TOKENS_LIST=${NUM_BATCHED_TOKENS_LIST:-"512"}
export VLLM_CPU_KVCACHE_SPACE=40 VLLM_CPU_OMP_THREADS_BIND="0-25|52-77" OMP_NUM_THREADS=$THREADS

up() {
  nohup python3 -m vllm.entrypoints.openai.api_server --model "$MODEL" -tp 4 -O3 --max-model-len $MAX_MODEL_LEN $MORE $FLAGS > log 2>&1 &
  for i in {1..60}; do sleep 5; done
}
up
vllm bench serve --model $MODEL --dataset-name random --random-input-len 512 --random-output-len $OUTPUT_LEN --request-rate 4 --num-prompts 500 --burstiness 0.5 --max-concurrency 64
