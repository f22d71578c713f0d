package wire

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// backlogPause is between two tries to reach a socket whose queue of connections is full. Nothing tells when it has room again.
const backlogPause = time.Millisecond

// DialSocket waits, as a TCP connection would, where more connect at once than a server's queue holds: on a Unix socket that is
// an error and no waiting. The request has not been sent, so nothing is done twice.
func DialSocket(ctx context.Context, d *net.Dialer, path string) (net.Conn, error) {
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
