package server

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/cmd/vllm-sim/internal/engine"
	"vtune/internal/sim"
)

// api is the HTTP side of the API server.
type api struct {
	options serveOptions
	engine  *engine.Handle

	mu       sync.Mutex
	open     map[uint64]*stream
	nextID   uint64
	stats    sim.Stats
	finished int // requests answered in full
}

// stream is one open request: tokens that the engine made and the handler has
// not written yet. Tokens that come while the handler writes go out together,
// so that a fast clock costs no more system calls than the machine can do.
type stream struct {
	tokens int
	last   bool
	wake   chan struct{} // has one element while there is something
}

func newAPI(o serveOptions) *api { return &api{options: o, open: map[uint64]*stream{}} }

// deliver is called with every report of the engine.
func (a *api) deliver(tokens []sim.Token, stats sim.Stats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stats = stats
	for _, t := range tokens {
		s := a.open[t.ID]
		if s == nil {
			continue // its client has gone
		}
		s.tokens++
		s.last = t.Last
		if t.Last {
			a.finished++
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// begin registers a stream; n counts requests from 0.
func (a *api) begin() (id uint64, s *stream) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s = &stream{wake: make(chan struct{}, 1)}
	id = a.nextID
	a.open[id] = s
	a.nextID++
	return id, s
}

func (a *api) end(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, id)
}

// collect empties a stream.
func (a *api) collect(s *stream) (tokens int, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	tokens, s.tokens = s.tokens, 0
	return tokens, s.last
}

func (a *api) routes(e *engine.Handle) http.Handler {
	a.engine = e
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", a.health)
	mux.HandleFunc("GET /ping", a.health)
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		// A client that is not told cannot know that it has to measure in another time.
		writeJSON(w, http.StatusOK, map[string]any{"version": cli.Version, "time_scale": a.options.scale})
	})
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("GET /v1/models", a.models)
	mux.HandleFunc("POST /v1/completions", a.completions)
	if a.options.devMode {
		mux.HandleFunc("POST /reset_prefix_cache", func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, map[string]any{"success": a.engine.Ask(engine.ResetCache)})
		})
	}
	if a.options.engine.Profiler != nil {
		// As the real routes: 200 whatever became of it, and no body.
		mux.HandleFunc("POST /start_profile", func(http.ResponseWriter, *http.Request) { a.engine.Ask(engine.StartProfile) })
		mux.HandleFunc("POST /stop_profile", func(http.ResponseWriter, *http.Request) { a.engine.Ask(engine.StopProfile) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]any{"detail": "Not Found"})
	})
	return a.authorized(mux)
}

// authorized guards the /v1 routes only, as vLLM does.
func (a *api) authorized(next http.Handler) http.Handler {
	if a.options.apiKey == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if strings.HasPrefix(r.URL.Path, "/v1") && subtle.ConstantTimeCompare([]byte(given), []byte(a.options.apiKey)) != 1 {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "Unauthorized"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *api) health(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-a.engine.Gone():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
	}
}

func (a *api) models(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{map[string]any{
		"id": a.options.servedName, "object": "model", "created": time.Now().Unix(), "owned_by": "vllm-sim",
		"root": a.options.model, "max_model_len": a.options.engine.Config.Options.MaxLength,
	}}})
}

func (a *api) metrics(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	s, finished := a.stats, a.finished
	a.mu.Unlock()
	o := a.options.engine.Config.Options
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	label := fmt.Sprintf(`engine="0",model_name=%q`, a.options.servedName)
	for _, m := range []struct {
		name, kind, help string
		labels           string
		value            any
	}{
		{"vllm:num_requests_running", "gauge", "Number of requests in model execution batches.", label, s.Running},
		{"vllm:num_requests_waiting", "gauge", "Number of requests waiting to be processed.", label, s.Waiting},
		{"vllm:kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", label, s.KVUsage},
		{"vllm:prefix_cache_queries_total", "counter", "Prefix cache queries, in terms of number of queried tokens.", label, s.CacheQueries},
		{"vllm:prefix_cache_hits_total", "counter", "Prefix cache hits, in terms of number of cached tokens.", label, s.CacheHits},
		{"vllm:num_preemptions_total", "counter", "Cumulative number of preemption from the engine.", label, s.Preemptions},
		{"vllm:request_success_total", "counter", "Count of successfully processed requests.", label + `,finished_reason="length"`, finished},
		{"vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig", fmt.Sprintf(
			`block_size="%d",enable_prefix_caching="%s",engine="0",gpu_memory_utilization="%v",num_gpu_blocks="%d"`,
			sim.BlockSize, pyBool(o.PrefixCaching), o.Utilization, a.engine.Blocks()), 1},
	} {
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s{%s} %v\n", m.name, m.help, m.name, m.kind, m.name, m.labels, m.value)
	}
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that has gone needs no answer
}

func pyBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}
