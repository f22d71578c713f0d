package wire

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A burst is larger than the queue of connections that the server's socket has: it waits for room instead of failing.
func TestAFullQueueOfConnectionsIsWaitedFor(t *testing.T) {
	path, fd := crowded(t)
	const burst = 20
	var wait sync.WaitGroup
	failed := make(chan error, burst)
	for range burst {
		wait.Go(func() {
			c, err := DialSocket(t.Context(), &net.Dialer{Timeout: 10 * time.Second}, path)
			if err != nil {
				failed <- err
				return
			}
			c.Close()
		})
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for range burst {
			if c, _, err := unix.Accept(fd); err == nil {
				unix.Close(c)
			}
		}
	}()
	wait.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	<-accepted
}

func TestAFullQueueIsNotWaitedForWithoutEnd(t *testing.T) {
	path, _ := crowded(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var refused error
	for range 5 { // nobody accepts
		c, err := DialSocket(ctx, &net.Dialer{Timeout: time.Second}, path)
		if err != nil {
			refused = err
			break
		}
		defer c.Close()
	}
	if refused == nil {
		t.Error("a queue of one took five connections")
	}
}

// crowded is a socket with a queue of one connection, which nobody accepts by itself.
func crowded(t *testing.T) (path string, fd int) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	return path, fd
}
