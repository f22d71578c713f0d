package serving

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// masterPort tells the launch program of a server on several nodes where its ranks meet: at a port of the first node, which is this
// one.
const masterPort = "VTUNE_MASTER_PORT"

// meeting is the setting of masterPort for one start, or nothing where one node holds the server. The ranks come from other nodes,
// so the port must be free on every interface. Somebody may take it before the head does; then the head says so, and another start
// has another port.
func (s *Server) meeting() ([]string, error) {
	if s.serve.Server.Launch == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		return nil, fmt.Errorf("look for a port at which ranks can meet: %w", err)
	}
	defer l.Close()
	return []string{masterPort + "=" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}, nil
}

// interrupt asks the ranks of a server on several nodes to end by themselves. They are no children of this process, and their
// launcher, srun, makes of a SIGTERM a SIGKILL for all of them, which would leave shared memory behind on every node; a SIGINT it
// hands on.
func (s *Server) interrupt(ctx context.Context, grace time.Duration) {
	if s.serve.Server.Launch == "" || s.process.SignalGroup(syscall.SIGINT) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	select {
	case <-s.process.Done():
	case <-ctx.Done():
	}
}
