// Package server is vllm-sim's API server: the process from its command line to
// its exit code, and its HTTP routes. The engine is another process, see
// internal/engine beside this package.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/cmd/vllm-sim/internal/engine"
	"vtune/internal/sim"
)

// Serve is the API server process, from its imports to its exit code.
func Serve(args []string, w cli.World) error {
	o, err := parseServe(args, w.Env)
	if err != nil {
		return err
	}
	log := cli.Logger{Out: w.Stdout, Role: "APIServer"}
	log.Line("WARNING", "vllm_sim", "This is vllm-sim %s, a simulation: no model is loaded and no GPU is used (%s, model shape %s, %gx time)",
		cli.Version, o.engine.Config.Hardware.Name, o.engine.Config.Model.Name, o.scale)
	log.Info("api_server.py:1977", "vLLM API server version %s", cli.Version)
	// fail ends a start as Python does: a traceback whose last line says why.
	fail := func(cause error) error {
		log.Bare("Traceback (most recent call last):")
		log.Bare("%v", cause)
		return cli.ExitError(1)
	}
	scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) / o.engine.Scale) }
	select {
	case <-time.After(scaled(sim.StartTimes(o.engine.Config, true, true).Imports)):
	case <-w.Signals:
		return nil
	}
	if o.headless {
		return engine.Headless(o.engine, w)
	}
	if o.ray != "" {
		if err := findRay(o.ray); err != nil {
			return fail(err)
		}
		log.Line("WARNING", "vllm_sim", "The Ray cluster at %s answers; the simulation starts no workers on it", o.ray)
	}
	if n := o.engine.Config.Options.PipelineParallel; n > 1 {
		log.Line("WARNING", "vllm_sim", "The %d stages of the simulated pipeline have one batch between them, where real ones overlap: latency is as real, throughput is less", n)
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
	e, err := engine.Spawn(o.engine, w, api.deliver)
	if err != nil {
		return fail(err)
	}
	select {
	case <-e.Ready():
	case <-e.Gone():
		if e.ToldToStop(w) {
			return nil
		}
		return fail(errors.New("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"))
	case <-w.Signals:
		e.Stop(log)
		return nil
	}
	listener, err := socket.listen()
	if err != nil {
		e.Stop(log)
		return fail(err)
	}
	server := &http.Server{Handler: api.routes(e), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.Info("api_server.py:580", "Starting vLLM server on %s", socket.url)
	log.Bare("INFO:     Application startup complete.")
	select {
	case <-w.Signals:
		log.Bare("INFO:     Shutting down")
		_ = server.Close() // open streams are cut, as the real one cuts them
		e.Stop(log)
		log.Bare("INFO:     Application shutdown complete.")
		return nil
	case <-e.Gone():
		if e.ToldToStop(w) {
			return nil
		}
		log.Line("ERROR", "async_llm.py:704", "AsyncLLM output_handler failed.")
		log.Bare("vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.")
		// Open requests get their error, and /health its 503, before the end.
		ctx, cancel := context.WithTimeout(context.Background(), max(scaled(time.Second), 200*time.Millisecond))
		defer cancel()
		<-ctx.Done()
		_ = server.Close()
		return cli.ExitError(1)
	case err := <-served:
		e.Stop(log)
		return fail(fmt.Errorf("serve: %w", err))
	}
}
