// Package load is a load generator for servers that speak vLLM's /v1/completions. Arrivals are drawn ahead from a seed and sent on
// an absolute schedule: a server that falls behind gets its requests on time all the same, and a client that falls behind says
// by how much, and when that is too much. Every request leaves a timeline; Summarize turns timelines into the metrics of `vllm
// bench serve`, under the same definitions.
//
// It must not judge the server (a verdict belongs to internal/search), retry (a retry would hide a failure), or keep a prompt
// (they are drawn again from the seed).
package load
