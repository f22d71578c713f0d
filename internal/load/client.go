package load

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

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
			return wire.DialSocket(ctx, dialer, t.UnixSocket)
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
