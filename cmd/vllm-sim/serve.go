package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"time"

	"vtune/internal/sim"
)

// serve is the API server process, from its imports to its exit code.
func serve(args []string, w world) error {
	o, err := parseServe(args, w.env)
	if err != nil {
		return err
	}
	log := logger{w.stdout, "APIServer"}
	log.line("WARNING", "vllm_sim", "This is vllm-sim %s, a simulation: no model is loaded and no GPU is used (%s, model shape %s, %gx time)",
		version, o.engine.Config.Hardware.Name, o.engine.Config.Model.Name, o.engine.Scale)
	log.info("api_server.py:1977", "vLLM API server version %s", version)
	// fail ends a start as Python does: a traceback whose last line says why.
	fail := func(cause error) error {
		log.bare("Traceback (most recent call last):")
		log.bare("%v", cause)
		return exitError(1)
	}
	scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) / o.engine.Scale) }
	select {
	case <-time.After(scaled(sim.StartTimes(o.engine.Config, true, true).Imports)):
	case <-w.signals:
		return nil
	}
	socket, err := bind(o)
	if err != nil {
		return fail(err)
	}
	defer socket.remove()
	if err := sim.Check(o.engine.Config); err != nil {
		return fail(err)
	}
	api := newAPI(o)
	e, err := spawn(o.engine, w, api.deliver)
	if err != nil {
		return fail(err)
	}
	select {
	case <-e.ready:
	case <-e.gone:
		if e.toldToStop(w) {
			return nil
		}
		return fail(errors.New("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"))
	case <-w.signals:
		e.stop(log)
		return nil
	}
	listener, err := socket.listen()
	if err != nil {
		e.stop(log)
		return fail(err)
	}
	server := &http.Server{Handler: api.routes(e), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.info("api_server.py:580", "Starting vLLM server on %s", socket.url)
	log.bare("INFO:     Application startup complete.")
	select {
	case <-w.signals:
		log.bare("INFO:     Shutting down")
		_ = server.Close() // open streams are cut, as the real one cuts them
		e.stop(log)
		log.bare("INFO:     Application shutdown complete.")
		return nil
	case <-e.gone:
		if e.toldToStop(w) {
			return nil
		}
		log.line("ERROR", "async_llm.py:704", "AsyncLLM output_handler failed.")
		log.bare("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.")
		// Open requests get their error, and /health its 503, before the end.
		ctx, cancel := context.WithTimeout(context.Background(), max(scaled(time.Second), 200*time.Millisecond))
		defer cancel()
		<-ctx.Done()
		_ = server.Close()
		return exitError(1)
	case err := <-served:
		e.stop(log)
		return fail(fmt.Errorf("serve: %w", err))
	}
}

// engineHandle is the API server's side of the engine process.
type engineHandle struct {
	process *exec.Cmd
	orders  chan order    // never closed; nobody reads it once gone is closed
	ready   chan struct{} // closed by the first report
	gone    chan struct{} // closed when the process has ended
	memory  sim.Memory    // valid once ready
	done    chan bool     // answers to reset and profile orders
}

// spawn starts the engine in the process group of this process, so that
// whoever kills the group gets both. deliver gets what every report brings.
func spawn(start engineStart, w world, deliver func([]sim.Token, sim.Stats)) (*engineHandle, error) {
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
	cmd := exec.Command(self, engineCommand)
	cmd.Stdout, cmd.Stderr = w.stdout, w.stderr
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	err = cmd.Start()
	if closed := errors.Join(theirIn.Close(), theirOut.Close()); err != nil || closed != nil {
		return nil, fmt.Errorf("start engine process: %w", errors.Join(err, closed))
	}
	e := &engineHandle{
		process: cmd, orders: make(chan order, 256), ready: make(chan struct{}),
		gone: make(chan struct{}), done: make(chan bool, 1),
	}
	go e.write(gob.NewEncoder(in), start)
	go e.read(gob.NewDecoder(out), deliver)
	return e, nil
}

// write forwards orders; when the engine is gone, what comes is dropped.
func (e *engineHandle) write(enc *gob.Encoder, start engineStart) {
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

func (e *engineHandle) send(o order) {
	select {
	case e.orders <- o:
	case <-e.gone:
	}
}

func (e *engineHandle) read(dec *gob.Decoder, deliver func([]sim.Token, sim.Stats)) {
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

// toldToStop waits a moment for a signal after the engine's end: a signal to
// the whole group may reach the engine first.
func (e *engineHandle) toldToStop(w world) bool {
	select {
	case <-w.signals:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// stop ends the engine and waits for it: politely, then not.
func (e *engineHandle) stop(log logger) {
	e.send(order{Kind: orderShutdown})
	select {
	case <-e.gone:
		return
	case <-time.After(10 * time.Second):
	}
	log.line("WARNING", "utils.py:391", "The engine process did not end in time and is killed")
	_ = e.process.Process.Kill() // it may have ended just now
	<-e.gone
}
