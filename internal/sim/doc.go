// Package sim is the engine behind vllm-sim: continuous batching, step by
// step, in virtual time. It knows a token budget with chunked prefill, a paged
// KV cache with preemption and a prefix cache, memory that runs out at start
// and under load, and what a start costs.
//
// It is pure: the same configuration and the same calls give the same times,
// and a whole observation of a thousand requests takes milliseconds, so that
// a tuner can be run against it thousands of times with the truth known.
// It must never look at a clock, start a goroutine, open a file or log:
// cmd/vllm-sim does all of that around it.
//
// Units: memory in GiB (2^30 bytes), lengths in tokens, times as virtual
// time.Duration since the engine came up.
package sim
