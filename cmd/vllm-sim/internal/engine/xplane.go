package engine

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"vtune/internal/sim"
)

// message is a protocol buffer being written.
type message []byte

func (m message) number(field, value uint64) message {
	return binary.AppendUvarint(binary.AppendUvarint(m, field<<3), value)
}

func (m message) text(field uint64, value string) message { return m.part(field, message(value)) }

func (m message) part(field uint64, value message) message {
	m = binary.AppendUvarint(m, field<<3|2)
	return append(binary.AppendUvarint(m, uint64(len(value))), value...)
}

// xspace is a trace as XLA's profiler leaves it: a plane for the TPU, on it a
// line, on that an event for each step.
func xspace(steps []sim.Step, host string) message {
	line := message(nil).number(1, 1).text(2, "Steps")
	plane := message(nil).text(2, "/device:TPU:0")
	for i, s := range steps {
		id := uint64(i + 1)
		name := fmt.Sprintf("execute_context_%d_generation_%d", s.Prefill, s.Decodes)
		event := message(nil).number(1, id).number(2, uint64(s.Start.Nanoseconds())*1000).number(3, uint64((s.End-s.Start).Nanoseconds())*1000)
		line = line.part(4, event)
		kind := message(nil).number(1, id).text(2, name)
		plane = plane.part(4, message(nil).number(1, id).part(2, kind))
	}
	return message(nil).part(1, plane.part(3, line)).text(4, host)
}

// writeXSpace puts it where XLA's profiler does: into a folder for each
// session, below those that its viewer looks for.
func (t *trace) writeXSpace(dir string, now time.Time) error {
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	dir = filepath.Join(dir, "plugins", "profile", now.Format("2006_01_02_15_04_05"))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, host+".xplane.pb"), xspace(t.steps, host), 0o666); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	return nil
}
