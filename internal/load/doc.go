// Package load is an open-loop load generator for servers that speak vLLM's
// /v1/completions. Arrivals are drawn ahead from a seed and sent on an
// absolute schedule: a server that falls behind gets its requests on time all
// the same, and a client that falls behind says by how much. Every request
// leaves a timeline; Summarize turns timelines into the metrics of
// `vllm bench serve`, under the same definitions.
//
// It must not judge (a verdict belongs to internal/search), retry (a retry
// would hide a failure), or write anything to disk.
package load
