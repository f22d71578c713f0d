package load

import (
	"bufio"
	"bytes"
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

// client sends completions to one target.
type client struct {
	http   *http.Client
	url    string
	header http.Header
}

func newClient(t Target) *client {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	transport := &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1024, // a burst's connections are reused by the next request
		IdleConnTimeout:     90 * time.Second,
		DialContext:         dialer.DialContext,
	}
	base := strings.TrimRight(t.BaseURL, "/")
	if t.UnixSocket != "" {
		base = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", t.UnixSocket)
		}
	}
	endpoint := t.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	c := &client{http: &http.Client{Transport: transport}, url: base + endpoint, header: http.Header{}}
	for k, v := range t.Header {
		c.header[k] = v
	}
	c.header.Set("Content-Type", "application/json")
	if t.APIKey != "" {
		c.header.Set("Authorization", "Bearer "+t.APIKey)
	}
	return c
}

// close drops idle connections; those in use end with their requests.
func (c *client) close() { c.http.CloseIdleConnections() }

// body is built before the run begins, so that no prompt is made on the clock.
func body(w Workload, prompt []int) ([]byte, error) {
	fields := map[string]any{
		"model": w.Model, "prompt": prompt, "max_tokens": w.OutputLen, "stream": true,
		"stream_options": map[string]any{"include_usage": true},
	}
	if w.IgnoreEOS {
		fields["ignore_eos"] = true
	}
	if w.Temperature != nil {
		fields["temperature"] = *w.Temperature
	}
	for k, v := range w.ExtraBody {
		fields[k] = v
	}
	return json.Marshal(fields)
}

// answer is what one stream brought: when each chunk came, and how many tokens
// the server counted (-1: it did not say).
type answer struct {
	chunks []time.Time
	tokens int
}

// complete sends one request and reads its stream to the end. The answer holds
// what came before an error, too.
func (c *client) complete(ctx context.Context, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return answer{tokens: -1}, fmt.Errorf("build request: %w", err)
	}
	req.Header = c.header
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{tokens: -1}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2048)) // best effort: the status is the error
		return answer{tokens: -1}, fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text))
	}
	return readStream(resp.Body, time.Now)
}

// maxLine bounds one server-sent event, so that a server gone mad cannot fill
// the memory of the client.
const maxLine = 1 << 20

var errNoToken = errors.New("the stream ended without a token")

// readStream reads server-sent events until [DONE] and stamps every chunk that
// has a choice. One chunk can carry several tokens or an empty text, so tokens
// are counted by the usage chunk and never by chunks.
func readStream(r io.Reader, now func() time.Time) (answer, error) {
	a := answer{tokens: -1}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4096), maxLine)
	done := false
	for lines.Scan() {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(lines.Bytes()), []byte("data:"))
		if !ok {
			continue // empty lines and comments
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			done = true
			break
		}
		if err := a.event(data, now); err != nil {
			return a, err
		}
	}
	if err := lines.Err(); err != nil {
		return a, fmt.Errorf("read stream: %w", err)
	}
	switch {
	case !done:
		return a, errors.New("the stream broke off before [DONE]")
	case len(a.chunks) == 0:
		return a, errNoToken
	}
	// The connection is reused only if the body was read to its end.
	_, _ = io.Copy(io.Discard, r)
	return a, nil
}

func (a *answer) event(data []byte, now func() time.Time) error {
	var e struct {
		Choices []json.RawMessage `json:"choices"`
		Usage   *struct {
			Completion int `json:"completion_tokens"`
		} `json:"usage"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("read stream: %w", err)
	}
	if len(e.Error) > 0 && string(e.Error) != "null" {
		return fmt.Errorf("the server broke off: %s", e.Error)
	}
	if len(e.Choices) > 0 {
		a.chunks = append(a.chunks, now())
	}
	if e.Usage != nil {
		a.tokens = e.Usage.Completion
	}
	return nil
}
