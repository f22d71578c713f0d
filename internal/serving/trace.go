package serving

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"vtune/internal/record"
	"vtune/internal/vllm"
)

const (
	traceEvery = 250 * time.Millisecond
	// traceQuiet ends the wait for a trace that nobody writes any more: the client was told that it is written.
	traceQuiet = 2 * time.Minute
)

// TraceDir is where the server's profiler writes; empty: it has none.
func (s *Server) TraceDir() string {
	if s.serve.Profiler == nil {
		return ""
	}
	return s.serve.Profiler.Dir
}

// AwaitTrace waits until there is a trace, nothing in its folder grows, and every file can be read to its end.
func (s *Server) AwaitTrace(ctx context.Context, most time.Duration) error {
	dir := s.TraceDir()
	patience := time.NewTimer(most)
	defer patience.Stop()
	quiet := time.NewTimer(min(traceQuiet, most))
	defer quiet.Stop()
	tick := time.NewTicker(traceEvery)
	defer tick.Stop()
	last, checked, lacks := -1.0, -1.0, errors.New("no trace file")
	for {
		now := Size(dir)
		if now != last {
			quiet.Reset(min(traceQuiet, most))
		} else if now != checked { // reading hundreds of megabytes once for each size is enough
			if lacks = whole(dir); lacks == nil {
				return nil
			}
			checked = now
		}
		last = now
		select {
		case <-s.alive.Done():
			return s.ended(ctx)
		case <-patience.C:
			return late("the trace is not complete after %v: %v", most, lacks)
		case <-quiet.C:
			return late("the profiler writes nothing more: %v", lacks)
		case <-tick.C:
		}
	}
}

func late(format string, args ...any) error {
	return &vllm.Failure{Cause: record.CauseTimeout, Message: fmt.Sprintf(format, args...)}
}

// whole is nil when dir holds a trace and no file in it is cut short.
func whole(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	traces := 0
	for _, f := range files {
		if !strings.Contains(f.Name(), ".trace.json") {
			continue
		}
		traces++
		if err := readable(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
	}
	if traces == 0 {
		return errors.New("no trace file")
	}
	return nil
}

// readable reads a compressed file to its end, which its checksum stands at.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		return nil
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, z)
	return err
}

// Size of the files in dir, in bytes; what cannot be read counts as nothing.
func Size(dir string) float64 {
	files, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	sum := 0.0
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			sum += float64(info.Size())
		}
	}
	return sum
}
