package vllm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// ServerMetrics is what vtune reads of a server's /metrics. Where a server runs several engines, counts are their sum and
// KVCacheUsage is the fullest one's.
type ServerMetrics struct {
	Running       float64 // requests in the batch
	Waiting       float64 // requests in the queue
	KVCacheUsage  float64 // 0 to 1
	PrefixQueries float64 // tokens looked up, since start
	PrefixHits    float64 // tokens found, since start
	Preemptions   float64 // since start
}

// Idle reports whether no request is in the server.
func (m ServerMetrics) Idle() bool { return m.Running == 0 && m.Waiting == 0 }

// ParseMetrics reads Prometheus' text format and passes over everything it does not need, malformed lines included. The two
// gauges that vtune waits on must be there: without them "idle" would be true of any page.
func ParseMetrics(r io.Reader) (ServerMetrics, error) {
	var m ServerMetrics
	var running, waiting bool
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		name, value, ok := sample(in.Text())
		if !ok {
			continue
		}
		switch name {
		case "vllm:num_requests_running":
			m.Running += value
			running = true
		case "vllm:num_requests_waiting":
			m.Waiting += value
			waiting = true
		case "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc": // the second until 0.10
			m.KVCacheUsage = max(m.KVCacheUsage, value)
		case "vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total":
			m.PrefixQueries += value
		case "vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total":
			m.PrefixHits += value
		case "vllm:num_preemptions_total":
			m.Preemptions += value
		}
	}
	if err := in.Err(); err != nil {
		return ServerMetrics{}, fmt.Errorf("metrics: %w", err)
	}
	if !running || !waiting {
		return ServerMetrics{}, errors.New("metrics: no vllm:num_requests_running and vllm:num_requests_waiting")
	}
	return m, nil
}

// sample splits `name{label="value"} 1.5 [timestamp]`. Labels are skipped with their quoting in mind: a model's name may hold
// braces and blanks.
func sample(line string) (name string, value float64, ok bool) {
	if strings.HasPrefix(line, "#") {
		return "", 0, false
	}
	end := strings.IndexAny(line, "{ \t")
	if end <= 0 {
		return "", 0, false
	}
	name, rest := line[:end], line[end:]
	if rest[0] == '{' {
		n := labels(rest)
		if n < 0 {
			return "", 0, false
		}
		rest = rest[n:]
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	if err != nil || math.IsNaN(value) || value < 0 {
		return "", 0, false
	}
	return name, value, true
}

// labels is the length of the {...} that s begins with, or -1.
func labels(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == '}':
			return i + 1
		}
	}
	return -1
}
