package engine

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/internal/sim"
)

// Handle is the API server's side of the engine process.
type Handle struct {
	process *exec.Cmd
	orders  chan Order    // never closed; nobody reads it once gone is closed
	ready   chan struct{} // closed by the first report
	gone    chan struct{} // closed when the process has ended
	memory  sim.Memory    // valid once ready
	asking  sync.Mutex    // orders with an answer go one at a time
	done    chan bool     // their answers
}

// Ready is closed when the engine is up.
func (e *Handle) Ready() <-chan struct{} { return e.ready }

// Gone is closed when the engine process has ended.
func (e *Handle) Gone() <-chan struct{} { return e.gone }

// Blocks is the size of the KV cache. It may be called once Ready is closed.
func (e *Handle) Blocks() int { return e.memory.Blocks }

// Spawn starts the engine in the process group of this process, so that
// whoever kills the group gets both. deliver gets what every report brings.
func Spawn(start Start, w cli.World, deliver func([]sim.Token, sim.Stats)) (*Handle, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start engine process: %w", err)
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start engine process: %w", err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start engine process: %w", errors.Join(err, theirIn.Close(), in.Close()))
	}
	cmd := exec.Command(self, Command)
	cmd.Stdout, cmd.Stderr = w.Stdout, w.Stderr
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	err = cmd.Start()
	if closed := errors.Join(theirIn.Close(), theirOut.Close()); err != nil || closed != nil {
		return nil, fmt.Errorf("start engine process: %w", errors.Join(err, closed))
	}
	e := &Handle{
		process: cmd, orders: make(chan Order, 256), ready: make(chan struct{}),
		gone: make(chan struct{}), done: make(chan bool, 1),
	}
	go e.write(gob.NewEncoder(in), start)
	go e.read(gob.NewDecoder(out), deliver)
	return e, nil
}

// write forwards orders; when the engine is gone, what comes is dropped.
func (e *Handle) write(enc *gob.Encoder, start Start) {
	if err := enc.Encode(start); err != nil {
		return // the reader notices the same and closes gone
	}
	for {
		select {
		case o := <-e.orders:
			if err := enc.Encode(o); err != nil {
				return
			}
		case <-e.gone:
			return
		}
	}
}

// Send passes an order on; an engine that is gone gets none.
func (e *Handle) Send(o Order) {
	select {
	case e.orders <- o:
	case <-e.gone:
	}
}

// Ask sends an order that has an answer and waits for it. A dead engine says
// no. It may take minutes of virtual time to write a trace.
func (e *Handle) Ask(kind OrderKind) bool {
	e.asking.Lock()
	defer e.asking.Unlock()
	e.Send(Order{Kind: kind})
	select {
	case ok := <-e.done:
		return ok
	case <-e.gone:
		return false
	}
}

func (e *Handle) read(dec *gob.Decoder, deliver func([]sim.Token, sim.Stats)) {
	defer close(e.gone)
	for {
		var r report
		if err := dec.Decode(&r); err != nil {
			break
		}
		switch r.Kind {
		case reportReady:
			e.memory = r.Memory
			close(e.ready)
		case reportTokens:
			deliver(r.Tokens, r.Stats)
		case reportDone:
			e.done <- r.OK
		}
	}
	_ = e.process.Wait() // how it ended is in its log
}

// ToldToStop waits a moment for a signal after the engine's end: a signal to
// the whole group may reach the engine first.
func (e *Handle) ToldToStop(w cli.World) bool {
	select {
	case <-w.Signals:
		return true
	case <-time.After(signalSpread):
		return false
	}
}

// Stop ends the engine and waits for it: politely, then not.
func (e *Handle) Stop(log cli.Logger) {
	e.Send(Order{Kind: shutdown})
	select {
	case <-e.gone:
		return
	case <-time.After(10 * time.Second):
	}
	log.Line("WARNING", "utils.py:391", "The engine process did not end in time and is killed")
	_ = e.process.Process.Kill() // it may have ended just now
	<-e.gone
}
