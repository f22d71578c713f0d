package load

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"vtune/internal/load/wire"
)

func newClient(t Target) *wire.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	base, dial := strings.TrimRight(t.BaseURL, "/"), dialer.DialContext
	switch {
	case t.dial != nil:
		base, dial = "http://localhost", func(context.Context, string, string) (net.Conn, error) { return t.dial() }
	case t.UnixSocket != "":
		base, dial = "http://localhost", func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialSocket(ctx, dialer, t.UnixSocket)
		}
	}
	endpoint := t.Endpoint
	if endpoint == "" {
		endpoint = defaultEndpoint
	}
	header := http.Header{}
	for k, v := range t.Header {
		header[k] = v
	}
	header.Set("Content-Type", "application/json")
	if t.APIKey != "" {
		header.Set("Authorization", "Bearer "+t.APIKey)
	}
	return wire.NewClient(base+endpoint, header, dial)
}

// backlogPause is between two tries to reach a socket whose queue of connections is full. Nothing tells when it has room again.
const backlogPause = time.Millisecond

// dialSocket waits, as a TCP connection would, where more connect at once than a server's queue holds: on a Unix socket that is
// an error and no waiting. The request has not been sent, so nothing is done twice.
func dialSocket(ctx context.Context, d *net.Dialer, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	for {
		c, err := d.DialContext(ctx, "unix", path)
		if !errors.Is(err, unix.EAGAIN) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(backlogPause):
		}
	}
}
