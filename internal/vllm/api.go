package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// API is a client of one server's routes. It retries nothing: who waits for a condition asks again.
type API struct {
	base, key string
	http      *http.Client
}

// A server under full load answers slowly, but one that needs longer than this for a small page is not well.
const answerWithin = 10 * time.Second

// NewAPI talks to the server on the given loopback port with a key of its own connection pool, without any proxy that the
// environment names.
func NewAPI(port int, key string) *API {
	return &API{
		base: fmt.Sprintf("http://%s:%d", Loopback, port), key: key,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}},
	}
}

// NewAPIAt talks to the server at a Unix socket, which no other server can take from it and no other user can reach.
func NewAPIAt(socket, key string) *API {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	return &API{
		base: "http://localhost", key: key,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, DialContext: dial}},
	}
}

// Close lets go of idle connections.
func (a *API) Close() { a.http.CloseIdleConnections() }

// Health is nil when the server, engine included, says that it is well.
func (a *API) Health(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodGet, "/health", a.key, answerWithin)
	return err
}

// ErrForeign: what answers on the port is not the server that was given the key.
var ErrForeign = errors.New("another server answers on this port")

// Ours checks that the server knows this client's key and refuses others. /health needs no key, so whoever took the port in
// the moment between choosing it and binding it would look healthy.
func (a *API) Ours(ctx context.Context) error {
	if _, err := a.call(ctx, http.MethodGet, "/v1/models", a.key, answerWithin); err != nil {
		if refused(err) {
			return fmt.Errorf("%w: it refuses the key", ErrForeign)
		}
		return err
	}
	_, err := a.call(ctx, http.MethodGet, "/v1/models", "not-"+a.key, answerWithin)
	switch {
	case err == nil:
		return fmt.Errorf("%w: it takes any key", ErrForeign)
	case refused(err):
		return nil
	default:
		return err
	}
}

// ServerVersion is a server's own word for what it is.
type ServerVersion struct {
	Version   string
	TimeScale float64 // virtual seconds a real one, of a simulator; 1 of a server of this world
}

// Version asks the server, because a package can be asked only where it is installed.
func (a *API) Version(ctx context.Context) (ServerVersion, error) {
	v := ServerVersion{TimeScale: 1}
	body, err := a.call(ctx, http.MethodGet, "/version", a.key, answerWithin)
	if err != nil {
		return v, err
	}
	var answer struct {
		Version   string   `json:"version"`
		TimeScale *float64 `json:"time_scale"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return v, fmt.Errorf("version: %w", err)
	}
	if answer.Version == "" {
		return v, errors.New("version: the server gives none")
	}
	v.Version = answer.Version
	if answer.TimeScale != nil {
		if v.TimeScale = *answer.TimeScale; !(v.TimeScale > 0) {
			return v, fmt.Errorf("version: a time scale of %v", v.TimeScale)
		}
	}
	return v, nil
}

// Metrics reads /metrics.
func (a *API) Metrics(ctx context.Context) (ServerMetrics, error) {
	body, err := a.call(ctx, http.MethodGet, "/metrics", a.key, answerWithin)
	if err != nil {
		return ServerMetrics{}, err
	}
	return ParseMetrics(strings.NewReader(string(body)))
}

// ResetPrefixCache empties the prefix cache, or says why the next load would find the last one's prompts in it. The server
// must be idle: blocks in use cannot be dropped.
func (a *API) ResetPrefixCache(ctx context.Context) error {
	body, err := a.call(ctx, http.MethodPost, "/reset_prefix_cache", a.key, time.Minute)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		return fmt.Errorf("%w (the server has this route only with VLLM_SERVER_DEV_MODE=1)", err)
	}
	if err != nil {
		return err
	}
	var answer struct {
		Success *bool `json:"success"`
	}
	// Older versions answer 200 with an empty body; only a plain "false" is a no.
	if json.Unmarshal(body, &answer) == nil && answer.Success != nil && !*answer.Success {
		return errors.New("reset prefix cache: the server could not (requests still hold blocks)")
	}
	return nil
}

// StartProfile and StopProfile bracket a trace. Stopping writes it, which takes minutes; ctx is the only bound.
func (a *API) StartProfile(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodPost, "/start_profile", a.key, 0)
	return err
}

func (a *API) StopProfile(ctx context.Context) error {
	_, err := a.call(ctx, http.MethodPost, "/stop_profile", a.key, 0)
	return err
}

// StatusError is an answer other than 200.
type StatusError struct {
	Method, Path string
	Code         int
	Body         string // its beginning
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Code, http.StatusText(e.Code))
	if e.Body != "" {
		s += ": " + e.Body
	}
	return s
}

func refused(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && (s.Code == http.StatusUnauthorized || s.Code == http.StatusForbidden)
}

// The metrics page of a large server is some 100 kB; more than this is not a vLLM server.
const bodyLimit = 8 << 20

func (a *API) call(ctx context.Context, method, path, key string, within time.Duration) ([]byte, error) {
	if within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err // names method and URL by itself
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{method, path, resp.StatusCode, clip(strings.TrimSpace(string(body)), 200)}
	}
	return body, nil
}
