// Package hardware says what a node is and how it does: CPU and kernel by /proc, GPUs by nvidia-smi where there is one. It keeps
// an attempt's record of both. It judges nothing: whether a node is as good as the others is the collector's to say, who sees them
// all. It never fails: what does not answer in time is left out.
package hardware

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"vtune/internal/fsx"
	"vtune/internal/proc"
	"vtune/internal/record"
)

// Patience bounds one question. On a node whose driver is not kept loaded the first one takes seconds; on one whose GPU has fallen
// off the bus it never ends.
const Patience = 10 * time.Second

const program = "nvidia-smi"

// Watch keeps one attempt's record of its node. Its methods may be called from any goroutine.
type Watch struct {
	Path string      // of the attempt's health.json
	Job  string      // whose attempt it is
	Node string      // its name
	Mark string      // of the attempt's processes
	Env  []string    // of the job
	Dir  string      // working directory of what is started
	Say  func(error) // is told what could not be published

	mu     sync.Mutex
	health record.Health
	gpus   bool // there is something to ask about
}

// Look is what the node says of itself before any load.
func (w *Watch) Look(ctx context.Context) record.Hardware {
	h := record.Hardware{CPU: cpuModel(readAll("/proc/cpuinfo")), Cores: runtime.NumCPU(), Kernel: strings.TrimSpace(readAll("/proc/sys/kernel/osrelease"))}
	h.GPUs, h.Driver = w.ask(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gpus = len(h.GPUs) > 0
	return h
}

// Loaded looks at the GPUs once, when a load has gone on for a while: at its end they would be idle, and clocks and throttling of an
// idle GPU mean nothing. over is called when the load has ended; an answer that has not come by then is not waited for, since it may
// be of an idle GPU.
func (w *Watch) Loaded(ctx context.Context, after time.Duration) (over func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.gpus {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-ctx.Done():
			return
		case <-time.After(after):
		}
		gpus, _ := w.ask(ctx)
		if ctx.Err() == nil && len(gpus) > 0 {
			w.learn(func(h *record.Health) { h.Loaded = worst(h.Loaded, gpus) })
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// Checked keeps what the self-check showed.
func (w *Watch) Checked(c record.Check) { w.learn(func(h *record.Health) { h.Check = &c }) }

// learn publishes at once: what kills an attempt must not take along what was known.
func (w *Watch) learn(what func(*record.Health)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what(&w.health)
	w.health.Schema, w.health.Job, w.health.Node = record.Schema, w.Job, w.Node
	if err := fsx.PublishJSON(w.Path, w.health); err != nil {
		w.Say(err)
	}
}

// ask nvidia-smi about the job's GPUs. A field that the driver does not know costs another question, without it.
func (w *Watch) ask(ctx context.Context) ([]record.GPU, string) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for asked := fields; len(asked) > 0; {
		answer, ok := w.run(ctx, asked)
		if !ok {
			return nil, ""
		}
		fewer, again := without(asked, answer)
		if !again {
			gpus, driver := parse(answer, asked)
			visible, set := lookup(w.Env, "CUDA_VISIBLE_DEVICES")
			return own(gpus, visible, set), driver
		}
		asked = fewer
	}
	return nil, ""
}

// run returns what nvidia-smi says, whatever its exit code: a message about a field comes with one, and so do the lines of GPUs
// that are well beside one that is not. A process that cannot be ended (its driver hangs in the kernel) is left behind.
func (w *Watch) run(ctx context.Context, asked []field) (answer string, ok bool) {
	var names []string
	for _, f := range asked {
		names = append(names, f.names[0])
	}
	var out limited
	p, err := proc.Start(proc.Spec{
		Argv: []string{program, "--query-gpu=" + strings.Join(names, ","), "--format=csv,noheader,nounits"},
		Env:  w.Env, Dir: w.Dir, Stdout: &out, Stderr: &out, Mark: w.Mark, DieWithCaller: true,
	})
	if err != nil { // on most machines without NVIDIA's GPUs: there is no such program
		return "", false
	}
	select {
	case <-p.Done():
		return out.String(), true
	case <-ctx.Done():
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Stop(context.Background(), 0) // what is left of it, the attempt's end sweeps
	}()
	select {
	case <-ended:
	case <-time.After(time.Second):
	}
	return "", false
}

// limited keeps the beginning of what is written: 64 GPUs need less than 16 KiB.
type limited struct{ bytes.Buffer }

const most = 64 << 10

func (l *limited) Write(p []byte) (int, error) {
	l.Buffer.Write(p[:min(len(p), max(0, most-l.Len()))])
	return len(p), nil
}

func lookup(env []string, name string) (value string, set bool) {
	for _, e := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

func readAll(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// cpuModel is the first one that /proc/cpuinfo names; not every architecture does.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
