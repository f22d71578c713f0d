package engine

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"vtune/cmd/vllm-sim/internal/cli"
	"vtune/internal/sim"
)

// Profiler is --profiler-config.
type Profiler struct {
	Kind          string `json:"profiler"`
	Dir           string `json:"torch_profiler_dir"`
	Delay         int    `json:"delay_iterations"`
	MaxIterations int    `json:"max_iterations"` // 0: no limit
}

// trace collects the steps between /start_profile and /stop_profile, in the
// bounds of the Profiler's configuration. A nil trace collects nothing.
type trace struct {
	delay, limit int
	tpu          bool
	steps        []sim.Step
}

// newTrace is of a TPU's own profiler, which knows no bounds, if so wanted.
func newTrace(p Profiler, tpu bool) *trace {
	if tpu {
		return &trace{tpu: true}
	}
	return &trace{delay: p.Delay, limit: p.MaxIterations}
}

func (t *trace) add(s sim.Step) {
	switch {
	case t == nil:
	case t.delay > 0:
		t.delay--
	case t.limit == 0 || len(t.steps) < t.limit:
		s.Tokens = nil // only valid until the next step
		t.steps = append(t.steps, s)
	}
}

// writeTime was 94 s for about 900 steps on an H200: it is bound by the number
// of kernels, which is much the same in every step.
func (t *trace) writeTime() time.Duration {
	if t == nil {
		return 0
	}
	return time.Second + time.Duration(len(t.steps))*100*time.Millisecond
}

// write makes a trace file of the Chrome format under the name torch gives it,
// or of XLA's under its.
func (t *trace) write(dir string, now time.Time) error {
	if t == nil {
		return errors.New("profiling was not started")
	}
	if t.tpu {
		return t.writeXSpace(dir, now)
	}
	type event struct {
		Phase    string         `json:"ph"`
		Category string         `json:"cat"`
		Name     string         `json:"name"`
		PID      int            `json:"pid"`
		TID      int            `json:"tid"`
		Start    float64        `json:"ts"` // microseconds, as dur
		Duration float64        `json:"dur"`
		Args     map[string]int `json:"args"`
	}
	events := []event{}
	for _, s := range t.steps {
		events = append(events, event{
			Phase: "X", Category: "user_annotation", PID: os.Getpid(), TID: 1,
			Name:  fmt.Sprintf("execute_context_%d_generation_%d", s.Prefill, s.Decodes),
			Start: float64(s.Start.Microseconds()), Duration: float64((s.End - s.Start).Microseconds()),
			Args: map[string]int{"prefill_tokens": s.Prefill, "decodes": s.Decodes, "preempted": s.Preempted},
		})
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("rank0.%d.pt.trace.json.gz", now.UnixNano())))
	if err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	z := gzip.NewWriter(f)
	err = json.NewEncoder(z).Encode(map[string]any{"schemaVersion": 1, "simulation": cli.Version, "traceEvents": events})
	if err := errors.Join(err, z.Close(), f.Close()); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}
