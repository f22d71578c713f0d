package server

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// bound is a socket that has its address but does not listen yet: the real
// server binds before it starts the engine, so that a taken port fails early,
// and refuses connections until it is ready. net.Listen can only do both.
type bound struct {
	fd   int
	path string // of a Unix socket
	url  string
}

// bind reports a taken address in Python's words.
func bind(o serveOptions) (bound, error) {
	var address unix.Sockaddr
	family, b := unix.AF_INET, bound{}
	if o.uds != "" {
		family, address, b.path, b.url = unix.AF_UNIX, &unix.SockaddrUnix{Name: o.uds}, o.uds, "unix:"+o.uds
	} else {
		host := o.host
		if host == "" {
			host = "0.0.0.0"
		}
		tcp, err := net.ResolveTCPAddr("tcp4", net.JoinHostPort(host, fmt.Sprint(o.port)))
		if err != nil {
			return b, fmt.Errorf("socket.gaierror: %w", err)
		}
		in := &unix.SockaddrInet4{Port: tcp.Port}
		copy(in.Addr[:], tcp.IP.To4())
		address, b.url = in, fmt.Sprintf("http://%s:%d", host, o.port)
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return b, fmt.Errorf("OSError: %w", err)
	}
	b.fd = fd
	if b.path == "" {
		// A port of a server that just ended can be used again at once.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, address)
	}
	if err != nil {
		_ = unix.Close(fd)
		return b, pythonError(err)
	}
	return b, nil
}

func (b bound) listen() (net.Listener, error) {
	// Two that are bound and not listening can share a port; the second one
	// notices here, as the real one does.
	if err := unix.Listen(b.fd, unix.SOMAXCONN); err != nil {
		return nil, pythonError(err)
	}
	f := os.NewFile(uintptr(b.fd), b.url)
	defer f.Close() // FileListener has its own copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("OSError: %w", err)
	}
	return l, nil
}

// remove takes a Unix socket's file away.
func (b bound) remove() {
	if b.path != "" {
		_ = os.Remove(b.path) // somebody else may have
	}
}

func pythonError(err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return errors.New("OSError: [Errno 98] Address already in use")
	case errors.Is(err, unix.EACCES):
		return errors.New("PermissionError: [Errno 13] Permission denied")
	}
	return fmt.Errorf("OSError: %w", err)
}
