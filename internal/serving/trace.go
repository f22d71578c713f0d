package serving

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	last, checked, lacks := -1.0, -1.0, error(errNoTrace(s.traceKind()))
	for {
		now := Size(dir)
		if now != last {
			quiet.Reset(min(traceQuiet, most))
		} else if now != checked { // reading hundreds of megabytes once for each size is enough
			if lacks = whole(dir, s.traceKind()); lacks == nil {
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

// Kinds of trace files, by what is in their names: torch's, and XLA's, which a TPU's are.
const (
	torchTrace = ".trace.json"
	xlaTrace   = ".xplane.pb"
)

func (s *Server) traceKind() string {
	if s.serve.Server.System == "TPU" {
		return xlaTrace
	}
	return torchTrace
}

// errNoTrace names the kind that there is none of: whoever says TPU of a server on GPUs learns of it here.
type errNoTrace string

func (kind errNoTrace) Error() string { return fmt.Sprintf("no trace file (%s)", string(kind)) }

// whole is nil when dir holds a trace of a kind and no trace in it is cut short.
func whole(dir, kind string) error {
	files, err := Traces(dir)
	if err != nil {
		return err
	}
	traces := 0
	for _, f := range files {
		check := readable
		switch {
		case strings.Contains(f, torchTrace):
		case strings.HasSuffix(f, xlaTrace):
			check = parted
		default:
			continue
		}
		if err := check(filepath.Join(dir, f)); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		if strings.Contains(f, kind) {
			traces++
		}
	}
	if traces == 0 {
		return errNoTrace(kind)
	}
	return nil
}

// parted reads an XSpace, which has no checksum, from part to part: planes, errors, warnings and host names are all that it has, each
// with its length before it. One that is cut short ends within a part.
func parted(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	r, at := bufio.NewReader(f), int64(0)
	next := func() (uint64, error) {
		n, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		at += int64(len(binary.AppendUvarint(nil, n)))
		return n, err
	}
	for parts := 0; at < info.Size() || parts == 0; parts++ {
		tag, err := next()
		if err != nil {
			return err
		}
		const lengthBefore = 2
		if tag&7 != lengthBefore {
			return errors.New("not a trace of XLA's")
		}
		length, err := next()
		if err != nil {
			return err
		}
		if length > uint64(info.Size()-at) {
			return io.ErrUnexpectedEOF
		}
		at += int64(length)
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return err
		}
		r.Reset(f)
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

// Traces are the files in dir, by their paths in it: XLA's profiler makes folders, which its viewers look for.
func Traces(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, rel)
		return err
	})
	return files, err
}

// Keep moves the files in dir to another folder of the same disk, under their own names: the profiler puts the time into them. It
// returns where each is then.
func Keep(dir, to string) ([]string, error) {
	files, err := Traces(dir)
	if err != nil {
		return nil, err
	}
	var kept []string
	for _, f := range files {
		path := filepath.Join(to, f)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return kept, err
		}
		if err := os.Rename(filepath.Join(dir, f), path); err != nil {
			return kept, err
		}
		kept = append(kept, path)
	}
	return kept, nil
}

// Size of the files in dir, in bytes; what cannot be read counts as nothing.
func Size(dir string) float64 {
	files, _ := Traces(dir) // those that there are while it changes
	sum := 0.0
	for _, f := range files {
		if info, err := os.Stat(filepath.Join(dir, f)); err == nil {
			sum += float64(info.Size())
		}
	}
	return sum
}
