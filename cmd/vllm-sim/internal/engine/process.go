// Package engine is vllm-sim's engine process, and the API server's handle on
// it: the clock, the memory ledger and the pipes around internal/sim. It must
// not speak HTTP.
package engine

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/internal/sim"
)

// orphanLife bounds how long an engine outlives a killed API server. The real
// one stays for good; this is long enough for everybody to notice that it is
// there, and keeps a demo from littering the machine.
const orphanLife = 10 * time.Minute

// shutdownTime is what the real processes take to end after SIGTERM.
const shutdownTime = 2200 * time.Millisecond

// signalSpread is how far apart processes may notice one signal to all of them.
const signalSpread = 100 * time.Millisecond

// flushEvery is the shortest real time between two reports of tokens. At large
// time scales a step takes less than a timer can tell, so several are computed
// and reported together.
const flushEvery = time.Millisecond

var (
	errShutdown = errors.New("shut down")
	errOrphaned = errors.New("the API server is gone")
)

// process is the engine with a clock around it.
type process struct {
	Start
	world  cli.World
	log    cli.Logger
	orders *mailbox
	out    *gob.Encoder
	engine *sim.Engine
	began  time.Time
	unsent []sim.Token
	sentAt time.Time
	due    time.Time // end of the last step
	ended  int
	trace  *trace
	lost   <-chan error // a rank of another node; nil: there are none
}

// Run is the body of the engine process.
func Run(w cli.World) error {
	in, out := os.NewFile(3, "orders"), os.NewFile(4, "reports")
	p := &process{world: w, log: cli.Logger{Out: w.Stdout, Role: "EngineCore"}, out: gob.NewEncoder(out), orders: newMailbox()}
	dec := gob.NewDecoder(in)
	if err := dec.Decode(&p.Start); err != nil {
		return fmt.Errorf("engine process: it is started by `serve` only: %w", err)
	}
	go p.orders.fill(dec)
	err := p.live()
	switch {
	case errors.Is(err, errShutdown):
		select {
		case <-time.After(p.real(shutdownTime)):
		case <-w.Signals: // told twice
		}
		return nil
	case errors.Is(err, errOrphaned):
		select {
		case <-time.After(orphanLife):
		case <-w.Signals:
		}
		return nil
	}
	return p.die(exception(err))
}

// exception is an error as Python's last line of a traceback has it.
func exception(err error) string {
	var start *sim.StartError
	if errors.As(err, &start) {
		return start.Error()
	}
	return "RuntimeError: " + err.Error()
}

// die logs as the real engine does: the cause twice, once with a level and
// once as the end of a bare traceback.
func (p *process) die(cause string) error {
	for _, text := range []string{"EngineCore failed.", "Traceback (most recent call last):", cause} {
		p.log.Line("ERROR", "core.py:1136", "%s", text)
	}
	p.log.Bare("Process EngineCore:")
	p.log.Bare("Traceback (most recent call last):")
	p.log.Bare("%s", cause)
	return cli.ExitError(1)
}

func (p *process) live() error {
	if err := p.start(); err != nil {
		return err
	}
	p.began = time.Now()
	for {
		if err := p.obey(); err != nil {
			return err
		}
		s, err := p.engine.Step()
		if errors.Is(err, sim.ErrIdle) {
			if err := p.until(p.due); err != nil {
				return err
			}
			p.flush()
			if err := p.idle(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		p.trace.add(s)
		for _, t := range s.Tokens {
			p.unsent = append(p.unsent, t)
			if t.Last {
				p.ended++
			}
		}
		p.due = p.began.Add(p.real(s.End))
		if p.due.Sub(p.sentAt) >= flushEvery {
			if err := p.until(p.due); err != nil {
				return err
			}
			p.flush()
		}
		if n := p.Faults.CrashAfter; n > 0 && p.ended >= n {
			p.flush()
			return fmt.Errorf("simulated crash after %d requests (VLLM_SIM_FAIL)", n)
		}
	}
}

// start takes the time and does what can fail in the Order of the real one:
// the free-memory check first, all else after weights and profiling.
func (p *process) start() error {
	l := ledger{p.MachineDir}
	c := p.Config
	key := sim.CompileKey(c)
	times := sim.StartTimes(c, l.compiled(key), p.Dummy)
	p.log.Info("core.py:112", "Initializing a V1 LLM engine (v%s, a simulation on %s) with config: max_num_seqs=%d, max_num_batched_tokens=%d, max_model_len=%d",
		cli.Version, c.Hardware.Name, c.Options.MaxSeqs, c.Options.MaxTokens, c.Options.MaxLength)
	if err := p.wait(times.Process); err != nil {
		return err
	}
	switch {
	case p.Faults.HangAtStart:
		p.log.Info("core.py:120", "Hanging (VLLM_SIM_FAIL)")
		return p.wait(1000 * time.Hour)
	case p.Faults.CrashAtStart:
		return errors.New("simulated crash at start (VLLM_SIM_FAIL)")
	}
	if g := p.Group; g != nil {
		p.log.Info("multiproc_executor.py:155", "DP group leader: node_rank=0, master_addr=%s, world_size=%d, local_world_size=%d", g.Address, g.Tensor*g.Pipeline, len(p.Devices))
		var err error
		p.lost, err = g.muster(p.real(meetTime), p.orders.ended)
		if told := p.orders.why(); told != nil {
			return told
		}
		if err != nil {
			return err
		}
	}
	err := l.claim(p.Devices, func(heldGiB float64) (takeGiB float64, err error) {
		c.HeldGiB = heldGiB
		p.engine, err = sim.New(c)
		return c.Options.Utilization * c.Hardware.MemoryGiB, err
	})
	var failed *sim.StartError
	if errors.As(err, &failed) && failed.Late {
		// Found only by loading and profiling, which is not worth booking.
		if err := p.wait(times.Weights + times.Profiling); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	p.log.Info("gpu_model_runner.py:4481", "Model loading took %.2f GiB memory and %.6f seconds", p.engine.Memory().Weights, times.Weights.Seconds())
	if err := p.wait(times.AfterProcess()); err != nil {
		return err
	}
	l.compile(key)
	p.logStart(times)
	return p.send(report{Kind: reportReady, Memory: p.engine.Memory()})
}

func (p *process) logStart(times sim.Start) {
	m, o := p.engine.Memory(), p.Config.Options
	if !o.Eager {
		p.log.Info("monitor.py:48", "torch.compile took %.2f s in total", times.Compile.Seconds())
		p.log.Info("gpu_model_runner.py:5571", "Estimated CUDA graph memory: %.2f GiB total", m.Graphs)
	}
	p.log.Info("gpu_worker.py:436", "Available KV cache memory: %.2f GiB", m.KVCache)
	p.log.Info("kv_cache_utils.py:1319", "GPU KV cache size: %s tokens", cli.Thousands(m.KVTokens))
	p.log.Info("kv_cache_utils.py:1324", "Maximum concurrency for %s tokens per request: %.2fx", cli.Thousands(o.MaxLength), m.Concurrency)
	if !o.Eager {
		p.log.Info("gpu_model_runner.py:5662", "Graph capturing finished in %.0f secs, took %.2f GiB", times.Graphs.Seconds(), m.Graphs)
	}
	p.log.Info("core.py:283", "init engine (profile, create kv cache, warmup model) took %.2f s (compilation: %.2f s)", times.AfterProcess().Seconds(), times.Compile.Seconds())
}

// obey carries out all orders that have come.
func (p *process) obey() error {
	orders, err := p.orders.take()
	for _, o := range orders {
		switch o.Kind {
		case Add:
			// The API server has checked it; a refusal would be a bug of ours.
			if err := p.engine.Submit(o.Request, p.virtual(o.at)); err != nil {
				return err
			}
		case Abort:
			p.engine.Abort(o.Request.ID)
		case ResetCache:
			if err := p.send(report{Kind: reportDone, OK: p.engine.ResetPrefixCache()}); err != nil {
				return err
			}
		case StartProfile:
			p.trace = newTrace(*p.Profiler, p.TPU)
			if err := p.send(report{Kind: reportDone, OK: true}); err != nil {
				return err
			}
		case StopProfile:
			if err := p.stopProfile(); err != nil {
				return err
			}
		case shutdown:
			return errShutdown
		}
	}
	return err
}

func (p *process) stopProfile() error {
	t := p.trace
	p.trace = nil
	if err := p.wait(t.writeTime()); err != nil {
		return err
	}
	err := t.write(p.Profiler.Dir, time.Now())
	if err != nil {
		p.log.Line("ERROR", "wrapper.py:98", "Profiler trace was not written: %v", err)
	}
	return p.send(report{Kind: reportDone, OK: err == nil})
}

// flush reports what the steps brought.
func (p *process) flush() {
	p.sentAt = time.Now()
	// Without tokens the report still carries the gauges of an engine at rest.
	// A report that cannot be sent means that the API server is gone, which
	// the mailbox says as well.
	_ = p.send(report{Kind: reportTokens, Tokens: p.unsent, Stats: p.engine.Stats()})
	p.unsent = p.unsent[:0]
}

func (p *process) send(r report) error {
	if err := p.out.Encode(r); err != nil {
		return errOrphaned
	}
	return nil
}

func (p *process) real(virtual time.Duration) time.Duration {
	return time.Duration(float64(virtual) / p.Scale)
}

func (p *process) virtual(t time.Time) time.Duration {
	return time.Duration(float64(t.Sub(p.began)) * p.Scale)
}

// wait lets virtual time pass; only the end of this process cuts it short.
func (p *process) wait(virtual time.Duration) error {
	return p.until(time.Now().Add(p.real(virtual)))
}

func (p *process) until(due time.Time) error {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-p.orders.ended:
		return p.orders.why()
	case err := <-p.lost:
		return p.bereft(err)
	case <-p.world.Signals:
		return errShutdown
	}
}

// bereft is how the loss of a rank ends this one. A signal to all ranks may reach the other first.
func (p *process) bereft(loss error) error {
	select {
	case <-p.world.Signals:
		return errShutdown
	case <-p.orders.ended:
		return p.orders.why()
	case <-time.After(signalSpread):
		return loss
	}
}

// idle waits for an Order.
func (p *process) idle() error {
	select {
	case <-p.orders.arrived:
		return nil
	case <-p.orders.ended:
		return p.orders.why()
	case err := <-p.lost:
		return p.bereft(err)
	case <-p.world.Signals:
		return errShutdown
	}
}

// mailbox collects orders with the time they came, so that a step in progress
// does not shift the arrival of a request. It never blocks the sender.
type mailbox struct {
	arrived chan struct{} // has one element while something is there
	ended   chan struct{} // closed on shutdown or when the sender is gone

	mu     sync.Mutex
	orders []dated
	reason error
}

type dated struct {
	Order
	at time.Time
}

func newMailbox() *mailbox {
	return &mailbox{arrived: make(chan struct{}, 1), ended: make(chan struct{})}
}

func (m *mailbox) fill(dec *gob.Decoder) {
	for {
		var o Order
		err := dec.Decode(&o)
		m.mu.Lock()
		switch {
		case err != nil:
			m.reason = errOrphaned
		case o.Kind == shutdown:
			m.reason = errShutdown
		default:
			m.orders = append(m.orders, dated{o, time.Now()})
		}
		end := m.reason != nil
		m.mu.Unlock()
		if end {
			close(m.ended)
			return
		}
		select {
		case m.arrived <- struct{}{}:
		default:
		}
	}
}

func (m *mailbox) take() ([]dated, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	orders := m.orders
	m.orders = nil
	return orders, m.reason
}

func (m *mailbox) why() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reason
}
