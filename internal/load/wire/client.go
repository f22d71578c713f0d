// Package wire is one completion over HTTP: a body goes out, a stream of events comes back, and each chunk is stamped when it
// comes. It must not know of a run, nor send anything twice.
package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Client sends completions to one address.
type Client struct {
	http   *http.Client
	url    string
	header http.Header
}

const (
	// An idle connection must be given up before the server does it: the server that vLLM runs in closes after 5 s, and a
	// request that is sent in that moment is lost.
	idleFor = 3 * time.Second
	// EndWithin is how long a server may take to end a stream behind its [DONE]. The request is over; what is at stake is
	// whether its connection can be used again.
	EndWithin = time.Second
	// A burst's connections are used again by the next one, however large it was.
	idleMost = 1 << 16
)

// NewClient opens connections with dial; its header is the client's from now on.
func NewClient(url string, header http.Header, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Client {
	return &Client{
		url: url, header: header,
		http: &http.Client{Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: idleMost, IdleConnTimeout: idleFor, DialContext: dial,
		}},
	}
}

// Close drops idle connections; those in use end with their requests.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Complete sends one request and reads its stream to the end. The Answer holds what came before an error, too. When the
// stream is over, done is called, before the connection is made ready for another request.
func (c *Client) Complete(ctx context.Context, b *Body, want Asked, a *Answer, done func(error)) {
	defer b.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, b.reader())
	if err != nil {
		done(fmt.Errorf("build request: %w", err))
		return
	}
	req.Header = c.header
	req.ContentLength = int64(len(b.Data))
	req.GetBody = func() (io.ReadCloser, error) { return b.reader(), nil }
	resp, err := c.http.Do(req)
	if err != nil {
		done(err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2048)) // best effort: the status is the error
		done(fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(text)))
		return
	}
	if err := a.read(resp.Body); err != nil {
		done(err)
		return
	}
	done(a.check(want))
	late := time.AfterFunc(EndWithin, cancel)
	defer late.Stop()
	_, _ = io.Copy(io.Discard, resp.Body) // an error costs a connection and nothing else
}
