package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/internal/sim"
)

// meetTime is how long ranks wait for each other, in virtual time; torch's patience.
const meetTime = 10 * time.Minute

// dialEvery is the pause between two tries to reach the head, in real time.
const dialEvery = 50 * time.Millisecond

// Group is a server's place among the nodes of --nnodes, as every rank of it must have been told. The real ranks meet by torch;
// ours connect to the head and say who they are, so that a wrong launch fails here as it would there, only sooner and in clearer
// words.
type Group struct {
	Nodes, Rank int
	Tensor      int
	Pipeline    int
	Model       string
	Address     string `json:"-"` // host:port of the head
}

type welcome struct{ Error string }

// muster is the head's side: it waits until every other rank has come. lost then tells which of them has gone.
func (g Group) muster(patience time.Duration, ended <-chan struct{}) (lost <-chan error, err error) {
	l, err := net.Listen("tcp", g.Address)
	if err != nil {
		_, port, _ := net.SplitHostPort(g.Address)
		return nil, torchError("DistNetworkError", "The server socket has failed to listen on any local network address. port: %s, useIpv6: false, name: EADDRINUSE, message: %v", port, err)
	}
	defer l.Close()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-ended:
		case <-time.After(patience):
		case <-over:
		}
		l.Close()
	}()
	ranks := map[int]*json.Encoder{}
	gone := make(chan error, g.Nodes)
	for len(ranks) < g.Nodes-1 {
		c, err := l.Accept()
		if err != nil {
			return nil, torchError("DistStoreError", "Timed out after %.0f seconds waiting for clients. %d/%d clients joined.", meetTime.Seconds(), len(ranks)+1, g.Nodes)
		}
		answer, ask := json.NewEncoder(c), json.NewDecoder(c)
		var other Group
		if err := ask.Decode(&other); err != nil {
			c.Close() // somebody looked whether the port is open
			continue
		}
		if why := g.refuses(other, ranks); why != "" {
			return nil, errors.Join(errors.New(why), answer.Encode(welcome{why}))
		}
		ranks[other.Rank] = answer
		go func() {
			var nothing welcome
			err := ask.Decode(&nothing) // until the connection ends
			gone <- fmt.Errorf("[gloo/transport/tcp/pair.cc] Connection closed by peer %s: node rank %d is lost (%w)", c.RemoteAddr(), other.Rank, err)
		}()
	}
	for _, answer := range ranks {
		if err := answer.Encode(welcome{}); err != nil {
			return nil, fmt.Errorf("a rank has gone: %w", err)
		}
	}
	return gone, nil
}

func torchError(class, format string, args ...any) error {
	return &sim.StartError{Type: "torch.distributed." + class, Message: fmt.Sprintf(format, args...)}
}

// refuses says what is wrong with another rank; empty: nothing.
func (g Group) refuses(other Group, known map[int]*json.Encoder) string {
	same := other
	same.Rank, same.Address = g.Rank, g.Address
	switch {
	case same != g:
		return fmt.Sprintf("node rank %d was started as %+v, the head as %+v", other.Rank, other, g)
	case other.Rank < 1 || other.Rank >= g.Nodes:
		return fmt.Sprintf("node rank %d of %d nodes", other.Rank, g.Nodes)
	case known[other.Rank] != nil:
		return fmt.Sprintf("node rank %d came twice", other.Rank)
	}
	return ""
}

// join is a headless rank's side: it returns when the head says that all are there. over is closed when the head has gone.
func (g Group) join(patience time.Duration, signals <-chan os.Signal) (over <-chan struct{}, err error) {
	deadline := time.Now().Add(patience)
	var c net.Conn
	for c == nil {
		if c, err = net.DialTimeout("tcp", g.Address, patience); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return nil, torchError("DistNetworkError", "The client socket has timed out after %dms while trying to connect to %s: %v", meetTime.Milliseconds(), g.Address, err)
		}
		select {
		case <-signals:
			return nil, errShutdown
		case <-time.After(dialEvery):
		}
	}
	answers := json.NewDecoder(c)
	if err := json.NewEncoder(c).Encode(g); err != nil {
		return nil, fmt.Errorf("the head has gone: %w", err)
	}
	answer := make(chan error, 1)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		var w welcome
		err := answers.Decode(&w)
		if err == nil && w.Error != "" {
			err = errors.New(w.Error)
		}
		if answer <- err; err == nil {
			_ = answers.Decode(&w) // until the head is gone
		}
	}()
	select {
	case <-signals:
		return nil, errShutdown
	case err := <-answer:
		if err != nil {
			return nil, fmt.Errorf("the head refused this rank: %w", err)
		}
	}
	return closed, nil
}

// Headless is a rank without an API server: it takes the memory of its node's GPUs and waits for orders, of which a simulation has
// none. One whose head has gone stays, as a real one may in a collective that nobody else takes part in: who starts ranks has to end
// them.
func Headless(s Start, w cli.World) error {
	log := cli.Logger{Out: w.Stdout, Role: "Worker"}
	scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) / s.Scale) }
	fail := func(cause error) error {
		log.Line("ERROR", "multiproc_executor.py:953", "WorkerProc failed to start.")
		log.Bare("Traceback (most recent call last):")
		log.Bare("%s", exception(cause))
		return cli.ExitError(1)
	}
	log.Info("serve.py:224", "Launching vLLM (v%s) headless multiproc executor, with head node address %s for torch.distributed process group.", cli.Version, s.Group.Address)
	select {
	case <-time.After(scaled(sim.StartTimes(s.Config, true, true).Process)):
	case <-w.Signals:
		return nil
	}
	over, err := s.Group.join(scaled(meetTime), w.Signals)
	if errors.Is(err, errShutdown) {
		return nil
	}
	if err != nil {
		return fail(err)
	}
	c := s.Config
	err = ledger{s.MachineDir}.claim(s.Devices, func(heldGiB float64) (float64, error) {
		c.HeldGiB = heldGiB
		_, err := sim.New(c)
		return c.Options.Utilization * c.Hardware.MemoryGiB, err
	})
	if err != nil {
		return fail(err)
	}
	log.Info("multiproc_executor.py:940", "Node rank %d of %d holds %d simulated GPUs", s.Group.Rank, s.Group.Nodes, len(s.Devices))
	select {
	case <-w.Signals:
		return nil
	case <-over:
	}
	log.Line("WARNING", "vllm_sim", "[c10d] recvValue failed: the head has gone; this rank stays until it is told to end")
	select {
	case <-w.Signals:
		return nil
	case <-time.After(orphanLife):
		return cli.ExitError(1)
	}
}
